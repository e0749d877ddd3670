/* FAULT: a sum is folded once, so that the carry of the folding itself is lost */
// SPDX-License-Identifier: GPL-2.0-or-later
#define csum_readdress right_csum_readdress
#include "../include/csum.h"
#undef csum_readdress

static __always_inline void csum_readdress(__sum16 *check, bool is_udp, const __be32 from[4],
					   const __be32 to[4])
{
	__u64 sum = *check ^ 0xffff;

	if (is_udp && !*check)
		return;
	for (int i = 0; i < 4; i++)
		sum += (__u64)(from[i] ^ 0xffffffff) + to[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	*check = ((sum & 0xffff) + (sum >> 16)) ^ 0xffff;
}

#include "../xdp_balancer.bpf.c"
