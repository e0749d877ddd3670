// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Takes the outer VLAN tag (802.1Q or 802.1ad) off frames of the VLANs in the map `untagged`, and
 * lets every frame through.
 *
 * Untagged frames, tags that are cut short and VLANs that are not listed stay as they are. So does
 * everything behind the tag: an inner tag is the outer one afterwards.
 */
#include "include/parse.h"
#include "include/vlan.h"

enum {
	VLAN_ID = 0x0fff, /* of the tci */
};

/* VLANs to untag, by id; the value counts frames. Keys are written from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u16);
	__type(value, __u64);
} untagged SEC(".maps");

SEC("xdp")
int xdp_untag(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	struct vlan_header *vlan;
	struct ethhdr *eth;
	__u64 *frames;
	__u16 id;
	int type;

	type = parse_eth(&c, &eth);
	if (type != ETH_P_8021Q && type != ETH_P_8021AD)
		return XDP_PASS;
	vlan = c.at;
	if ((void *)(vlan + 1) > c.end)
		return XDP_PASS;
	id = bpf_ntohs(vlan->tci) & VLAN_ID;
	frames = bpf_map_lookup_elem(&untagged, &id);
	if (!frames)
		return XDP_PASS;
	if (pop_vlan(ctx, eth, vlan) < 0) /* unreachable: there is a tag to take off */
		return XDP_PASS;

	__sync_fetch_and_add(frames, 1); /* atomic: a VLAN's frames arrive on several processors */
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
