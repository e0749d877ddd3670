// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops packets by where they come from: single addresses first, then prefixes, IPv4 and IPv6,
 * behind up to two VLAN tags.
 *
 * Frames that are neither IPv4 nor IPv6 pass. A malformed IP header (cut short, wrong version, ihl
 * below 5 or beyond the frame, a total length below ihl) passes to the stack, which discards it;
 * with `strict` it is dropped here. Fragments are judged as whatever else: each carries the address.
 * Extension headers and transport headers are not looked at. It never changes the packet.
 */
#include "include/parse.h"

/* Drop packets with a malformed IP header, too. */
volatile const bool strict = false;

struct prefix4 {
	__u32 length;
	__be32 address;
};

struct prefix6 {
	__u32 length;
	struct in6_addr address;
};

/* IPv4 sources to drop. Keys are written from user space; the value counts drops, here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, __u64);
} blocked SEC(".maps");

/* IPv6 sources to drop, as above. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct in6_addr);
	__type(value, __u64);
} blocked6 SEC(".maps");

/* IPv4 networks to drop, as above. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u64);
} prefixes SEC(".maps");

/* IPv6 networks to drop, as above. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix6);
	__type(value, __u64);
} prefixes6 SEC(".maps");

/* All that was dropped, malformed packets included. Written here, read from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

static __always_inline int drop(void)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&drops, &key);

	if (count) /* unreachable: the array has this place */
		*count += 1;
	return XDP_DROP;
}

static __always_inline int judge4(__be32 source)
{
	struct prefix4 prefix = { .length = 32, .address = source };
	__u64 *hits = bpf_map_lookup_elem(&blocked, &source);

	if (!hits)
		hits = bpf_map_lookup_elem(&prefixes, &prefix);
	if (!hits)
		return XDP_PASS;
	/* Atomic: packets of one source or network arrive on several processors. */
	__sync_fetch_and_add(hits, 1);
	return drop();
}

static __always_inline int judge6(const struct in6_addr *source)
{
	struct prefix6 prefix = { .length = 128, .address = *source };
	__u64 *hits = bpf_map_lookup_elem(&blocked6, &prefix.address);

	if (!hits)
		hits = bpf_map_lookup_elem(&prefixes6, &prefix);
	if (!hits)
		return XDP_PASS;
	__sync_fetch_and_add(hits, 1); /* as above */
	return drop();
}

SEC("xdp")
int xdp_firewall(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	struct ethhdr *eth;
	struct iphdr *ip;
	struct ipv6hdr *ip6;
	int type;

	type = parse_eth(&c, &eth);
	if (type >= 0) /* unreachable: a frame holds its Ethernet header */
		type = parse_vlans(&c, type);
	if (type == ETH_P_IP && parse_ipv4(&c, &ip) >= 0)
		return judge4(ip->saddr);
	if (type == ETH_P_IPV6 && parse_ipv6(&c, &ip6) >= 0)
		return judge6(&ip6->saddr);

	if (strict && (type == ETH_P_IP || type == ETH_P_IPV6 || type < 0))
		return drop();
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
