// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs that a check objects to, one a section, and some that none objects to. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct packet {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

/* Written by the programs: entries by source, counts by processor, whatever comes to mind. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, __u64);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

__u64 turn;

static __always_inline struct packet *whole(struct xdp_md *ctx)
{
	struct packet *packet = (void *)(long)ctx->data;

	return (void *)(packet + 1) > (void *)(long)ctx->data_end ? NULL : packet;
}

SEC("xdp")
int passes(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp")
int illegal(struct xdp_md *ctx)
{
	(void)ctx;
	return 77;
}

SEC("xdp")
int aborts(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_ABORTED;
}

SEC("xdp")
int spoils_checksum(struct xdp_md *ctx)
{
	struct packet *packet = whole(ctx);

	if (!packet)
		return XDP_PASS;
	packet->ip.tos ^= 4;
	return XDP_PASS;
}

SEC("xdp")
int spoils_ports(struct xdp_md *ctx)
{
	struct packet *packet = whole(ctx);

	if (!packet)
		return XDP_PASS;
	packet->udp.dest ^= 1;
	return XDP_PASS;
}

SEC("xdp")
int updates_no_checksum(struct xdp_md *ctx)
{
	struct packet *packet = whole(ctx);

	if (!packet)
		return XDP_PASS;
	packet->udp.check += 1; /* also where it was 0: none */
	return XDP_PASS;
}

SEC("xdp")
int redirects(struct xdp_md *ctx)
{
	struct packet *packet = whole(ctx);

	if (!packet)
		return XDP_PASS;
	packet->eth.h_dest[5] ^= 1;
	return XDP_REDIRECT;
}

SEC("xdp")
int bridges(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_REDIRECT;
}

SEC("xdp")
int shifts(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, 2))
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("xdp")
int collects(struct xdp_md *ctx)
{
	__u64 one = 1;
	struct packet *packet = whole(ctx);

	if (!packet)
		return XDP_PASS;
	bpf_map_update_elem(&sources, &packet->ip.saddr, &one, BPF_ANY);
	return XDP_DROP;
}

SEC("xdp")
int takes_turns(struct xdp_md *ctx)
{
	(void)ctx;
	return __sync_fetch_and_add(&turn, 1) & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int remembers(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&counts, &zero);
	__be32 *event;

	if (count)
		*count += 1;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		*event = 7;
		bpf_ringbuf_submit(event, 0);
	}
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp")
int rolls_dice(struct xdp_md *ctx)
{
	(void)ctx;
	return bpf_get_prandom_u32() & 1 ? XDP_DROP : XDP_PASS;
}

struct fired {
	struct bpf_timer timer;
	__u64 count;
};

/* Written by the timer of starts_a_timer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fired);
} timers SEC(".maps");

/* Written by takes_a_cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} cookies SEC(".maps");

static int fire(void *map, __u32 *key, struct fired *fired)
{
	(void)map;
	(void)key;
	__sync_fetch_and_add(&fired->count, 1);
	return 0;
}

SEC("xdp")
int starts_a_timer(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct fired *fired = bpf_map_lookup_elem(&timers, &zero);

	(void)ctx;
	if (fired) {
		bpf_timer_init(&fired->timer, &timers, 1);
		bpf_timer_set_callback(&fired->timer, fire);
		bpf_timer_start(&fired->timer, 0, 0);
	}
	return XDP_PASS;
}

SEC("tc")
int takes_a_cookie(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	__u32 zero = 0;

	bpf_map_update_elem(&cookies, &zero, &cookie, 0);
	return 0;
}

SEC("xdp")
int tunnels(struct xdp_md *ctx)
{
	struct packet *packet = whole(ctx), *outer;
	struct ethhdr eth;

	if (!packet || packet->eth.h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	eth = packet->eth;
	if (bpf_xdp_adjust_head(ctx, -20))
		return XDP_PASS;
	outer = whole(ctx);
	if (!outer)
		return XDP_ABORTED;
	outer->eth = eth;
	__builtin_memset(&outer->ip, 0, sizeof(outer->ip));
	outer->ip.version = 4;
	outer->ip.ihl = 5;
	outer->ip.tot_len = bpf_htons(ctx->data_end - ctx->data - sizeof(eth));
	outer->ip.ttl = 64;
	outer->ip.protocol = 4; /* the checksum is forgotten */
	return XDP_TX;
}

SEC("tc")
int writes_directly(struct __sk_buff *skb)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct ipv6hdr *ip6 = (void *)(eth + 1);

	if ((void *)(ip6 + 1) > (void *)(long)skb->data_end || ip6->version != 6)
		return TC_ACT_OK;
	ip6->hop_limit--; /* in no checksum of the packet, but in the sum that a device made */
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
