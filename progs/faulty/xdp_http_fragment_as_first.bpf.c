/* FAULT: a later fragment is taken for one with a TCP header */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ipv4_is_later_fragment right_ipv4_is_later_fragment
#include "../include/parse.h"
#undef ipv4_is_later_fragment

static __always_inline bool ipv4_is_later_fragment(const struct iphdr *ip)
{
	(void)ip;
	return false;
}

#include "../xdp_http.bpf.c"
