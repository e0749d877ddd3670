/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an application asks for when it connects a socket. */
#ifndef PROGS_CONNECT_H
#define PROGS_CONNECT_H

#include "flow.h"

/* Port and protocol of the destination; the address is IPv4's or IPv6's own matter. */
static __always_inline struct endpoint endpoint_asked(const struct bpf_sock_addr *ctx)
{
	struct endpoint endpoint = {
		.port = ctx->user_port, /* in network order, in a field of 32 bits */
		.protocol = ctx->protocol,
	};

	return endpoint;
}

#endif
