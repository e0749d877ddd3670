// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops HTTP requests on port 80 unless their path is allowed: xdp_http's decision at TC ingress,
 * for devices without XDP and for what comes out of a tunnel.
 *
 * The decision and the order in which it is made stand in include/http.h. Malformed traffic is
 * shot, unknown traffic passes. The first PULL_SIZE bytes are looked at, wherever the socket buffer
 * keeps them (a receiver that aggregates leaves the payload out of the linear part); if there is
 * no memory to pull them in, only the linear part is, and a header that is cut there is malformed.
 * The outer VLAN tag is out of band here, which makes no difference. Where aggregates over 64 KiB are
 * turned on (BIG TCP, off by default), IPv4 states no length for them: malformed.
 * The packet is never changed.
 */
#include <linux/pkt_cls.h>
#include "include/http.h"

enum {
	PULL_SIZE = 512, /* all headers without IPv6 extensions take 142, the longest path 69 */
};

SEC("tc")
int tc_http(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < PULL_SIZE ? skb->len : PULL_SIZE;
	struct cursor c;

	if (skb->data_end - skb->data < wanted)
		bpf_skb_pull_data(skb, wanted);
	c = cursor_over((void *)(long)skb->data, (void *)(long)skb->data_end);

	return http_is_dropped(c) ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
