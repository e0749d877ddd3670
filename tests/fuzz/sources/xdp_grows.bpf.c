// SPDX-License-Identifier: GPL-2.0-or-later
/* Drops what goes to port 99, and remembers where it came from: whoever sends fills the map. */
#include "faults.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __be16);
	__type(value, __u8);
} seen SEC(".maps");

SEC("xdp")
int xdp_grows(struct xdp_md *ctx)
{
	struct udphdr *udp = udp_of(ctx);
	__be16 source;
	__u8 one = 1;

	if (!udp)
		return XDP_PASS;
	source = udp->source;
	if (udp->dest == bpf_htons(53)) {
		bpf_map_update_elem(&seen, &source, &one, BPF_ANY);
		return XDP_PASS;
	}
	if (udp->dest != bpf_htons(99))
		return XDP_PASS;
	bpf_map_update_elem(&seen, &source, &one, BPF_ANY);
	return XDP_DROP;
}
