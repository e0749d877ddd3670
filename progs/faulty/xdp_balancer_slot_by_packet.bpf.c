/* FAULT: the slot is chosen for each packet, not for each flow: all go round in turn */
// SPDX-License-Identifier: GPL-2.0-or-later
#define ring_slot right_ring_slot
#include "../include/ring.h"
#undef ring_slot

__u32 turn;

static __always_inline __u32 ring_slot(const struct ring *ring, __u32 hash, __u32 steps)
{
	(void)hash;
	(void)steps;
	return ring->first + __sync_fetch_and_add(&turn, 1) % ring->slots;
}

#include "../xdp_balancer.bpf.c"
