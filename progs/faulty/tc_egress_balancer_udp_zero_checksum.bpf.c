/* FAULT: a UDP checksum of zero, which says that there is none, is updated */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ipv4_replace_source right_ipv4_replace_source
#include "../include/source.h"
#undef ipv4_replace_source

static __always_inline int ipv4_replace_source(struct __sk_buff *skb, struct places at,
					       int protocol, __be32 from, __be32 to)
{
	__u64 flags = BPF_F_PSEUDO_HDR;

	(void)protocol;
	if (bpf_l4_csum_replace(skb, at.checksum, from, to, flags | sizeof(to)))
		return -1;
	if (bpf_l3_csum_replace(skb, at.network + offsetof(struct iphdr, check), from, to,
				sizeof(to)))
		return -1;
	return bpf_skb_store_bytes(skb, at.network + offsetof(struct iphdr, saddr), &to, sizeof(to),
				   0);
}

#include "../tc_egress_balancer.bpf.c"
