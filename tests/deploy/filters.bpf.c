// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two filters that differ in nothing but their name: each drops frames of EtherType 0x88b6, counts
 * them in `dropped`, and passes all others. Whatever of that type arrives behind them took a path
 * on which neither stood.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum {
	MARKED = 0x88b6,
};

/* Every program here adds to it, tests read it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} dropped SEC(".maps");

/* Whatever a test puts there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __be32);
	__type(value, __u32);
} blocked SEC(".maps");

/* XDP frames that were passed. */
__u64 passed;

static __always_inline int is_marked(void *data, void *end)
{
	struct ethhdr *eth = data;
	__u32 key = 0;
	__u64 *count;

	if ((void *)(eth + 1) > end || eth->h_proto != bpf_htons(MARKED))
		return 0;
	count = bpf_map_lookup_elem(&dropped, &key);
	if (count)
		(*count)++;
	return 1;
}

static __always_inline int xdp(struct xdp_md *ctx)
{
	if (is_marked((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_DROP;
	__sync_fetch_and_add(&passed, 1);
	return XDP_PASS;
}

static __always_inline int tc(struct __sk_buff *skb)
{
	if (is_marked((void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("xdp")
int old_xdp(struct xdp_md *ctx)
{
	return xdp(ctx);
}

SEC("xdp")
int new_xdp(struct xdp_md *ctx)
{
	return xdp(ctx);
}

SEC("tc")
int old_tc(struct __sk_buff *skb)
{
	return tc(skb);
}

SEC("tc")
int new_tc(struct __sk_buff *skb)
{
	return tc(skb);
}

/* Drops nothing. */
SEC("tc")
int passes_tc(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_OK;
}

/* Drops what the first four bytes of the payload name, when that is in `blocked`. */
SEC("tc")
int blocks_tc(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	__be32 *key = (void *)(eth + 1);

	if ((void *)(key + 1) > end)
		return TC_ACT_OK;
	return bpf_map_lookup_elem(&blocked, key) ? TC_ACT_SHOT : TC_ACT_OK;
}

/* Drops everything: what a health command or a share of traffic is to notice. */
SEC("xdp")
int drops_all(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

/* These two no interface takes: one runs behind a redirect, the other behind a filter. */
SEC("xdp/devmap")
int behind_xdp(struct xdp_md *ctx)
{
	return xdp(ctx);
}

SEC("action")
int behind_tc(struct __sk_buff *skb)
{
	return tc(skb);
}

char LICENSE[] SEC("license") = "GPL";
