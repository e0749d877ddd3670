/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP in IP (RFC 2003) and IPv6 in IPv6 (RFC 2473): a header is put in front of the packet. */
#ifndef PROGS_TUNNEL_H
#define PROGS_TUNNEL_H

#include "csum.h"
#include "flow.h"

enum {
	TUNNEL_TTL = 64,
	IPV4_DO_NOT_FRAGMENT = 0x4000,
};

/* What comes before IP: how much of it is there depends on the number of tags. */
struct link {
	struct ethhdr eth;
	struct vlan_header tags[MAX_VLAN_TAGS];
};

enum {
	LINK_SIZE_1 = sizeof(struct ethhdr) + sizeof(struct vlan_header),
};

/*
 * Makes room for `size` bytes behind the first `link_size` bytes of the frame, which are its link
 * header. Returns where the room is, or NULL: the frame could not be changed. All packet pointers
 * are void afterwards; the room and an IP header behind it may be accessed.
 */
static __always_inline void *push_room(struct xdp_md *ctx, __u64 link_size, int size)
{
	struct link *link = (void *)(long)ctx->data;
	struct link saved;
	void *end;

	/* The longest form can be read whatever its length: an IP header follows. */
	if ((void *)(link + 1) > (void *)(long)ctx->data_end) /* unreachable: IP follows */
		return NULL;
	saved = *link;
	if (bpf_xdp_adjust_head(ctx, -size)) /* not in a test run: it has headroom enough */
		return NULL;

	/* Compared behind the call: Linux 6.1 forgets there what it knew of a value on the stack. */
	barrier_var(link_size);
	if (link_size > sizeof(saved)) /* unreachable: no more tags are stepped over */
		return NULL;
	link = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(link + 1) > end) /* unreachable: the frame has become longer */
		return NULL;
	if ((void *)link + link_size + 2 * size > end) /* unreachable: two headers are in it */
		return NULL;
	if (link_size == sizeof(struct link))
		*link = saved;
	else if (link_size == LINK_SIZE_1)
		__builtin_memcpy(link, &saved, LINK_SIZE_1);
	else
		link->eth = saved.eth;
	return (void *)link + link_size;
}

/* Writes the outer header of `inner`, which stands right behind it. It may not be fragmented. */
static __always_inline void ipv4_wrap(struct iphdr *outer, const struct iphdr *inner,
				      const struct in6_addr *source,
				      const struct in6_addr *destination)
{
	*outer = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tos = inner->tos, /* DSCP, and ECN as RFC 6040 wants it */
		.tot_len = bpf_htons(bpf_ntohs(inner->tot_len) + sizeof(*outer)),
		.frag_off = bpf_htons(IPV4_DO_NOT_FRAGMENT),
		.ttl = TUNNEL_TTL,
		.protocol = IPPROTO_IPIP,
		.saddr = source->s6_addr32[3],
		.daddr = destination->s6_addr32[3],
	};
	outer->check = ipv4_checksum(outer);
}

/* The same for IPv6. Traffic class and flow label are those of the inner header. */
static __always_inline void ipv6_wrap(struct ipv6hdr *outer, const struct ipv6hdr *inner,
				      const struct in6_addr *source,
				      const struct in6_addr *destination)
{
	*(__be32 *)outer = *(const __be32 *)inner;
	outer->payload_len = bpf_htons(bpf_ntohs(inner->payload_len) + sizeof(*outer));
	outer->nexthdr = IPPROTO_IPV6;
	outer->hop_limit = TUNNEL_TTL;
	outer->saddr = *source;
	outer->daddr = *destination;
}

#endif
