/* FAULT: XDP's numbers are returned at TC, where 1 and 2 mean other things */
// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/pkt_cls.h>
#include "../include/parse.h"

#undef TC_ACT_OK
#undef TC_ACT_SHOT
enum {
	TC_ACT_SHOT = XDP_DROP,
	TC_ACT_OK = XDP_PASS,
};

#include "../tc_ingress_ports.bpf.c"
