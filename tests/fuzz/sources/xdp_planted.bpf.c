// SPDX-License-Identifier: GPL-2.0-or-later
/* Aborts where the ports of a UDP packet are equal: a frame that no catalogue holds. */
#include "faults.h"

SEC("xdp")
int xdp_planted(struct xdp_md *ctx)
{
	struct udphdr *udp = udp_of(ctx);

	if (!udp)
		return XDP_PASS;
	if (udp->dest == bpf_htons(4321) && udp->source == bpf_htons(4321))
		return XDP_ABORTED;
	return XDP_PASS;
}
