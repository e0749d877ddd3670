// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Spreads the flows of services, TCP and UDP over IPv4 and IPv6, among the servers behind them, and
 * sends each packet back out of the device that it came by.
 *
 * A service is an address, a protocol and a port. It owns a piece of `ring`, whose slots name
 * backends; a flow's hash chooses the slot. All balancers with the same maps and `seed` choose
 * alike, and none keeps a memory of flows. A backend that is taken out of `backends` moves its own
 * flows, to what the following slots name, and no other flow; user space may then fill the ring
 * anew, as Maglev does, so that few others move.
 *
 * How a packet reaches its backend is the service's choice:
 *
 *	REWRITE		the destination address becomes the backend's, checksums are updated;
 *			tc_egress_balancer on the backend puts the service's address into answers
 *	ENCAPSULATE	an outer header (IPIP, or IPv6 in IPv6) is put in front, the packet in it
 *			stays; the backend has the service's address on its loopback, and answers
 *
 * Either way the backend's MAC becomes the destination, the frame's old destination the source, and
 * one hop is taken off. VLAN tags, up to two, stay. Everything else passes to the stack, untouched:
 * first what is found header by header, from the outside,
 *
 *	malformed	a header is cut, or states a length that cannot be true; also a packet that
 *			is longer than its frame
 *	other		not TCP, UDP or an ICMP error on IP; a group MAC; an error that quotes
 *			nothing of use, or a packet that its receiver has not sent
 *	options		IPv4 options or IPv6 extension headers: they may name another destination
 *	fragment	the first one, too: the later ones have no ports, and all must go one way
 *
 * then, in this order,
 *
 *	not ours	no service is there
 *	last hop	the stack answers that
 *	no backend	none in PROBES slots of the ring, or one of the other family
 *	too long	with the outer header it would not fit into `mtu`
 *	no room		the driver has none for an outer header
 *
 * ICMP errors about a flow (fragmentation needed, packet too big, unreachable ...) go where the flow
 * goes: what they quote is an answer, and its flow, turned round, is hashed. With REWRITE the quoted
 * packet gets the backend's address, too. A wrong checksum stays wrong; none is verified.
 */
#include "include/csum.h"
#include "include/flow.h"
#include "include/icmp.h"
#include "include/ring.h"
#include "include/tunnel.h"

enum {
	GROUP_BIT = 0x01, /* in the first byte of a MAC address: multicast or broadcast */
	RING_SLOTS = 16384, /* of all services together; Maglev wants 100 for each backend */
	PROBES = 8, /* slots of the ring that are looked at */
};

enum balancer_reason {
	BALANCER_MALFORMED,
	BALANCER_OTHER,
	BALANCER_OPTIONS,
	BALANCER_FRAGMENT,
	BALANCER_NOT_OURS,
	BALANCER_LAST_HOP,
	BALANCER_NO_BACKEND,
	BALANCER_TOO_LONG,
	BALANCER_NO_ROOM,
	BALANCER_SENT,
	BALANCER_REASONS,
};

enum delivery {
	REWRITE,
	ENCAPSULATE,
};

/* The longest IP packet that the way to the backends takes. */
volatile const __u32 mtu = 1500;

/* Who does not know it cannot choose which backend to flood. */
volatile const __u32 seed = 0;

struct service {
	struct ring ring; /* its piece of the map `ring` */
	enum delivery delivery;
	struct in6_addr source; /* of the outer header: an address of this balancer */
};

struct backend {
	struct in6_addr address; /* of the service's family */
	__u8 mac[ETH_ALEN]; /* the backend's, or of the router that leads there */
	__u64 packets; /* that it was sent; counted here, as are */
	__u64 bytes; /* of frames, as they came in */
};

/* Services. Written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct endpoint);
	__type(value, struct service);
} services SEC(".maps");

/* Backends by number, which is not 0. Written from user space, but for the counts. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* The slots of all rings, by their index: numbers of backends. Written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RING_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} ring SEC(".maps");

/* How many packets met each enum balancer_reason. Written here, read from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BALANCER_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

/* A packet, taken apart. Of ip and ip6 there is one; of tcp, udp and icmp as well. */
struct packet {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct ipv6hdr *ip6;
	struct tcphdr *tcp;
	struct udphdr *udp;
	struct icmp_header *icmp;
	struct quote quote; /* of icmp */
	__u64 link_size;
	__u32 length; /* of the IP packet */
	struct flow flow;
};

static __always_inline bool is_extension(int next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS;
}

