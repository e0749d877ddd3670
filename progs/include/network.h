/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the first byte of a frame to its transport header: Ethernet, up to two VLAN tags, IPv4 with
 * options or IPv6 with extension headers.
 */
#ifndef PROGS_NETWORK_H
#define PROGS_NETWORK_H

#include "parse.h"

struct network {
	struct iphdr *ip; /* one of the two, or neither */
	struct ipv6hdr *ip6;
	bool is_fragment; /* a piece of a datagram, the first or a later one */
	bool is_later_fragment; /* ... a later one: there is no transport header */
};

enum {
	NOT_IP = 256, /* no protocol number is above 255 */
};

/* Returns the transport protocol, NOT_IP for anything but IPv4 and IPv6, or -1: malformed. */
static __always_inline int parse_network(struct cursor *c, struct network *network)
{
	struct ethhdr *eth;
	__u16 fragment;
	int next;

	*network = (struct network){};
	next = parse_eth(c, &eth);
	if (next < 0) /* unreachable: a frame holds its Ethernet header */
		return -1;
	next = parse_vlans(c, next);
	if (next < 0)
		return -1;

	if (next == ETH_P_IP) {
		next = parse_ipv4(c, &network->ip);
		if (next < 0)
			return -1;
		network->is_fragment = ipv4_is_fragment(network->ip);
		network->is_later_fragment = ipv4_is_later_fragment(network->ip);
		return next;
	}
	if (next == ETH_P_IPV6) {
		next = parse_ipv6(c, &network->ip6);
		if (next < 0)
			return -1;
		next = parse_ipv6_extensions(c, next, &fragment);
		if (next < 0)
			return -1;
		network->is_fragment = fragment & (IPV6_OFFSET | IPV6_MORE_FRAGMENTS);
		network->is_later_fragment = fragment & IPV6_OFFSET;
		return next;
	}
	return NOT_IP;
}

#endif
