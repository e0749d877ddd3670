// SPDX-License-Identifier: GPL-2.0-or-later
/* Drops a port; -DOTHER drops another one as well. */
#include "faults.h"

SEC("xdp")
int xdp_twins(struct xdp_md *ctx)
{
	struct udphdr *udp = udp_of(ctx);

	if (!udp)
		return XDP_PASS;
#ifdef OTHER
	if (udp->dest == bpf_htons(1234))
		return XDP_DROP;
#endif
	return udp->dest == bpf_htons(99) ? XDP_DROP : XDP_PASS;
}
