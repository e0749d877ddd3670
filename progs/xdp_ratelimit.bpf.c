// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Limits the packets of each IPv4 source by a token bucket.
 *
 * A source's first packet opens its bucket, full; each packet takes a token; every `period_ns` earns
 * one, up to the bucket's depth: that of the route that the source comes by, else `depth`. Without
 * a token the packet is dropped and counted. Whoever takes the last token is reported in `events`.
 * Frames that are not IPv4 pass, malformed IPv4 headers pass to the stack, which discards them:
 * neither takes a token. Each fragment does. If `buckets` is full, the oldest source makes room.
 * It never changes the packet.
 */
#include "include/parse.h"

/* How many packets a source may send at once, where no route says otherwise. */
volatile const __u32 depth = 100;

/* How long it takes to earn a token; 0: none is ever earned. */
volatile const __u64 period_ns = 1000000;

/* Every frame that came by, of whatever kind. In all: one number, whatever the processor. */
__u64 seen;

struct bucket {
	__s64 tokens; /* below 0 for as long as it takes to give one back */
	__u64 refilled_ns; /* up to when tokens were earned, by the kernel's monotonic clock */
};

struct prefix4 {
	__u32 length;
	__be32 address;
};

struct event {
	__be32 source;
	__u32 depth;
	__u64 emptied_ns;
};

/* Nothing else keeps the struct in BTF, by which a reader of the ring buffer knows its fields. */
const struct event *unused_event;

/* The bucket of each source. Written here, and from user space for a source of its own. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

/* Networks, and how deep the buckets of the sources behind them are. Written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u32);
} routes SEC(".maps");

/* All that was dropped. Written here, read from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

/* A struct event for each bucket that ran empty. Written here, read from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

static __always_inline __u32 depth_for(__be32 source)
{
	struct prefix4 prefix = { .length = 32, .address = source };
	__u32 *found = bpf_map_lookup_elem(&routes, &prefix);

	return found ? *found : depth;
}

/* Adds what was earned. Whoever moves the clock on adds the tokens, so no time is paid twice. */
static __always_inline void refill(struct bucket *bucket, __s64 full, __u64 now)
{
	__u64 since = bucket->refilled_ns;
	__s64 tokens = bucket->tokens;
	__u64 earned;

	if (!period_ns || now < since)
		return;
	earned = (now - since) / period_ns;
	if (!earned)
		return;
	/* not in a test run: another processor has moved it on in between */
	if (__sync_val_compare_and_swap(&bucket->refilled_ns, since, since + earned * period_ns) !=
	    since)
		return;
	if (tokens >= full)
		return;
	if (earned > (__u64)(full - tokens))
		earned = full - tokens;
	__sync_fetch_and_add(&bucket->tokens, earned);
}

static __always_inline void report(__be32 source, __u32 full, __u64 now)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return; /* nobody reads: the limit holds all the same */
	event->source = source;
	event->depth = full;
	event->emptied_ns = now;
	bpf_ringbuf_submit(event, 0);
}

/* Takes a token, atomically: packets of one source arrive on several processors. */
static __always_inline bool take(__be32 source)
{
	__u32 full = depth_for(source);
	__u64 now = bpf_ktime_get_ns();
	struct bucket fresh = { .tokens = full, .refilled_ns = now };
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &source);
	__s64 tokens;

	if (!bucket) {
		bpf_map_update_elem(&buckets, &source, &fresh, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &source);
		if (!bucket) /* not in a test run: other processors have taken its place already */
			return true;
	}
	refill(bucket, full, now);
	tokens = __sync_fetch_and_add(&bucket->tokens, -1);
	if (tokens == 1)
		report(source, full, now);
	if (tokens <= 0)
		__sync_fetch_and_add(&bucket->tokens, 1);
	return tokens > 0;
}

SEC("xdp")
int xdp_ratelimit(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	struct ethhdr *eth;
	struct iphdr *ip;
	__u32 key = 0;
	__u64 *count;
	int type;

	__sync_fetch_and_add(&seen, 1);
	type = parse_eth(&c, &eth);
	if (type >= 0) /* unreachable: a frame holds its Ethernet header */
		type = parse_vlans(&c, type);
	if (type != ETH_P_IP || parse_ipv4(&c, &ip) < 0 || take(ip->saddr))
		return XDP_PASS;

	count = bpf_map_lookup_elem(&drops, &key);
	if (count) /* unreachable: the array has this place */
		*count += 1;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
