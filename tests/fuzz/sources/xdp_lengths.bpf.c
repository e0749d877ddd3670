// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs that abort at one length: of the frame, of what UDP carries, and by the last byte. */
#include "faults.h"

SEC("xdp")
int frame(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data == 333 ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int datagram(struct xdp_md *ctx)
{
	struct udphdr *udp = udp_of(ctx);
	void *end = (void *)(long)ctx->data_end;

	if (udp && udp->len == bpf_htons(777) && (void *)udp + 777 == end)
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("xdp")
int payload(struct xdp_md *ctx)
{
	struct udphdr *udp = udp_of(ctx);
	void *end = (void *)(long)ctx->data_end;

	long size;

	if (!udp)
		return XDP_PASS;
	size = end - (void *)(udp + 1);
	/* Or clang takes the number from the end, which the verifier refuses. */
	asm volatile("" : "+r"(size));
	return size == 1001 ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int last(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (end - data != 1300 || data + 1300 > end)
		return XDP_PASS;
	return data[1299] == 0x7a ? XDP_ABORTED : XDP_PASS;
}
