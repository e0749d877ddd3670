/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes a VLAN tag off a frame. */
#ifndef PROGS_VLAN_H
#define PROGS_VLAN_H

#include "parse.h"

/*
 * Takes the tag `vlan`, right behind `eth`, off the frame. Returns 0, or -1 if the frame could not be
 * changed. All packet pointers are void afterwards, and so is every offset: the frame begins
 * sizeof(struct vlan_header) bytes later than it did.
 */
static __always_inline int pop_vlan(struct xdp_md *ctx, const struct ethhdr *eth,
				    const struct vlan_header *vlan)
{
	struct ethhdr header = *eth;
	struct ethhdr *moved;

	header.h_proto = vlan->type;
	if (bpf_xdp_adjust_head(ctx, sizeof(*vlan))) /* unreachable: 14 bytes are left */
		return -1;
	moved = (void *)(long)ctx->data;
	if ((void *)(moved + 1) > (void *)(long)ctx->data_end) /* unreachable: 14 bytes are left */
		return -1;
	*moved = header;
	return 0;
}

#endif
