// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Marks IPv4 packets by where they come from: the mark of the longest matching prefix is written
 * into the metadata in front of the packet, where tc_ingress finds it. XDP has no skb to mark yet.
 *
 * Every frame passes: without a mark if it is not IPv4, malformed, from nowhere listed, or on a
 * device whose driver has no room for metadata. The packet itself is never changed.
 */
#include "include/meta.h"
#include "include/parse.h"

struct prefix4 {
	__u32 length;
	__be32 address;
};

/* Networks, and the mark of what comes from there. Written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u32);
} marks SEC(".maps");

SEC("xdp")
int xdp_marker(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	struct prefix4 prefix = { .length = 32 };
	struct ethhdr *eth;
	struct iphdr *ip;
	struct meta *meta;
	__u32 *mark;
	int type;

	type = parse_eth(&c, &eth);
	if (type >= 0) /* unreachable: a frame holds its Ethernet header */
		type = parse_vlans(&c, type);
	if (type != ETH_P_IP || parse_ipv4(&c, &ip) < 0)
		return XDP_PASS;
	prefix.address = ip->saddr;
	mark = bpf_map_lookup_elem(&marks, &prefix);
	if (!mark)
		return XDP_PASS;
	/* not in a test run: only some drivers have no room */
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return XDP_PASS;

	/* All packet pointers are void now; `mark` points into a map. */
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data) /* unreachable: room was made */
		return XDP_PASS;
	meta->magic = META_MAGIC;
	meta->mark = *mark;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
