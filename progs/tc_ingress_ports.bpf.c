// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops packets by where they go: xdp_ports' decision at TC ingress, for devices without XDP and for
 * what comes out of a tunnel.
 *
 * The decision and the order in which it is made stand in include/ports.h. Malformed traffic is
 * shot, unknown traffic passes. The first PULL_SIZE bytes are looked at, wherever the socket buffer
 * keeps them; if there is no memory to pull them in, only the linear part is, and a header that is
 * cut there is malformed. The outer VLAN tag is out of band here, which makes no difference.
 * The packet is never changed.
 */
#include <linux/pkt_cls.h>
#include "include/ports.h"

enum {
	PULL_SIZE = 512, /* IPv6 and TCP with all options take 122, the rest is for extensions */
};

SEC("tc")
int tc_ingress_ports(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < PULL_SIZE ? skb->len : PULL_SIZE;
	struct cursor c;

	if (skb->data_end - skb->data < wanted)
		bpf_skb_pull_data(skb, wanted);
	c = cursor_over((void *)(long)skb->data, (void *)(long)skb->data_end);

	return port_is_dropped(c) ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
