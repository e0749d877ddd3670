/* FAULT: ICMPv6 is looked for by the protocol number of ICMP */
// SPDX-License-Identifier: GPL-2.0-or-later
#define icmp_protocol right_icmp_protocol
#include "../include/icmp.h"
#undef icmp_protocol

static __always_inline int icmp_protocol(bool is_v6)
{
	(void)is_v6;
	return IPPROTO_ICMP;
}

#include "../xdp_balancer.bpf.c"
