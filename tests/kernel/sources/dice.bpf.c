// SPDX-License-Identifier: GPL-2.0-or-later
/* Returns a number from 10 to 15 by chance. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int dice(struct xdp_md *ctx)
{
	(void)ctx;
	return bpf_get_prandom_u32() % 6 + 10;
}

char LICENSE[] SEC("license") = "GPL";
