/* FAULT: only 802.1Q tags are known, 802.1ad is not */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_vlans right_parse_vlans
#include "../include/parse.h"
#undef parse_vlans

static __always_inline int parse_vlans(struct cursor *c, int type)
{
	for (int i = 0; i < MAX_VLAN_TAGS; i++) {
		struct vlan_header *vlan = c->at;

		if (type != ETH_P_8021Q)
			break;
		if ((void *)(vlan + 1) > c->end)
			return -1;
		c->at = vlan + 1;
		type = bpf_ntohs(vlan->type);
	}
	return type;
}

#include "../xdp_ports.bpf.c"
