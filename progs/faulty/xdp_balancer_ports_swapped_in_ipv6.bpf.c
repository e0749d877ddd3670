/* FAULT: source and destination port change places, for IPv6 only */
// SPDX-License-Identifier: GPL-2.0-or-later
#define flow_of_ipv6 right_flow_of_ipv6
#include "../include/flow.h"
#undef flow_of_ipv6

static __always_inline struct flow flow_of_ipv6(const struct ipv6hdr *ip6,
						const struct ports *ports)
{
	struct flow flow = right_flow_of_ipv6(ip6, ports);

	flow.ports.source = ports->destination;
	flow.ports.destination = ports->source;
	return flow;
}

#include "../xdp_balancer.bpf.c"
