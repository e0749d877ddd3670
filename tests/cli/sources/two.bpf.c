// SPDX-License-Identifier: GPL-2.0-or-later
/* One object with two programs: at XDP everything passes, at TC nothing does. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int way_in(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("tc")
int way_out_egress(struct __sk_buff *skb)
{
	skb->mark = 5;
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
