// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Takes over the mark that xdp_marker left in the metadata, and counts packets by mark.
 *
 * Every packet is let through, unchanged. Without metadata, or with that of another program, a
 * packet keeps the mark that it has. Nothing of the packet itself is read, so none is malformed.
 */
#include <linux/pkt_cls.h>
#include "include/meta.h"
#include "include/parse.h"

struct traffic {
	__u64 packets;
	__u64 bytes;
};

/* Packets and bytes by mark. Written here, read from user space; the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic SEC(".maps");

SEC("tc")
int tc_ingress(struct __sk_buff *skb)
{
	struct meta *meta = (void *)(long)skb->data_meta;
	struct traffic first = { .packets = 1, .bytes = skb->len };
	struct traffic *sum;
	__u32 mark;

	if ((void *)(meta + 1) <= (void *)(long)skb->data && /* not in a test run: no metadata */
	    meta->magic == META_MAGIC) /* not in a test run: no metadata */
		skb->mark = meta->mark;

	mark = skb->mark;
	sum = bpf_map_lookup_elem(&traffic, &mark);
	if (!sum) {
		bpf_map_update_elem(&traffic, &mark, &first, BPF_NOEXIST);
		return TC_ACT_OK;
	}
	/* Atomic: packets of one mark arrive on several processors. */
	__sync_fetch_and_add(&sum->packets, 1);
	__sync_fetch_and_add(&sum->bytes, skb->len);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
