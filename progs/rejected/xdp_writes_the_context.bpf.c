/* EXPECT: invalid bpf_context access */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Writes a field of the context that is there to be read. */
#include "../include/parse.h"

SEC("xdp")
int xdp_writes_the_context(struct xdp_md *ctx)
{
	ctx->rx_queue_index = 0;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
