/* EXPECT: Unreleased reference */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Reserves room in a ring buffer, and neither submits nor discards it. */
#include "../include/parse.h"

/* Written here. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

SEC("xdp")
int xdp_reservation_lost(struct xdp_md *ctx)
{
	__u32 *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (event)
		*event = ctx->ingress_ifindex;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
