/* FAULT: an IPv6 extension header is taken for the transport header */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_ipv6_extensions right_parse_ipv6_extensions
#include "../include/parse.h"
#undef parse_ipv6_extensions

static __always_inline int parse_ipv6_extensions(struct cursor *c, int next, __u16 *fragment)
{
	(void)c;
	*fragment = 0;
	return next;
}

#include "../xdp_http.bpf.c"
