/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replaces the source address of a packet in a socket buffer, with the checksums that cover it. The
 * kernel's helpers do it: a packet of this host may carry the sum of the pseudo header alone, where
 * the device is to compute the rest (CHECKSUM_PARTIAL), and only they know.
 */
#ifndef PROGS_SOURCE_H
#define PROGS_SOURCE_H

#include "flow.h"

/* Where the headers are, in bytes from the start of the frame. */
struct places {
	__u32 network;
	__u32 checksum; /* of the transport header */
};

/* How bpf_l4_csum_replace is to work: UDP's zero says that there is no checksum, and stays. */
static __always_inline __u64 checksum_flags(int protocol)
{
	return BPF_F_PSEUDO_HDR | (protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
}

/* Returns 0, or another number: not all was done. All packet pointers are void afterwards. */
static __always_inline int ipv4_replace_source(struct __sk_buff *skb, struct places at,
					       int protocol, __be32 from, __be32 to)
{
	__u64 flags = checksum_flags(protocol) | sizeof(to);

	/* not in a test run: for want of memory */
	if (bpf_l4_csum_replace(skb, at.checksum, from, to, flags))
		return -1;
	/* not in a test run: for want of memory */
	if (bpf_l3_csum_replace(skb, at.network + offsetof(struct iphdr, check), from, to,
				sizeof(to)))
		return -1;
	return bpf_skb_store_bytes(skb, at.network + offsetof(struct iphdr, saddr), &to, sizeof(to),
				   0);
}

/* The same for IPv6. */
static __always_inline int ipv6_replace_source(struct __sk_buff *skb, struct places at,
					       int protocol, struct in6_addr *from,
					       struct in6_addr *to)
{
	__s64 difference =
		bpf_csum_diff((__be32 *)from, sizeof(*from), (__be32 *)to, sizeof(*to), 0);

	/* not in a test run: for want of memory */
	if (bpf_l4_csum_replace(skb, at.checksum, 0, difference, checksum_flags(protocol)))
		return -1;
	/*
	 * Where the device summed up the packet (CHECKSUM_COMPLETE), the helper has accounted for
	 * its own change, but not for the address: together they change nothing.
	 */
	bpf_csum_update(skb, difference);
	return bpf_skb_store_bytes(skb, at.network + offsetof(struct ipv6hdr, saddr), to,
				   sizeof(*to), 0);
}

#endif
