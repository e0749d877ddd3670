// SPDX-License-Identifier: GPL-2.0-or-later
/* Runs behind a redirect, where no test run goes. */
#include "faults.h"

SEC("xdp/devmap")
int xdp_behind(struct xdp_md *ctx)
{
	return udp_of(ctx) ? XDP_DROP : XDP_PASS;
}
