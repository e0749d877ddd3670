// SPDX-License-Identifier: GPL-2.0-or-later
/* Two programs, one in a section that libbpf does not know; LIMIT may be defined. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef LIMIT
#define LIMIT XDP_PASS
#endif

SEC("in_the_wild")
int one(struct xdp_md *ctx)
{
	(void)ctx;
	return LIMIT;
}

SEC("xdp")
int two(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
