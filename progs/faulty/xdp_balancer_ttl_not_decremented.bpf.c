/* FAULT: a packet is sent on with the TTL that it came with */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ipv4_decrease_ttl right_ipv4_decrease_ttl
#include "../include/csum.h"
#undef ipv4_decrease_ttl

static __always_inline void ipv4_decrease_ttl(struct iphdr *ip)
{
	(void)ip;
}

#include "../xdp_balancer.bpf.c"
