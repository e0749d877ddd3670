// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs that abort when a map is full, behind segments, at an address, at a sum of bytes. */
#include "faults.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, __be32);
	__type(value, __u32);
} sources SEC(".maps");

SEC("xdp")
int full(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u32 one = 1;
	__be32 source;

	if ((void *)(ip + 1) > end || ip->version != 4)
		return XDP_PASS;
	source = ip->saddr;
	return bpf_map_update_elem(&sources, &source, &one, BPF_ANY) ? XDP_ABORTED : XDP_PASS;
}

struct segments {
	__u8 next, length, type, left, last, flags;
	__be16 tag;
};

SEC("xdp")
int routed(struct xdp_md *ctx)
{
	struct segments header;

	if (bpf_xdp_load_bytes(ctx, 54, &header, sizeof(header)) < 0 || header.type != 4)
		return XDP_PASS;
	if (header.length * 8 != (header.last + 1) * 16 || header.last != 2)
		return XDP_PASS;
	return header.left == 1 && header.flags & 8 ? XDP_ABORTED : XDP_PASS;
}

static const __u8 address[16] = { 0x20, 1, 0xd, 0xb8, 7, 7, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8 };

SEC("xdp")
int addressed(struct xdp_md *ctx)
{
	__u8 destination[16];

	if (bpf_xdp_load_bytes(ctx, 38, destination, sizeof(destination)) < 0)
		return XDP_PASS;
	return __builtin_memcmp(destination, address, sizeof(address)) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int summed(struct xdp_md *ctx)
{
	__u8 bytes[3];

	if (bpf_xdp_load_bytes(ctx, 42, bytes, sizeof(bytes)) < 0)
		return XDP_PASS;
	return bytes[0] * 4 + bytes[1] + bytes[2] * 8 == 2777 ? XDP_ABORTED : XDP_PASS;
}

volatile const __u8 station[6] = { 0xde, 0xad, 0x99, 1, 2, 3 };

SEC("xdp")
int sent_by(struct xdp_md *ctx)
{
	__u8 source[6];
	int differs = 0;

	if (bpf_xdp_load_bytes(ctx, 6, source, sizeof(source)) < 0)
		return XDP_PASS;
	for (int i = 0; i < 6; i++)
		differs |= source[i] ^ station[i];
	return differs ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int sent_to(struct xdp_md *ctx)
{
	__be32 to[4];

	if (bpf_xdp_load_bytes(ctx, 38, to, sizeof(to)) < 0)
		return XDP_PASS;
	return (to[0] ^ bpf_htonl(0xfd00fd01)) | (to[1] ^ bpf_htonl(0x00aa00bb)) |
			       (to[2] ^ bpf_htonl(0x12)) | (to[3] ^ bpf_htonl(0x99))
		       ? XDP_PASS
		       : XDP_ABORTED;
}
