// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes the answers of a backend those of the service: the other half of xdp_balancer's REWRITE, at
 * the egress of each backend. Packets from an address, protocol and port in `sources` get the
 * service's address as their source; checksums are updated, TCP and UDP over IPv4 and IPv6.
 *
 * Every other packet is let through untouched: other sources, malformed packets, IPv4 options, IPv6
 * extension headers, fragments (the balancer passes on none either), and ICMP errors. A packet whose
 * address could not be replaced is shot: the client would not know it.
 * The headers are pulled into the linear part, up to PULL_SIZE bytes; without memory for that, a
 * header behind the linear part counts as malformed.
 */
#include <linux/pkt_cls.h>
#include "include/network.h"
#include "include/source.h"

enum {
	PULL_SIZE = 128, /* two tags, IPv6 and TCP with all options take 122 */
};

struct answers {
	struct in6_addr source; /* the service's address, of the same family */
	__u64 packets; /* that got it; counted here */
};

/* What this backend serves, and in whose name. Written from user space, but for the count. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct endpoint);
	__type(value, struct answers);
} sources SEC(".maps");

SEC("tc")
int tc_egress_balancer(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < PULL_SIZE ? skb->len : PULL_SIZE;
	struct endpoint key = {};
	struct answers *answers;
	struct network network;
	struct in6_addr from, to;
	struct places at;
	struct cursor c;
	struct tcphdr *tcp;
	struct udphdr *udp;
	__u64 behind;
	int protocol, failed;

	/* not in a test run: all is linear */
	if (skb->data_end - skb->data < wanted)
		bpf_skb_pull_data(skb, wanted);
	c = cursor_over((void *)(long)skb->data, (void *)(long)skb->data_end);

	protocol = parse_network(&c, &network);
	if (protocol < 0 || network.is_fragment)
		return TC_ACT_OK;
	behind = cursor_offset(&c);
	if (protocol == IPPROTO_TCP && parse_tcp(&c, &tcp) >= 0) {
		key.port = tcp->source;
		at.checksum = behind + offsetof(struct tcphdr, check);
	} else if (protocol == IPPROTO_UDP && parse_udp(&c, &udp) >= 0) {
		key.port = udp->source;
		at.checksum = behind + offsetof(struct udphdr, check);
	} else {
		return TC_ACT_OK;
	}

	key.protocol = protocol;
	if (network.ip) {
		if (network.ip->ihl != 5)
			return TC_ACT_OK;
		ipv4_map(&key.address, network.ip->saddr);
		at.network = behind - sizeof(struct iphdr);
	} else if (network.ip6) { /* unreachable: a transport header is behind one of both */
		if (network.ip6->nexthdr != protocol)
			return TC_ACT_OK;
		key.address = network.ip6->saddr;
		at.network = behind - sizeof(struct ipv6hdr);
	}
	answers = bpf_map_lookup_elem(&sources, &key);
	if (!answers || ipv4_is_mapped(&answers->source) != !!network.ip)
		return TC_ACT_OK;

	from = key.address;
	to = answers->source;
	if (network.ip)
		failed = ipv4_replace_source(skb, at, protocol, from.s6_addr32[3], to.s6_addr32[3]);
	else
		failed = ipv6_replace_source(skb, at, protocol, &from, &to);
	if (failed) /* not in a test run: for want of memory */
		return TC_ACT_SHOT;
	/* Atomic: answers leave from several processors. */
	__sync_fetch_and_add(&answers->packets, 1);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
