// SPDX-License-Identifier: GPL-2.0-or-later
/* Keeps ports in a queue, which nobody can put back: between stories it is loaded again. */
#include "faults.h"

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__type(value, __u32);
} ports SEC(".maps");

SEC("xdp")
int xdp_queue(struct xdp_md *ctx)
{
	struct udphdr *udp = udp_of(ctx);
	__u32 port;

	if (!udp)
		return XDP_PASS;
	port = udp->source;
	if (bpf_map_push_elem(&ports, &port, 0))
		return XDP_DROP;
	if (udp->dest == bpf_htons(7777))
		return XDP_TX;
	return XDP_PASS;
}
