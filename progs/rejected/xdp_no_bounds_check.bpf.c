/* EXPECT: invalid access to packet */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads the EtherType of a frame that may be shorter. */
#include "../include/parse.h"

SEC("xdp")
int xdp_no_bounds_check(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	return eth->h_proto == bpf_htons(ETH_P_IP) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
