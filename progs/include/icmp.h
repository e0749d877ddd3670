/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ICMP and ICMPv6 errors, and the packet that they quote. */
#ifndef PROGS_ICMP_H
#define PROGS_ICMP_H

#include "flow.h"

/* The same in both. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest;
};

enum {
	ICMP_UNREACHABLE = 3, /* code 4: fragmentation needed */
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_PARAMETER_PROBLEM = 4, /* between them: packet too big, time exceeded */
};

/* What an error quotes: the beginning of a packet, at least 8 bytes behind its IP header. */
struct quote {
	struct iphdr *ip; /* one of the two */
	struct ipv6hdr *ip6;
	struct ports *ports;
	__sum16 *checksum; /* of UDP, or of TCP if so much is quoted; NULL: none */
};

static __always_inline int icmp_protocol(bool is_v6)
{
	return is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
}

static __always_inline bool icmp_is_error(const struct icmp_header *icmp, bool is_v6)
{
	if (is_v6)
		return icmp->type >= ICMP6_UNREACHABLE && icmp->type <= ICMP6_PARAMETER_PROBLEM;
	return icmp->type == ICMP_UNREACHABLE || icmp->type == ICMP_TIME_EXCEEDED ||
	       icmp->type == ICMP_PARAMETER_PROBLEM;
}

/* Steps over the header. Returns 0, or -1: cut. */
static __always_inline int parse_icmp(struct cursor *c, struct icmp_header **header)
{
	struct icmp_header *icmp = c->at;

	if ((void *)(icmp + 1) > c->end || sizeof(*icmp) > cursor_left(c))
		return -1;
	c->at = icmp + 1;
	*header = icmp;
	return 0;
}

/*
 * Takes a quoted packet apart. Returns its protocol, or -1: cut, malformed, with options or
 * extension headers, a later fragment, or neither TCP nor UDP: no flow can be read from it.
 */
static __always_inline int parse_quote(struct cursor *c, bool is_v6, struct quote *quote)
{
	__u64 stop = c->stop; /* the quote ends where the error does, not where it says itself */
	int protocol;

	*quote = (struct quote){};
	protocol = is_v6 ? parse_ipv6(c, &quote->ip6) : parse_ipv4(c, &quote->ip);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return -1;
	if (quote->ip && (quote->ip->ihl != 5 || ipv4_is_later_fragment(quote->ip)))
		return -1;
	c->stop = stop;
	quote->ports = c->at;
	if (c->at + 8 > c->end || cursor_left(c) < 8)
		return -1;

	if (protocol == IPPROTO_UDP) {
		struct udphdr *udp = c->at;

		quote->checksum = udp->check ? &udp->check : NULL;
	} else {
		struct tcphdr *tcp = c->at;

		if ((void *)(&tcp->check + 1) <= c->end &&
		    cursor_left(c) >= offsetof(struct tcphdr, check) + sizeof(tcp->check))
			quote->checksum = &tcp->check;
	}
	return protocol;
}

#endif
