/* FAULT: the ports of the packet that an ICMP error quotes are not turned round */
// SPDX-License-Identifier: GPL-2.0-or-later
#define flow_of_error right_flow_of_error
#include "../include/flow.h"
#undef flow_of_error

static __always_inline bool flow_of_error(const struct flow *outer, const struct flow *answer,
					  struct flow *flow)
{
	bool is_sound = right_flow_of_error(outer, answer, flow);

	flow->ports = answer->ports;
	return is_sound;
}

#include "../xdp_balancer.bpf.c"
