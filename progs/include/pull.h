/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Brings the headers of a socket buffer into its linear part, where a program can read them: real
 * stacks keep the payload outside, and a receiver that aggregates leaves no more than the link header
 * inside. A verdict must not depend on where the bytes are kept, so headers are pulled in as far as
 * they go: PULL_SIZE bytes at first, and all that headers can take where extensions go on behind.
 */
#ifndef PROGS_PULL_H
#define PROGS_PULL_H

#include "network.h"

enum {
	PULL_BEHIND = 129, /* the longest TCP header, "GET " and the longest path */
	PULL_SIZE = 512, /* without IPv6 extensions, all headers and a path take 211 */
	PULL_MOST = 14 + 8 + 40 + MAX_IPV6_EXTENSIONS * 2048 + PULL_BEHIND,
};

/* Pulls `size` bytes, or all there are. Without memory for that, the linear part stays as it is. */
static __always_inline struct cursor pull(struct __sk_buff *skb, __u32 size)
{
	__u32 wanted = skb->len < size ? skb->len : size;

	/* not in a test run: all is linear */
	if (skb->data_end - skb->data < wanted)
		bpf_skb_pull_data(skb, wanted);
	return cursor_over((void *)(long)skb->data, (void *)(long)skb->data_end);
}

/* Pulls the headers, and what a transport header and a path behind them can take. */
static __always_inline struct cursor pull_headers(struct __sk_buff *skb)
{
	struct cursor c = pull(skb, PULL_SIZE);
	struct cursor ahead = c;
	struct network network;

	if (skb->data_end - skb->data == skb->len) /* not in a test run: all is linear */
		return c;
	if (parse_network(&ahead, &network) >= 0 && /* not in a test run: all is linear */
	    cursor_offset(&ahead) <= PULL_SIZE - PULL_BEHIND) /* not in a test run: all is linear */
		return c;
	return pull(skb, PULL_MOST);
}

#endif
