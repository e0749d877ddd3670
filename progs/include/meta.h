/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xdp_marker writes in front of a packet, and tc_ingress reads there. */
#ifndef PROGS_META_H
#define PROGS_META_H

#include <linux/bpf.h>

enum {
	META_MAGIC = 0x70747267, /* others may write metadata, too */
};

struct meta {
	__u32 magic;
	__u32 mark;
};

#endif
