/* FAULT: the transport protocol is compared with an EtherType */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_network right_parse_network
#include "../include/network.h"
#undef parse_network

static __always_inline int parse_network(struct cursor *c, struct network *network)
{
	int protocol = right_parse_network(c, network);

	if (protocol < 0)
		return -1;
	return protocol == ETH_P_IP ? IPPROTO_TCP : NOT_IP;
}

#include "../xdp_http.bpf.c"
