/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header cursor: one small parser for each header, used one after the other.
 *
 * Each parser checks the bounds before it reads, moves the cursor behind its header, hands the
 * header out, and returns what comes next (>= 0, in host order) or -1 if the header is malformed:
 * cut short, or with a length that cannot be true. Nothing else returns -1.
 *
 * Lengths that the packet states are held against both ends: not shorter than the fixed header
 * (ihl and doff of 0 to 4 exist on the wire), not longer than what is there.
 *
 * No parser verifies a checksum: the stack does that, and a program that forwards does not mend
 * what came in broken.
 */
#ifndef PROGS_PARSE_H
#define PROGS_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

enum {
	MAX_VLAN_TAGS = 2, /* one service tag and one customer tag (802.1ad) */
	MAX_IPV6_EXTENSIONS = 6, /* RFC 8200 lists each kind once, destination options twice */
};

enum {
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_OFFSET = 0x1fff,
	IPV6_MORE_FRAGMENTS = 0x0001,
	IPV6_OFFSET = 0xfff8,
};

enum {
	OFFSET_MAX = 0x7fff, /* no linear part is longer; the verifier wants some bound */
	STOP_UNKNOWN = 0x7fffffff,
};

struct cursor {
	void *start; /* data: the first byte of the frame */
	void *at; /* the next byte to read */
	void *end; /* data_end: the first byte that may not be read */
	__u64 stop; /* offset from `start` where the packet's own bytes stop: padding follows */
};

struct vlan_header {
	__be16 tci; /* priority (3 bits), drop eligible (1), VLAN id (12) */
	__be16 type;
};

/* The beginning of TCP, UDP and SCTP. */
struct ports {
	__be16 source;
	__be16 destination;
};

struct sctp_header {
	struct ports ports;
	__be32 tag;
	__be32 checksum;
};

struct ipv6_extension {
	__u8 next;
	__u8 length; /* in units of 8 bytes, the first 8 not counted; fragment header: reserved */
	__be16 offset; /* fragment header only */
};

static __always_inline struct cursor cursor_over(void *data, void *data_end)
{
	struct cursor c = { data, data, data_end, STOP_UNKNOWN };

	return c;
}

/*
 * How many bytes lie behind the cursor. The barriers keep clang from adding up what it knows, and
 * from subtracting 32 bits of the pointers only, which the verifier prohibits.
 */
static __always_inline __u64 cursor_offset(const struct cursor *c)
{
	void *at = c->at;
	__u64 offset;

	barrier_var(at);
	offset = at - c->start;
	barrier_var(offset);
	return offset;
}

/* How many bytes before it are the packet's own, whether they can be read or not. */
static __always_inline __u64 cursor_left(const struct cursor *c)
{
	__u64 offset = cursor_offset(c);

	return offset < c->stop ? c->stop - offset : 0;
}

/*
 * Whether the next `size` bytes are the packet's own. No `size > cursor_left(c)`: on the way where
 * nothing is left Linux 6.1 compares 0 with `size`, does not see how that ends, and goes astray.
 */
static __always_inline bool cursor_holds(const struct cursor *c, __u64 size)
{
	return cursor_offset(c) + size <= c->stop;
}

/* How long the frame is, or what of it can be read. */
static __always_inline __u64 cursor_size(const struct cursor *c)
{
	void *end = c->end;
	__u64 size;

	barrier_var(end);
	size = end - c->start;
	barrier_var(size);
	return size;
}

/*
 * Whether all of the packet is there: the frame does not end before the IP header says so. To be
 * asked by who forwards; in a multi-buffer frame there is more than can be read.
 */
static __always_inline bool cursor_is_whole(const struct cursor *c)
{
	return c->stop <= cursor_size(c);
}

/*
 * Makes the verifier forget by which headers the cursor came here: the difference of two pointers
 * is any number to it. What follows is then verified once, not once for each way through the
 * headers: without it xdp_http is beyond the verifier's million, with it below 5,000 instructions.
 * Returns 0, or -1 beyond OFFSET_MAX. Pointers are only subtracted for who has CAP_PERFMON.
 */
static __always_inline int cursor_settle(struct cursor *c)
{
	__u64 offset = cursor_offset(c);

	if (offset > OFFSET_MAX) /* unreachable: headers take 12.5 KB at most */
		return -1;
	c->at = c->start + offset;
	return 0;
}

/* Returns the EtherType. A length (802.3, below 1536) comes back as the number that it is. */
static __always_inline int parse_eth(struct cursor *c, struct ethhdr **header)
{
	struct ethhdr *eth = c->at;

	if ((void *)(eth + 1) > c->end) /* unreachable: a frame holds its Ethernet header */
		return -1;
	c->at = eth + 1;
	*header = eth;
	return bpf_ntohs(eth->h_proto);
}

