// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads the packet without looking where it ends: the verifier refuses it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int refused(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	return data[20] ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
