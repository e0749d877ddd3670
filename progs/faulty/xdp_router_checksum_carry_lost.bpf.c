/* FAULT: the carry of the checksum is lost, so that one in 256 is wrong */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ipv4_decrease_ttl right_ipv4_decrease_ttl
#include "../include/csum.h"
#undef ipv4_decrease_ttl

static __always_inline void ipv4_decrease_ttl(struct iphdr *ip)
{
	ip->ttl--;
	ip->check = bpf_htons(bpf_ntohs(ip->check) + 0x0100);
}

#include "../xdp_router.bpf.c"
