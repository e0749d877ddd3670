// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops IPv4 packets of a source in `blocked` and counts them there; passes the rest with one hop
 * less, and leaves the checksum stale: a fault for tests to show. Counts all packets in `seen`.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u64 open_until;
__u64 seen;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __be32);
	__type(value, __u64);
} blocked SEC(".maps");

SEC("xdp")
int xdp_door(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u64 *count;

	seen += 1;
	if (open_until && seen > open_until)
		return XDP_DROP;
	if ((void *)(ip + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	count = bpf_map_lookup_elem(&blocked, &ip->saddr);
	if (count) {
		*count += 1;
		return XDP_DROP;
	}
	ip->ttl -= 1;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
