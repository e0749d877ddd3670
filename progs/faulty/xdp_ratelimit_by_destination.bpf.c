/* FAULT: the bucket is that of the destination: one source has the tokens of all that it writes to */
// SPDX-License-Identifier: GPL-2.0-or-later
#include "../include/parse.h"
#define saddr daddr
#include "../xdp_ratelimit.bpf.c"
