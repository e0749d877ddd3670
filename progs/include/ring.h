/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rings: a map's keys, from one number to another, in which a hash finds its slot. */
#ifndef PROGS_RING_H
#define PROGS_RING_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct ring {
	__u32 first; /* the first key that is its own */
	__u32 slots; /* how many there are; better a prime number */
};

/* Returns the key of a hash's slot, or of the one so many steps further round. */
static __always_inline __u32 ring_slot(const struct ring *ring, __u32 hash, __u32 steps)
{
	return ring->first + (hash % ring->slots + steps) % ring->slots;
}

#endif
