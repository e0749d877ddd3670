/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What makes packets belong together: addresses, ports and protocol, seen from the client, and a
 * hash of that. IPv4 addresses are kept as IPv6 has them (::ffff:192.0.2.1), so there is one form.
 */
#ifndef PROGS_FLOW_H
#define PROGS_FLOW_H

#include "parse.h"

/* Where a service, or one of its servers, is reached: also the key by which it is looked up. */
struct endpoint {
	struct in6_addr address;
	__be16 port;
	__u8 protocol;
	__u8 zero; /* padding by name: it is part of the key */
};

struct flow {
	struct in6_addr source;
	struct in6_addr destination;
	struct ports ports;
	__u8 protocol;
	__u8 zero[3]; /* padding by name: it is hashed */
};

enum {
	FLOW_WORDS = sizeof(struct flow) / sizeof(__u32),
	HASH_START = 0xdeadbeef,
};

static __always_inline void ipv4_map(struct in6_addr *mapped, __be32 address)
{
	mapped->s6_addr32[0] = 0;
	mapped->s6_addr32[1] = 0;
	mapped->s6_addr32[2] = bpf_htonl(0x0000ffff);
	mapped->s6_addr32[3] = address;
}

static __always_inline bool ipv4_is_mapped(const struct in6_addr *address)
{
	return !address->s6_addr32[0] && !address->s6_addr32[1] &&
	       address->s6_addr32[2] == bpf_htonl(0x0000ffff);
}

static __always_inline struct flow flow_of_ipv4(const struct iphdr *ip, const struct ports *ports)
{
	struct flow flow = { .ports = *ports, .protocol = ip->protocol };

	ipv4_map(&flow.source, ip->saddr);
	ipv4_map(&flow.destination, ip->daddr);
	return flow;
}

static __always_inline struct flow flow_of_ipv6(const struct ipv6hdr *ip6,
						const struct ports *ports)
{
	struct flow flow = { .source = ip6->saddr,
			     .destination = ip6->daddr,
			     .ports = *ports,
			     .protocol = ip6->nexthdr };

	return flow;
}

/* Turns the flow of an answer, as an ICMP error quotes it, into that of what was answered. */
static __always_inline struct flow flow_turned(const struct flow *answer)
{
	struct flow flow = { .source = answer->destination,
			     .destination = answer->source,
			     .ports = { answer->ports.destination, answer->ports.source },
			     .protocol = answer->protocol };

	return flow;
}

static __always_inline bool address_is(const struct in6_addr *a, const struct in6_addr *b)
{
	return a->s6_addr32[0] == b->s6_addr32[0] && a->s6_addr32[1] == b->s6_addr32[1] &&
	       a->s6_addr32[2] == b->s6_addr32[2] && a->s6_addr32[3] == b->s6_addr32[3];
}

/*
 * Finds the flow that an ICMP error is about. `outer` is that of the error itself: it comes from
 * some router on the way, and goes to who has sent what it quotes. Returns false if it does not.
 */
static __always_inline bool flow_of_error(const struct flow *outer, const struct flow *answer,
					  struct flow *flow)
{
	*flow = flow_turned(answer);
	return address_is(&outer->destination, &flow->destination);
}

static __always_inline __u32 hash_rotate(__u32 word, int bits)
{
	return word << bits | word >> (32 - bits);
}

/* Bob Jenkins' lookup3 over the words of the flow as they lie in memory. */
static __always_inline __u32 flow_hash(const struct flow *flow, __u32 seed)
{
	const __u32 *words = (const __u32 *)flow;
	__u32 a = HASH_START + sizeof(*flow) + seed, b = a, c = a;

	for (__u32 i = 0; i + 3 < FLOW_WORDS; i += 3) {
		a += words[i];
		b += words[i + 1];
		c += words[i + 2];
		a = (a - c) ^ hash_rotate(c, 4), c += b;
		b = (b - a) ^ hash_rotate(a, 6), a += c;
		c = (c - b) ^ hash_rotate(b, 8), b += a;
		a = (a - c) ^ hash_rotate(c, 16), c += b;
		b = (b - a) ^ hash_rotate(a, 19), a += c;
		c = (c - b) ^ hash_rotate(b, 4), b += a;
	}
	a += words[FLOW_WORDS - 1];
	c = (c ^ b) - hash_rotate(b, 14);
	a = (a ^ c) - hash_rotate(c, 11);
	b = (b ^ a) - hash_rotate(a, 25);
	c = (c ^ b) - hash_rotate(b, 16);
	a = (a ^ c) - hash_rotate(c, 4);
	b = (b ^ a) - hash_rotate(a, 14);
	c = (c ^ b) - hash_rotate(b, 24);
	return c;
}

#endif
