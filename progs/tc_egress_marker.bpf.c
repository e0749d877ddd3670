// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Marks outbound traffic by its destination port, TCP and UDP: DSCP in the IPv4 or IPv6 header (for
 * the routers on the way) and skb->mark (for the queues of this host).
 *
 * Every packet is let through. Untouched are: what is neither TCP nor UDP on IP, malformed packets,
 * ports that are not listed, and fragments, the first as well, so that the pieces of a datagram do not
 * overtake each other. ECN belongs to the end points and stays. The IPv4 checksum is updated; those
 * of TCP and UDP do not cover DSCP. Where the device computed the sum of the whole packet
 * (CHECKSUM_COMPLETE, on forwarded packets), that is updated for IPv6; for IPv4 the header and its
 * own checksum cancel out.
 * The headers are pulled into the linear part (include/pull.h); without memory for that, a header
 * behind it counts as malformed.
 */
#include <linux/pkt_cls.h>
#include "include/csum.h"
#include "include/pull.h"

enum {
	IPV6_DSCP_MASK = 0x0fc00000, /* of the first 32 bits: version 4, traffic class 8, flow 20 */
	IPV6_DSCP_SHIFT = 22,
};

struct treatment {
	__u32 mark;
	__u8 dscp; /* 0 to 63 */
};

/* How traffic to a port is treated. Written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be16);
	__type(value, struct treatment);
} ports SEC(".maps");

static __always_inline void ipv6_set_dscp(struct __sk_buff *skb, struct ipv6hdr *ip6, __u8 dscp)
{
	__be32 *word = (__be32 *)ip6;
	__be32 before = *word;
	__be32 after = (before & ~bpf_htonl(IPV6_DSCP_MASK)) |
		       bpf_htonl((__u32)dscp << IPV6_DSCP_SHIFT & IPV6_DSCP_MASK);

	*word = after;
	bpf_csum_update(skb, bpf_csum_diff(&before, sizeof(before), &after, sizeof(after), 0));
}

SEC("tc")
int tc_egress_marker(struct __sk_buff *skb)
{
	struct network network;
	struct treatment *treatment;
	struct cursor c;
	struct tcphdr *tcp;
	struct udphdr *udp;
	int protocol;
	__be16 port;

	c = pull_headers(skb);
	protocol = parse_network(&c, &network);
	if (protocol < 0 || network.is_fragment)
		return TC_ACT_OK;
	if (protocol == IPPROTO_TCP && parse_tcp(&c, &tcp) >= 0)
		port = tcp->dest;
	else if (protocol == IPPROTO_UDP && parse_udp(&c, &udp) >= 0)
		port = udp->dest;
	else
		return TC_ACT_OK;

	treatment = bpf_map_lookup_elem(&ports, &port);
	if (!treatment)
		return TC_ACT_OK;
	skb->mark = treatment->mark;
	if (network.ip)
		ipv4_set_dscp(network.ip, treatment->dscp);
	else if (network.ip6) /* unreachable: a transport header is behind one of both */
		ipv6_set_dscp(skb, network.ip6, treatment->dscp);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
