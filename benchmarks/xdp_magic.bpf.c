// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Eight conditions, one inside the other, that no frame meets by chance: a VLAN tag, IPv4, TCP with
 * options, a port, "GET ", and four bytes that are compared one by one. Whoever meets them all is
 * answered with ABORTED. A plain TCP SYN meets none of them.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct vlan {
	__be16 tci;
	__be16 type;
};

/* How many packets met each of the conditions. */
__u64 levels[8];

static __always_inline void met(__u32 level)
{
	__sync_fetch_and_add(&levels[level], 1);
}

SEC("xdp")
int xdp_magic(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct vlan *vlan = (void *)(eth + 1);
	struct iphdr *ip = (void *)(vlan + 1);
	struct tcphdr *tcp;
	__u8 *text;

	if ((void *)(vlan + 1) > end || eth->h_proto != bpf_htons(ETH_P_8021Q))
		return XDP_PASS;
	met(0);
	if ((void *)(ip + 1) > end || vlan->type != bpf_htons(ETH_P_IP) || ip->version != 4 ||
	    ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	met(1);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > end || tcp->doff < 6)
		return XDP_PASS;
	met(2);
	if (tcp->dest != bpf_htons(8642))
		return XDP_PASS;
	met(3);
	text = (void *)tcp + tcp->doff * 4;
	if ((void *)(text + 8) > end || text[0] != 'G' || text[1] != 'E' || text[2] != 'T' ||
	    text[3] != ' ')
		return XDP_PASS;
	met(4);
	if (text[4] != 0xde)
		return XDP_PASS;
	met(5);
	if (text[5] != 0xad)
		return XDP_PASS;
	met(6);
	if (text[6] != 0xbe)
		return XDP_PASS;
	met(7);
	if (text[7] != 0xef)
		return XDP_PASS;
	return XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
