/* FAULT: the length of an extension header is taken for bytes, not for units of 8 */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_ipv6_extensions right_parse_ipv6_extensions
#include "../include/parse.h"
#undef parse_ipv6_extensions

static __always_inline int parse_ipv6_extensions(struct cursor *c, int next, __u16 *fragment)
{
	*fragment = 0;
	for (int i = 0; i <= MAX_IPV6_EXTENSIONS; i++) {
		struct ipv6_extension *extension;
		__u32 size = 8;

		if (cursor_settle(c) < 0 || cursor_offset(c) > c->stop)
			return -1;
		if (*fragment & IPV6_OFFSET)
			return next;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			return next;

		extension = c->at;
		if ((void *)(extension + 1) > c->end)
			return -1;
		if (next == IPPROTO_FRAGMENT)
			*fragment = bpf_ntohs(extension->offset);
		else
			size += extension->length;
		if (c->at + size > c->end)
			return -1;
		next = extension->next;
		c->at += size;
	}
	return -1;
}

#include "../xdp_ports.bpf.c"
