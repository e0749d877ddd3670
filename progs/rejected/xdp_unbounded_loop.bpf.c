/* EXPECT: infinite loop detected */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Loops until user space changes a global, which may be never. */
#include "../include/parse.h"

/* Written from user space. */
volatile __u32 ready;

SEC("xdp")
int xdp_unbounded_loop(struct xdp_md *ctx)
{
	(void)ctx;
	while (!ready)
		;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
