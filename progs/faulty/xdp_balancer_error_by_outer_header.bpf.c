/* FAULT: an ICMP error is hashed by its own addresses, not by those of the packet that it quotes */
// SPDX-License-Identifier: GPL-2.0-or-later
#define flow_of_error right_flow_of_error
#include "../include/flow.h"
#undef flow_of_error

static __always_inline bool flow_of_error(const struct flow *outer, const struct flow *answer,
					  struct flow *flow)
{
	bool is_sound = right_flow_of_error(outer, answer, flow);

	flow->source = outer->source;
	return is_sound;
}

#include "../xdp_balancer.bpf.c"
