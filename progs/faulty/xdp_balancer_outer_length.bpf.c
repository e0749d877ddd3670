/* FAULT: the outer header keeps the length of the inner one */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ipv4_wrap right_ipv4_wrap
#include "../include/tunnel.h"
#undef ipv4_wrap

static __always_inline void ipv4_wrap(struct iphdr *outer, const struct iphdr *inner,
				      const struct in6_addr *source,
				      const struct in6_addr *destination)
{
	right_ipv4_wrap(outer, inner, source, destination);
	outer->tot_len = inner->tot_len;
	outer->check = 0;
	outer->check = ipv4_checksum(outer);
}

#include "../xdp_balancer.bpf.c"
