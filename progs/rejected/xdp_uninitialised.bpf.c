/* EXPECT: !read_ok */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Returns a register that nothing was ever written to. */
#include "../include/parse.h"

SEC("xdp")
__attribute__((naked)) int xdp_uninitialised(struct xdp_md *ctx)
{
	asm volatile("exit");
}

char LICENSE[] SEC("license") = "GPL";
