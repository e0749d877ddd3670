// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drops HTTP requests on port 80 unless their path is allowed: xdp_http's decision at TC ingress,
 * for devices without XDP and for what comes out of a tunnel.
 *
 * The decision and the order in which it is made stand in include/http.h. Malformed traffic is
 * shot, unknown traffic passes. Headers and path are looked at wherever the socket buffer keeps them
 * (include/pull.h); if there is no memory to pull them in, only the linear part is, and a header that
 * is cut there is malformed. The outer VLAN tag is out of band here, which makes no difference. Where
 * aggregates over 64 KiB are turned on (BIG TCP, off by default), IPv4 states no length for them:
 * malformed.
 * The packet is never changed.
 */
#include <linux/pkt_cls.h>
#include "include/http.h"
#include "include/pull.h"

SEC("tc")
int tc_http(struct __sk_buff *skb)
{
	return http_is_dropped(pull_headers(skb)) ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
