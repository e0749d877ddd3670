/* EXPECT: invalid access to packet */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Checks that the Ethernet header is there, and reads one byte behind it. */
#include "../include/parse.h"

SEC("xdp")
int xdp_bounds_of_less(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
	return *(__u8 *)(eth + 1) == 0x45 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
