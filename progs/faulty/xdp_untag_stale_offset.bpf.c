/* FAULT: the frame moved with bpf_xdp_adjust_head, the offset from before is used */
// SPDX-License-Identifier: GPL-2.0-or-later
#define pop_vlan right_pop_vlan
#include "../include/vlan.h"
#undef pop_vlan

static __always_inline int pop_vlan(struct xdp_md *ctx, const struct ethhdr *eth,
				    const struct vlan_header *vlan)
{
	struct ethhdr header = *eth;
	struct ethhdr *moved;

	header.h_proto = vlan->type;
	if (bpf_xdp_adjust_head(ctx, sizeof(*vlan)))
		return -1;
	moved = (void *)(long)ctx->data + sizeof(*vlan);
	if ((void *)(moved + 1) > (void *)(long)ctx->data_end)
		return -1;
	*moved = header;
	return 0;
}

#include "../xdp_untag.bpf.c"
