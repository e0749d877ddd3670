/* FAULT: the protocol of a socket is not asked: UDP is judged as TCP */
// SPDX-License-Identifier: GPL-2.0-or-later
#define endpoint_asked right_endpoint_asked
#include "../../include/connect.h"
#undef endpoint_asked

static __always_inline struct endpoint endpoint_asked(const struct bpf_sock_addr *ctx)
{
	struct endpoint endpoint = right_endpoint_asked(ctx);

	endpoint.protocol = IPPROTO_TCP;
	return endpoint;
}

#include "../cgroup_connect.bpf.c"
