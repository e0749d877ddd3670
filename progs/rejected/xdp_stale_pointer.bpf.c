/* EXPECT: invalid mem access */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Moves the head of the frame and goes on with the pointer from before. */
#include "../include/parse.h"

SEC("xdp")
int xdp_stale_pointer(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*eth)))
		return XDP_PASS;
	eth->h_proto = bpf_htons(ETH_P_IP);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
