// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops frames whose source MAC address is in the map `blocked`, and counts them there.
 *
 * Nothing behind the Ethernet header is looked at, so every other frame passes, however malformed.
 * It never changes the frame.
 */
#include "include/parse.h"

struct mac {
	__u8 address[ETH_ALEN];
};

/* Source addresses to drop. Keys are written from user space; the value counts drops, here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct mac);
	__type(value, __u64);
} blocked SEC(".maps");

SEC("xdp")
int xdp_mac_filter(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	struct ethhdr *eth;
	struct mac source;
	__u64 *drops;

	if (parse_eth(&c, &eth) < 0) /* unreachable: a frame holds its Ethernet header */
		return XDP_PASS;
	__builtin_memcpy(source.address, eth->h_source, ETH_ALEN);
	drops = bpf_map_lookup_elem(&blocked, &source);
	if (!drops)
		return XDP_PASS;
	/* Atomic: frames of one source arrive on several queues, on several processors. */
	__sync_fetch_and_add(drops, 1);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
