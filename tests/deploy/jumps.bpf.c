// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A filter in two programs: the entry jumps to the other, which drops everything. When the jump
 * does not come off, frames pass.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int drops(struct xdp_md *ctx);

/* The object itself says what stands in it. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = { [0] = (void *)&drops },
};

SEC("xdp")
int jumps_entry(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 0);
	return XDP_PASS;
}

SEC("xdp")
int drops(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