/* Steps to the transport header. Returns BALANCER_SENT, or why the packet is not balanced. */
static __always_inline enum balancer_reason parse_internet(struct cursor *c, struct packet *packet,
							   int *protocol)
{
	int next = parse_eth(c, &packet->eth);

	if (next >= 0) /* unreachable: a frame holds its Ethernet header */
		next = parse_vlans(c, next);
	if (next < 0)
		return BALANCER_MALFORMED;
	if ((next != ETH_P_IP && next != ETH_P_IPV6) || packet->eth->h_dest[0] & GROUP_BIT)
		return BALANCER_OTHER;
	/* Tagged or not, the verifier is to see the same from here: half as much work for it. */
	if (c->start + sizeof(struct link) > c->end)
		return BALANCER_MALFORMED;
	if (cursor_settle(c) < 0) /* unreachable: headers take 12.5 KB at most */
		return BALANCER_MALFORMED;
	packet->link_size = cursor_offset(c);

	next = next == ETH_P_IP ? parse_ipv4(c, &packet->ip) : parse_ipv6(c, &packet->ip6);
	if (next < 0 || !cursor_is_whole(c))
		return BALANCER_MALFORMED;
	packet->length = c->stop - packet->link_size;

	if (packet->ip ? packet->ip->ihl != 5 : is_extension(next))
		return BALANCER_OPTIONS;
	if (packet->ip ? ipv4_is_fragment(packet->ip) : next == IPPROTO_FRAGMENT)
		return BALANCER_FRAGMENT;
	*protocol = next;
	return BALANCER_SENT;
}

static __always_inline struct flow flow_of(const struct iphdr *ip, const struct ipv6hdr *ip6,
					   const struct ports *ports)
{
	struct flow none = {};

	if (ip)
		return flow_of_ipv4(ip, ports);
	return ip6 ? flow_of_ipv6(ip6, ports) : none; /* unreachable: it is one of both */
}

/* Reads an ICMP error: its flow is the one that the quoted packet answers. */
static __always_inline enum balancer_reason parse_error(struct cursor *c, struct packet *packet)
{
	struct quote *quote = &packet->quote;
	bool is_v6 = packet->ip6;
	struct flow outer, answer;

	if (parse_icmp(c, &packet->icmp) < 0)
		return BALANCER_MALFORMED;
	if (!icmp_is_error(packet->icmp, is_v6))
		return BALANCER_OTHER;
	if (parse_quote(c, is_v6, quote) < 0)
		return BALANCER_OTHER;

	answer = flow_of(quote->ip, quote->ip6, quote->ports);
	outer = flow_of(packet->ip, packet->ip6, quote->ports);
	return flow_of_error(&outer, &answer, &packet->flow) ? BALANCER_SENT : BALANCER_OTHER;
}

/* Takes a frame apart. Returns BALANCER_SENT, or why the packet is not balanced. */
static __always_inline enum balancer_reason parse_packet(struct cursor *c, struct packet *packet)
{
	enum balancer_reason reason;
	void *transport;
	int protocol;

	reason = parse_internet(c, packet, &protocol);
	if (reason != BALANCER_SENT)
		return reason;
	if (protocol == icmp_protocol(packet->ip6))
		return parse_error(c, packet);

	transport = c->at;
	if (protocol == IPPROTO_TCP) {
		if (parse_tcp(c, &packet->tcp) < 0)
			return BALANCER_MALFORMED;
	} else if (protocol == IPPROTO_UDP) {
		if (parse_udp(c, &packet->udp) < 0)
			return BALANCER_MALFORMED;
	} else {
		return BALANCER_OTHER;
	}
	packet->flow = flow_of(packet->ip, packet->ip6, transport);
	return BALANCER_SENT;
}

static __always_inline struct service *service_of(const struct flow *flow)
{
	struct endpoint key = { .address = flow->destination,
				.port = flow->ports.destination,
				.protocol = flow->protocol };

	return bpf_map_lookup_elem(&services, &key);
}

/*
 * Returns the number of the backend that a flow belongs to, or 0. A function of its own, and global,
 * so that the verifier looks at it once and not for each kind of packet.
 */
__noinline __u32 choose(const struct flow *flow, const struct ring *own)
{
	__u32 hash;

	if (!flow || !own) /* unreachable: the verifier does not know the caller */
		return 0;
	if (!own->slots)
		return 0;
	hash = flow_hash(flow, seed);
	for (__u32 i = 0; i < PROBES; i++) {
		__u32 slot = ring_slot(own, hash, i);
		__u32 *number = bpf_map_lookup_elem(&ring, &slot);

		if (number && *number && bpf_map_lookup_elem(&backends, number))
			return *number;
	}
	return 0;
}

static __always_inline void decrease_hops(struct iphdr *ip, struct ipv6hdr *ip6)
{
	if (ip)
		ipv4_decrease_ttl(ip);
	else if (ip6) /* unreachable: it is one of both */
		ip6->hop_limit--;
}

/*
 * Makes the quoted packet one that the backend has sent, and ICMP's checksum one that covers it: of
 * IPv4, the address and the checksum of its header cancel out there.
 */
