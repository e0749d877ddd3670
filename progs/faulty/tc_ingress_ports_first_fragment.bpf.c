/* FAULT: a first fragment is held to the length of the whole datagram */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_network right_parse_network
#include "../include/network.h"
#undef parse_network

static __always_inline int parse_network(struct cursor *c, struct network *network)
{
	int protocol = right_parse_network(c, network);

	network->is_fragment = network->is_later_fragment;
	return protocol;
}

#include "../tc_ingress_ports.bpf.c"
