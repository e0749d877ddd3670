// SPDX-License-Identifier: GPL-2.0-or-later
/* Gives back keys of a flow, and no frame. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("flow_dissector")
int dissects(struct __sk_buff *skb)
{
	return skb->data < skb->data_end ? BPF_OK : BPF_DROP;
}

char LICENSE[] SEC("license") = "GPL";
