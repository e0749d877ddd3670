/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rings: pieces of one array, in which a hash finds its slot. */
#ifndef PROGS_RING_H
#define PROGS_RING_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct ring {
	__u32 first; /* where in the array it begins */
	__u32 slots; /* how many are its own; better a prime number */
};

/* Returns the slot of a hash, as an index of the array, or the one so many steps further round. */
static __always_inline __u32 ring_slot(const struct ring *ring, __u32 hash, __u32 steps)
{
	return ring->first + (hash % ring->slots + steps) % ring->slots;
}

#endif
