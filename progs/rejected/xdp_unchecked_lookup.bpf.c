/* EXPECT: map_value_or_null */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Uses what a map look-up returned without asking whether it found anything. */
#include "../include/parse.h"

/* Written here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("xdp")
int xdp_unchecked_lookup(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	*count += 1;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
