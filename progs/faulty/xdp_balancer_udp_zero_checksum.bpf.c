/* FAULT: a UDP checksum of zero, which says that there is none, is updated */
// SPDX-License-Identifier: GPL-2.0-or-later
#define csum_readdress right_csum_readdress
#include "../include/csum.h"
#undef csum_readdress

static __always_inline void csum_readdress(__sum16 *check, bool is_udp, const __be32 from[4],
					   const __be32 to[4])
{
	(void)is_udp;
	csum_replace16(check, from, to);
}

#include "../xdp_balancer.bpf.c"
