/* FAULT: DSCP is set together with the two bits of ECN */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ipv4_set_dscp right_ipv4_set_dscp
#include "../include/csum.h"
#undef ipv4_set_dscp

static __always_inline void ipv4_set_dscp(struct iphdr *ip, __u8 dscp)
{
	__u8 after = dscp << DSCP_SHIFT;

	csum_replace2(&ip->check, bpf_htons(ip->tos), bpf_htons(after));
	ip->tos = after;
}

#include "../tc_egress_marker.bpf.c"
