// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops packets by where they go: destination ports of TCP, UDP and SCTP, over IPv4 and IPv6.
 *
 * The decision and the order in which it is made stand in include/ports.h. Malformed traffic is
 * dropped, unknown traffic passes. Of a multi-buffer frame only the linear part is seen, which is
 * where its headers are. The packet is never changed; ABORTED is never returned.
 */
#include "include/ports.h"

SEC("xdp")
int xdp_ports(struct xdp_md *ctx)
{
	struct cursor c = cursor_over((void *)(long)ctx->data, (void *)(long)ctx->data_end);

	return port_is_dropped(c) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
