// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs that change what they are given, one a section, to see it come back. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

volatile const __s32 delta = 4;
volatile const __u32 verdict = 77;

SEC("xdp")
int count_first_byte(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	if ((void *)(data + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	data[0]++;
	return XDP_TX;
}

SEC("xdp")
int grow_head(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -delta) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int cut_tail(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_tail(ctx, -delta) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int leave_meta(struct xdp_md *ctx)
{
	__u32 *meta;

	if (bpf_xdp_adjust_meta(ctx, -4))
		return XDP_ABORTED;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return XDP_ABORTED;
	*meta = 0x11223344;
	return XDP_PASS;
}

SEC("xdp")
int read_meta(struct xdp_md *ctx)
{
	__u32 *meta = (void *)(long)ctx->data_meta;

	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return XDP_DROP;
	return *meta == 0x04030201 ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int linear_is_empty(struct xdp_md *ctx)
{
	return ctx->data_end == ctx->data ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int any_verdict(struct xdp_md *ctx)
{
	(void)ctx;
	return verdict;
}

SEC("xdp.frags")
int last_byte(struct xdp_md *ctx)
{
	__u8 byte = 0xee;
	__u32 length = bpf_xdp_get_buff_len(ctx);

	if (bpf_xdp_store_bytes(ctx, length - 1, &byte, 1))
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("tc")
int mark_it(struct __sk_buff *skb)
{
	skb->mark += 1;
	skb->priority = 3;
	skb->cb[1] = skb->cb[0] + 1;
	return TC_ACT_OK;
}

SEC("tc")
int unspec(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int packet_type(struct __sk_buff *skb)
{
	return skb->pkt_type;
}

SEC("tc")
int protocol_and_vlan(struct __sk_buff *skb)
{
	skb->mark = bpf_ntohs(skb->protocol);
	return skb->vlan_present ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
