/* FAULT: the checksum follows the last 32 bits of an address, as if IPv6 had no more */
// SPDX-License-Identifier: GPL-2.0-or-later
#define csum_readdress right_csum_readdress
#include "../include/csum.h"
#undef csum_readdress

static __always_inline void csum_readdress(__sum16 *check, bool is_udp, const __be32 from[4],
					   const __be32 to[4])
{
	if (is_udp && !*check)
		return;
	csum_replace4(check, from[3], to[3]);
	if (is_udp && !*check)
		*check = 0xffff;
}

#include "../xdp_balancer.bpf.c"