static __always_inline void rewrite_quote(struct packet *packet, const struct backend *backend)
{
	const struct in6_addr *from = &packet->flow.destination, *to = &backend->address;
	struct quote *quote = &packet->quote;
	struct icmp_header *icmp = packet->icmp;

	if (quote->ip) {
		__be32 address = to->s6_addr32[3];

		csum_replace4(&quote->ip->check, quote->ip->saddr, address);
		quote->ip->saddr = address;
	} else if (quote->ip6) { /* unreachable: it is one of both */
		csum_replace16(&icmp->checksum, from->s6_addr32, to->s6_addr32);
		quote->ip6->saddr = *to;
	}
	if (quote->checksum) {
		__sum16 before = *quote->checksum;

		csum_readdress(quote->checksum, packet->flow.protocol == IPPROTO_UDP,
			       from->s6_addr32, to->s6_addr32);
		csum_replace2(&icmp->checksum, before, *quote->checksum);
	}
}

/* Makes the backend's address the destination. */
static __always_inline void rewrite(struct packet *packet, const struct backend *backend)
{
	const __be32 *from = packet->flow.destination.s6_addr32, *to = backend->address.s6_addr32;
	struct ipv6hdr *ip6 = packet->ip6;
	struct iphdr *ip = packet->ip;

	if (packet->tcp) {
		csum_readdress(&packet->tcp->check, false, from, to);
	} else if (packet->udp) {
		csum_readdress(&packet->udp->check, true, from, to);
	} else if (packet->icmp) { /* unreachable: it is one of the three */
		rewrite_quote(packet, backend);
		if (ip6) /* ICMPv6 has a pseudo header, ICMP has none */
			csum_readdress(&packet->icmp->checksum, false, from, to);
	}

	decrease_hops(ip, ip6);
	if (ip) {
		csum_replace4(&ip->check, ip->daddr, to[3]);
		ip->daddr = to[3];
	} else if (ip6) { /* unreachable: it is one of both */
		ip6->daddr = backend->address;
	}
}

/* Puts a header in front that leads to the backend. Returns 0, or -1: there was no room. */
static __always_inline int encapsulate(struct xdp_md *ctx, const struct packet *packet,
				       const struct service *service, const struct backend *backend)
{
	if (packet->ip) {
		struct iphdr *outer = push_room(ctx, packet->link_size, sizeof(*outer));

		if (!outer) /* not in a test run: it has headroom enough */
			return -1;
		decrease_hops(outer + 1, NULL);
		ipv4_wrap(outer, outer + 1, &service->source, &backend->address);
	} else {
		struct ipv6hdr *outer = push_room(ctx, packet->link_size, sizeof(*outer));

		if (!outer) /* not in a test run: it has headroom enough */
			return -1;
		decrease_hops(NULL, outer + 1);
		ipv6_wrap(outer, outer + 1, &service->source, &backend->address);
	}
	return 0;
}

static __always_inline __u32 outer_size(const struct packet *packet)
{
	return packet->ip ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

static __always_inline bool is_last_hop(const struct packet *packet)
{
	if (packet->ip)
		return packet->ip->ttl <= 1;
	return packet->ip6 && /* unreachable: it is one of both */
	       packet->ip6->hop_limit <= 1;
}

static __always_inline enum balancer_reason balance(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	__u64 size = cursor_size(&c);
	struct packet packet = {};
	struct backend *backend;
	struct service *service;
	enum balancer_reason reason;
	struct ethhdr *eth;
	struct flow flow;
	struct ring own;
	__u32 number;

	reason = parse_packet(&c, &packet);
	if (reason != BALANCER_SENT)
		return reason;
	service = service_of(&packet.flow);
	if (!service)
		return BALANCER_NOT_OURS;
	if (is_last_hop(&packet))
		return BALANCER_LAST_HOP;
	flow = packet.flow;
	own = service->ring;
	number = choose(&flow, &own);
	backend = number ? bpf_map_lookup_elem(&backends, &number) : NULL;
	if (!backend || ipv4_is_mapped(&backend->address) != !!packet.ip)
		return BALANCER_NO_BACKEND;

	if (service->delivery == REWRITE) {
		rewrite(&packet, backend);
	} else {
		if (packet.length + outer_size(&packet) > mtu)
			return BALANCER_TOO_LONG;
		/* not in a test run: it has headroom enough */
		if (encapsulate(ctx, &packet, service, backend) < 0)
			return BALANCER_NO_ROOM;
	}
	eth = (void *)(long)ctx->data; /* it may have moved */
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end) /* unreachable: it has not shrunk */
		return BALANCER_NO_ROOM;
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, backend->mac, ETH_ALEN);

	/* Atomic: a backend's packets arrive on several processors. */
	__sync_fetch_and_add(&backend->packets, 1);
	__sync_fetch_and_add(&backend->bytes, size);
	return BALANCER_SENT;
}

SEC("xdp")
int xdp_balancer(struct xdp_md *ctx)
{
	enum balancer_reason reason = balance(ctx);
	__u32 key = reason;
	__u64 *count = bpf_map_lookup_elem(&reasons, &key);

	if (count) /* unreachable: every reason has its place in the array */
		*count += 1;
	return reason == BALANCER_SENT ? XDP_TX : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
