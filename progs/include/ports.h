/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which ports may be reached: the decision that xdp_ports and tc_ingress_ports share.
 *
 * It goes through the headers in turn (Ethernet, up to two VLAN tags, IPv4 with options or IPv6
 * with extension headers, then TCP, UDP or SCTP) and decides in this order:
 *
 *	malformed	a header is cut, or states a length that cannot be true: dropped
 *	no port		neither TCP, UDP nor SCTP on IP: passed. So are encrypted and authenticated
 *			packets (ESP, AH): what is behind those headers is not looked at
 *	later fragment	no port in it: passed. The first fragment has to hold the whole transport
 *			header (else it is malformed) and is judged like a whole packet; if it is
 *			dropped, the datagram is never put together again
 *	allowed		the rule of its protocol and destination port says so: passed, and counted
 *	denied		the rule says so: dropped, and counted
 *	unlisted	no rule: passed, or dropped if `closed`
 *
 * The transport checksums are not verified, and the source port means nothing. It never changes
 * the packet.
 */
#ifndef PROGS_PORTS_H
#define PROGS_PORTS_H

#include "network.h"

enum ports_reason {
	PORTS_MALFORMED,
	PORTS_NO_PORT,
	PORTS_LATER_FRAGMENT,
	PORTS_ALLOWED,
	PORTS_DENIED,
	PORTS_UNLISTED,
	PORTS_REASONS,
};

/* What has no rule is dropped. */
volatile const bool closed = false;

struct service_port {
	__be16 port;
	__u8 protocol; /* 6: TCP, 17: UDP, 132: SCTP */
	__u8 zero; /* padding by name: it is part of the key */
};

struct rule {
	__u64 packets; /* that met it; counted here */
	bool deny;
};

/* Rules by protocol and port. Written from user space, but for the count. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct service_port);
	__type(value, struct rule);
} rules SEC(".maps");

/* How many packets met each enum ports_reason. Written here, read from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PORTS_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

/*
 * Returns the destination port, or -1: malformed. The first fragment of a UDP datagram is shorter
 * than the length in its header, so that is not held against it.
 */
static __always_inline int parse_port(struct cursor *c, int protocol, bool is_fragment)
{
	struct sctp_header *sctp;
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (protocol == IPPROTO_TCP)
		return parse_tcp(c, &tcp);
	if (protocol == IPPROTO_SCTP)
		return parse_sctp(c, &sctp);
	if (!is_fragment)
		return parse_udp(c, &udp);

	udp = c->at;
	if ((void *)(udp + 1) > c->end || sizeof(*udp) > cursor_left(c) ||
	    bpf_ntohs(udp->len) < sizeof(*udp))
		return -1;
	return bpf_ntohs(udp->dest);
}

static __always_inline bool has_port(int protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline struct service_port service_port_of(int protocol, int port)
{
	struct service_port key = { .port = bpf_htons(port), .protocol = protocol };

	return key;
}

static __always_inline enum ports_reason ports_judge(struct cursor c)
{
	struct service_port key;
	struct network network;
	struct rule *rule;
	int protocol, port;

	protocol = parse_network(&c, &network);
	if (protocol < 0)
		return PORTS_MALFORMED;
	if (!has_port(protocol))
		return PORTS_NO_PORT;
	if (network.is_later_fragment)
		return PORTS_LATER_FRAGMENT;
	port = parse_port(&c, protocol, network.is_fragment);
	if (port < 0)
		return PORTS_MALFORMED;

	key = service_port_of(protocol, port);
	rule = bpf_map_lookup_elem(&rules, &key);
	if (!rule)
		return PORTS_UNLISTED;
	/* Atomic: packets to one port arrive on several processors. */
	__sync_fetch_and_add(&rule->packets, 1);
	return rule->deny ? PORTS_DENIED : PORTS_ALLOWED;
}

/* Judges, counts the reason, and leaves it to the hook how it spells the verdict. */
static __always_inline bool port_is_dropped(struct cursor c)
{
	enum ports_reason reason = ports_judge(c);
	__u32 key = reason;
	__u64 *count = bpf_map_lookup_elem(&reasons, &key);

	if (count) /* unreachable: every reason has its place in the array */
		*count += 1;
	return reason == PORTS_MALFORMED || reason == PORTS_DENIED ||
	       (reason == PORTS_UNLISTED && closed);
}

#endif
