/* FAULT: the port is looked up in host order, in a map of network order */
// SPDX-License-Identifier: GPL-2.0-or-later
#define endpoint_asked right_endpoint_asked
#include "../../include/connect.h"
#undef endpoint_asked

static __always_inline struct endpoint endpoint_asked(const struct bpf_sock_addr *ctx)
{
	struct endpoint endpoint = right_endpoint_asked(ctx);

	endpoint.port = bpf_ntohs(ctx->user_port);
	return endpoint;
}

#include "../cgroup_connect.bpf.c"
