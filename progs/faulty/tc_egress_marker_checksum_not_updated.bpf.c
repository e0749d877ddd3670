/* FAULT: DSCP is set, the IPv4 checksum stays */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ipv4_set_dscp right_ipv4_set_dscp
#include "../include/csum.h"
#undef ipv4_set_dscp

static __always_inline void ipv4_set_dscp(struct iphdr *ip, __u8 dscp)
{
	ip->tos = dscp << DSCP_SHIFT | (ip->tos & ECN_BITS);
}

#include "../tc_egress_marker.bpf.c"
