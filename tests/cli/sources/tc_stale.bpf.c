// SPDX-License-Identifier: GPL-2.0-or-later
/* Writes four bytes and leaves skb->csum as it was. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int stale(struct __sk_buff *skb)
{
	__u32 word = 0x01020304;

	return bpf_skb_store_bytes(skb, skb->len - 4, &word, 4, 0) ? 2 : 0;
}

char LICENSE[] SEC("license") = "GPL";
