/* FAULT: the TCP header is taken to be 20 bytes long, whatever its data offset says */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_tcp right_parse_tcp
#include "../include/parse.h"
#undef parse_tcp

static __always_inline int parse_tcp(struct cursor *c, struct tcphdr **header)
{
	struct tcphdr *tcp = c->at;

	if ((void *)(tcp + 1) > c->end || sizeof(*tcp) > cursor_left(c))
		return -1;
	c->at = tcp + 1;
	*header = tcp;
	return bpf_ntohs(tcp->dest);
}

#include "../xdp_http.bpf.c"
