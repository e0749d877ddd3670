/* FAULT: what a short frame is padded with is read as payload */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_ipv4 right_parse_ipv4
#include "../include/parse.h"
#undef parse_ipv4

static __always_inline int parse_ipv4(struct cursor *c, struct iphdr **header)
{
	int protocol = right_parse_ipv4(c, header);

	c->stop = STOP_UNKNOWN;
	return protocol;
}

#include "../xdp_http.bpf.c"
