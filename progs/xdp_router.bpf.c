// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Forwards IPv4 packets: the longest matching prefix names a neighbour, the neighbour's address
 * becomes the destination MAC, one hop is taken off, and the frame is redirected to its device.
 *
 * What it cannot decide alone passes to the stack, untouched: frames that are not plain IPv4
 * (tagged, IPv6, ARP), malformed headers, IPv4 options, a last hop (the stack answers that), group
 * MAC addresses, destinations without a route or a neighbour.
 *
 * What was forwarded is counted by flow; fragments, and what is neither TCP nor UDP or is malformed
 * there, count with ports 0. A wrong IP checksum stays wrong. The MTU of the outgoing device is not
 * looked at: its driver drops what is too long.
 */
#include "include/csum.h"
#include "include/parse.h"

enum {
	GROUP_BIT = 0x01, /* in the first byte of a MAC address: multicast or broadcast */
};

struct prefix4 {
	__u32 length;
	__be32 address;
};

struct neighbour {
	__u8 address[ETH_ALEN]; /* the neighbour's MAC */
	__u8 source[ETH_ALEN]; /* the MAC of our device that leads there */
	__u32 ifindex; /* that device */
};

struct flow {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3]; /* padding by name: it is part of the key */
};

struct flow_count {
	__u64 packets;
};

/* Networks, and the number of the neighbour that leads there. Written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u32);
} routes SEC(".maps");

/* Neighbours by number. Written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct neighbour);
} neighbours SEC(".maps");

/* Packets forwarded, by flow. Written here, read from user space; the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow);
	__type(value, struct flow_count);
} flows SEC(".maps");

static __always_inline struct neighbour *next_hop(__be32 destination)
{
	struct prefix4 prefix = { .length = 32, .address = destination };
	__u32 *number = bpf_map_lookup_elem(&routes, &prefix);

	return number ? bpf_map_lookup_elem(&neighbours, number) : NULL;
}

static __always_inline void count_flow(struct cursor *c, const struct iphdr *ip)
{
	struct flow flow = { .source = ip->saddr,
			     .destination = ip->daddr,
			     .protocol = ip->protocol };
	struct flow_count first = { .packets = 1 };
	struct flow_count *count;
	bool whole = !ipv4_is_fragment(ip);
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (whole && ip->protocol == IPPROTO_TCP && parse_tcp(c, &tcp) >= 0) {
		flow.source_port = tcp->source;
		flow.destination_port = tcp->dest;
	} else if (whole && ip->protocol == IPPROTO_UDP && parse_udp(c, &udp) >= 0) {
		flow.source_port = udp->source;
		flow.destination_port = udp->dest;
	}

	count = bpf_map_lookup_elem(&flows, &flow);
	/* Atomic: a flow may change its queue. Two first packets at once may count as one. */
	if (count)
		__sync_fetch_and_add(&count->packets, 1);
	else
		bpf_map_update_elem(&flows, &flow, &first, BPF_NOEXIST);
}

SEC("xdp")
int xdp_router(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	struct neighbour *neighbour;
	struct ethhdr *eth;
	struct iphdr *ip;

	if (parse_eth(&c, &eth) != ETH_P_IP || eth->h_dest[0] & GROUP_BIT)
		return XDP_PASS;
	if (parse_ipv4(&c, &ip) < 0 || ip->ihl != 5 || ip->ttl <= 1)
		return XDP_PASS;
	neighbour = next_hop(ip->daddr);
	if (!neighbour)
		return XDP_PASS;

	count_flow(&c, ip);
	ipv4_decrease_ttl(ip);
	__builtin_memcpy(eth->h_dest, neighbour->address, ETH_ALEN);
	__builtin_memcpy(eth->h_source, neighbour->source, ETH_ALEN);
	return bpf_redirect(neighbour->ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
