// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs for the tests of wires with several ports: the first two bytes behind Ethernet say where
 * a frame goes. An entry of a devmap, an interface's number, or the ingress of one.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

enum {
	HOW = 14,
	WHERE = 15,
	BY_MAP = 1,
	INTO = 2,
	COPY = 3,
};

/* Written by the test: interfaces by number. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* Written by the test: the length of the queue, by the number of a processor. */
struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} cpus SEC(".maps");

SEC("xdp")
int redirect_cpu(struct xdp_md *ctx)
{
	unsigned char *at = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(at + WHERE + 1) > end)
		return XDP_PASS;
	return bpf_redirect_map(&cpus, at[WHERE], XDP_DROP);
}

SEC("xdp")
int redirect_xdp(struct xdp_md *ctx)
{
	unsigned char *at = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(at + WHERE + 1) > end)
		return XDP_PASS;
	if (at[HOW] == BY_MAP)
		return bpf_redirect_map(&ports, at[WHERE], XDP_DROP);
	return bpf_redirect(at[WHERE], 0);
}

SEC("tc")
int redirect_tc(struct __sk_buff *skb)
{
	unsigned char *at = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if ((void *)(at + WHERE + 1) > end)
		return TC_ACT_OK;
	if (at[HOW] == COPY) {
		bpf_clone_redirect(skb, at[WHERE], 0);
		return TC_ACT_OK;
	}
	return bpf_redirect(at[WHERE], at[HOW] == INTO ? BPF_F_INGRESS : 0);
}

/* Runs behind a redirect, for an entry of a devmap: it cannot be attached to an interface. */
SEC("xdp/devmap")
int behind_redirect(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
