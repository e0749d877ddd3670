// SPDX-License-Identifier: GPL-2.0-or-later
/* clang warns of it: a variable that nothing uses. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_warned(struct xdp_md *ctx)
{
	int unused;

	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
