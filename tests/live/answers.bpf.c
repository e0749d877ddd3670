// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs for the tests of the wire: byte 14 of a frame is the answer, byte 15, if it is not 0,
 * replaces its first byte. Frames under 16 bytes pass. What a test wants to see happen on an
 * interface, it writes into the frame.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum {
	ANSWER = 14,
	STAMP = 15,
};

SEC("xdp")
int answer_xdp(struct xdp_md *ctx)
{
	unsigned char *at = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(at + STAMP + 1) > end)
		return XDP_PASS;
	if (at[STAMP])
		at[0] = at[STAMP];
	return at[ANSWER];
}

/* As answer_xdp, for frames that are longer than a page. */
SEC("xdp.frags")
int answer_frags(struct xdp_md *ctx)
{
	unsigned char *at = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(at + STAMP + 1) > end)
		return XDP_PASS;
	if (at[STAMP])
		at[0] = at[STAMP];
	return at[ANSWER];
}

SEC("tc")
int answer_tc(struct __sk_buff *skb)
{
	unsigned char *at = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if ((void *)(at + STAMP + 1) > end)
		return TC_ACT_OK;
	if (at[STAMP])
		at[0] = at[STAMP];
	return at[ANSWER];
}

/* Answers by what it saw before: the first frame passes, all later ones are dropped. */
static volatile __u32 seen;

SEC("xdp")
int only_the_first(struct xdp_md *ctx)
{
	(void)ctx;
	return __sync_fetch_and_add(&seen, 1) ? XDP_DROP : XDP_PASS;
}

/* At TC ingress the VLAN tag is beside the frame; in a test run it is not. */
SEC("tc")
int drops_bare_frames(struct __sk_buff *skb)
{
	return skb->vlan_present ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc")
int pushes_a_tag(struct __sk_buff *skb)
{
	return bpf_skb_vlan_push(skb, bpf_htons(0x8100), 7) ? TC_ACT_SHOT : TC_ACT_OK;
}

/* In a test run, a frame to any address but that of the loopback is another host's. */
SEC("tc")
int drops_for_others(struct __sk_buff *skb)
{
	return skb->pkt_type == 3 ? TC_ACT_SHOT : TC_ACT_OK; /* PACKET_OTHERHOST */
}

SEC("xdp")
int xdp_passes(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* A test run is on the loopback. */
SEC("tc")
int drops_on_loopback(struct __sk_buff *skb)
{
	return skb->ifindex == 1 ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("xdp")
int xdp_drops_on_loopback(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex == 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int xdp_redirects_on_loopback(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex == 1 ? XDP_REDIRECT : XDP_PASS;
}

/* A test run has room behind each frame, an interface as much as its driver left. */
SEC("xdp")
int xdp_grows(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_tail(ctx, 300) ? XDP_DROP : XDP_PASS;
}

/* A test run's skb is linear. */
SEC("tc")
int drops_in_pieces(struct __sk_buff *skb)
{
	return skb->data_end - skb->data < skb->len ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