/* Steps over the tags behind `type`. A third tag is left alone: its type is returned. */
static __always_inline int parse_vlans(struct cursor *c, int type)
{
	for (int i = 0; i < MAX_VLAN_TAGS; i++) {
		struct vlan_header *vlan = c->at;

		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
		if ((void *)(vlan + 1) > c->end)
			return -1;
		c->at = vlan + 1;
		type = bpf_ntohs(vlan->type);
	}
	return type;
}

/*
 * Returns the protocol. Steps over the options and takes the packet's own length from the header;
 * a total length beyond the end of the frame is no fault here (the linear part of a multi-buffer
 * frame is all that a program sees): reads stay bounded by `end` all the same.
 */
static __always_inline int parse_ipv4(struct cursor *c, struct iphdr **header)
{
	struct iphdr *ip = c->at;
	__u32 size, total;

	if ((void *)(ip + 1) > c->end)
		return -1;
	size = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || size < sizeof(*ip) || total < size)
		return -1;
	if (c->at + size > c->end)
		return -1;
	c->stop = cursor_offset(c) + total;
	c->at += size;
	*header = ip;
	return ip->protocol;
}

static __always_inline bool ipv4_is_fragment(const struct iphdr *ip)
{
	return ip->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET);
}

/* A fragment other than the first: no transport header follows, only bytes that may look like one. */
static __always_inline bool ipv4_is_later_fragment(const struct iphdr *ip)
{
	return ip->frag_off & bpf_htons(IPV4_OFFSET);
}

/*
 * Returns the next header. A length of zero before hop-by-hop options is a jumbogram (RFC 2675):
 * its own length is not known then.
 */
static __always_inline int parse_ipv6(struct cursor *c, struct ipv6hdr **header)
{
	struct ipv6hdr *ip6 = c->at;

	if ((void *)(ip6 + 1) > c->end)
		return -1;
	if (ip6->version != 6)
		return -1;
	c->at = ip6 + 1;
	if (ip6->payload_len || ip6->nexthdr != IPPROTO_HOPOPTS)
		c->stop = cursor_offset(c) + bpf_ntohs(ip6->payload_len);
	*header = ip6;
	return ip6->nexthdr;
}

/*
 * Steps over the extension headers behind `next` and returns the protocol, or the kind of the first
 * header that is not one of them (ESP, AH, none). More than MAX_IPV6_EXTENSIONS are malformed.
 * `*fragment` becomes offset and more-flag of the fragment header, as it states them (0 without);
 * the walk ends at a later fragment, since no header follows there.
 */
static __always_inline int parse_ipv6_extensions(struct cursor *c, int next, __u16 *fragment)
{
	*fragment = 0;
	for (int i = 0; i <= MAX_IPV6_EXTENSIONS; i++) {
		struct ipv6_extension *extension;
		__u32 size = 8;

		if (cursor_settle(c) < 0) /* unreachable: headers take 12.5 KB at most */
			return -1;
		if (cursor_offset(c) > c->stop)
			return -1;
		if (*fragment & IPV6_OFFSET)
			return next;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			return next;

		extension = c->at;
		if ((void *)(extension + 1) > c->end)
			return -1;
		if (next == IPPROTO_FRAGMENT)
			*fragment = bpf_ntohs(extension->offset);
		else
			size += extension->length * 8;
		if (c->at + size > c->end)
			return -1;
		next = extension->next;
		c->at += size;
	}
	return -1;
}

/*
 * Returns the destination port, which is what names the payload's protocol. The header is data
 * offset times 4 bytes long, never taken to be 20.
 */
static __always_inline int parse_tcp(struct cursor *c, struct tcphdr **header)
{
	struct tcphdr *tcp = c->at;
	__u32 size;

	if ((void *)(tcp + 1) > c->end)
		return -1;
	size = tcp->doff * 4;
	if (size < sizeof(*tcp) || !cursor_holds(c, size))
		return -1;
	if (c->at + size > c->end)
		return -1;
	c->at += size;
	*header = tcp;
	return bpf_ntohs(tcp->dest);
}

/* Returns the destination port. For whole datagrams: a first fragment is shorter than it states. */
static __always_inline int parse_udp(struct cursor *c, struct udphdr **header)
{
	struct udphdr *udp = c->at;
	__u32 size;

	if ((void *)(udp + 1) > c->end)
		return -1;
	size = bpf_ntohs(udp->len);
	if (size < sizeof(*udp) || size > cursor_left(c))
		return -1;
	c->stop = cursor_offset(c) + size;
	c->at = udp + 1;
	*header = udp;
	return bpf_ntohs(udp->dest);
}

/* Returns the destination port. The chunks are not looked at, nor are they in the first fragment. */
static __always_inline int parse_sctp(struct cursor *c, struct sctp_header **header)
{
	struct sctp_header *sctp = c->at;

	if ((void *)(sctp + 1) > c->end || sizeof(*sctp) > cursor_left(c))
		return -1;
	c->at = sctp + 1;
	*header = sctp;
	return bpf_ntohs(sctp->ports.destination);
}

#endif
