// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Passes everything. What it writes into UDP packets (-DBYTE) and what it counts (-DCOUNT) tell one
 * build from another; told to be position(), it is by how far a ring buffer is, which nobody puts
 * back.
 */
#include "faults.h"

#ifndef BYTE
#define BYTE 2
#endif
#ifndef COUNT
#define COUNT 1
#endif

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline __u64 position(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_PROD_POS) >> 4;
}

SEC("xdp")
int xdp_apart(struct xdp_md *ctx)
{
	unsigned char *first = (void *)(long)ctx->data;
	__u64 number = 1, *count;
	__u32 zero = 0;

	count = bpf_map_lookup_elem(&counts, &zero);
	if (!count || !udp_of(ctx) || (void *)(first + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	bpf_ringbuf_output(&events, &number, sizeof(number), BPF_RB_NO_WAKEUP);
	*first = BYTE;
	*count += COUNT;
	return XDP_PASS;
}
