/* FAULT: the last slot of a ring is never chosen: the remainder of one less than there are */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ring_slot right_ring_slot
#include "../include/ring.h"
#undef ring_slot

static __always_inline __u32 ring_slot(const struct ring *ring, __u32 hash, __u32 steps)
{
	return ring->first + (hash % (ring->slots - 1) + steps) % ring->slots;
}

#include "../xdp_balancer.bpf.c"
