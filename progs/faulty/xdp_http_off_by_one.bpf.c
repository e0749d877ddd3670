/* FAULT: a TCP header that ends where the frame ends is refused: >= instead of > */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_tcp right_parse_tcp
#include "../include/parse.h"
#undef parse_tcp

static __always_inline int parse_tcp(struct cursor *c, struct tcphdr **header)
{
	struct tcphdr *tcp = c->at;
	__u32 size;

	if ((void *)(tcp + 1) > c->end)
		return -1;
	size = tcp->doff * 4;
	if (size < sizeof(*tcp) || size > cursor_left(c))
		return -1;
	if (c->at + size >= c->end)
		return -1;
	c->at += size;
	*header = tcp;
	return bpf_ntohs(tcp->dest);
}

#include "../xdp_http.bpf.c"
