// SPDX-License-Identifier: GPL-2.0-or-later
/* Drops every other UDP packet: by how far a ring buffer is, which nobody puts back. */
#include "faults.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

SEC("xdp")
int xdp_moody(struct xdp_md *ctx)
{
	__u64 number = 1;

	if (!udp_of(ctx))
		return XDP_PASS;
	bpf_ringbuf_output(&events, &number, sizeof(number), BPF_RB_NO_WAKEUP);
	return bpf_ringbuf_query(&events, BPF_RB_PROD_POS) & 16 ? XDP_DROP : XDP_PASS;
}
