// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers right and wrong, as a test asks for it: IPv4 from a blocked source is dropped, and so is
 * everything after `limit` packets. Ethertype 88b5 is ABORTED, 88b6 is no verdict at all. With
 * `hop` set, UDP loses one hop and its checksum is not told.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#ifndef VERDICT
#define VERDICT XDP_PASS
#endif

volatile const __u32 limit = 1000000;
volatile const __u8 hop;
__u32 seen;

/* Written by the test, read and counted by the program. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __be32);
	__type(value, __u64);
} blocked SEC(".maps");

SEC("xdp")
int xdp_mix(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u64 *count;

	if (++seen > limit)
		return XDP_DROP;
	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(0x88b5))
		return XDP_ABORTED;
	if (eth->h_proto == bpf_htons(0x88b6))
		return 77;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > data_end)
		return XDP_PASS;
	count = bpf_map_lookup_elem(&blocked, &ip->saddr);
	if (count) {
		__sync_fetch_and_add(count, 1);
		return XDP_DROP;
	}
	if (hop && ip->protocol == 17)
		ip->ttl--;
	return VERDICT;
}

char LICENSE[] SEC("license") = "GPL";
