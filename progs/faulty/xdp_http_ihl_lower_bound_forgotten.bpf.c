/* FAULT: an IPv4 header length below 20 bytes is believed */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_ipv4 right_parse_ipv4
#include "../include/parse.h"
#undef parse_ipv4

static __always_inline int parse_ipv4(struct cursor *c, struct iphdr **header)
{
	struct iphdr *ip = c->at;
	__u32 size, total;

	if ((void *)(ip + 1) > c->end)
		return -1;
	size = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || total < size)
		return -1;
	if (c->at + size > c->end)
		return -1;
	c->stop = cursor_offset(c) + total;
	c->at += size;
	*header = ip;
	return ip->protocol;
}

#include "../xdp_http.bpf.c"
