/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which HTTP requests may pass: the decision that xdp_http and tc_http share.
 *
 * It goes through the headers in turn (Ethernet, up to two VLAN tags, IPv4 with options or IPv6
 * with extension headers, TCP with data offset times 4 bytes) and decides in this order:
 *
 *	malformed	a header is cut, or states a length that cannot be true: dropped
 *	not TCP		passed, as is everything that is neither IPv4 nor IPv6
 *	later fragment	no TCP header in it: passed. The first fragment is judged like a whole
 *			packet; if it is dropped, the datagram is never put together again
 *	other port	the destination port is not `port`: passed
 *	no request	the payload does not begin with `GET `: passed (also an empty one)
 *	path cut	the path does not end within the payload, or within PATH_SIZE bytes: dropped
 *	allowed		the path is in the map `allowed`: passed
 *	refused		it is not: dropped
 *
 * The path is what stands between `GET ` and the next space or `?`, byte for byte: nothing is
 * decoded, folded or normalised, so whoever writes `/%69ndex.html` is refused. A zero byte in it
 * counts as cut, since the map's keys are padded with zeros.
 *
 * The payload ends where the IP header says so: what a short frame is padded with is not read.
 * One segment is judged at a time; a request that is spread over several is not put together.
 * It never changes the packet.
 */
#ifndef PROGS_HTTP_H
#define PROGS_HTTP_H

#include "network.h"
#include "path.h"

enum http_reason {
	HTTP_MALFORMED,
	HTTP_NOT_TCP,
	HTTP_LATER_FRAGMENT,
	HTTP_OTHER_PORT,
	HTTP_NO_REQUEST,
	HTTP_PATH_CUT,
	HTTP_ALLOWED,
	HTTP_REFUSED,
	HTTP_REASONS,
};

/* The TCP port that is watched, in host order. */
volatile const __u16 port = 80;

/* Paths that may be asked for. Written from user space, read here; the value is not looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct path);
	__type(value, __u8);
} allowed SEC(".maps");

/* How many packets met each enum http_reason. Written here, read from user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HTTP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

static __always_inline enum http_reason http_judge(struct cursor c)
{
	struct network network;
	struct tcphdr *tcp;
	struct path path = {};
	int next;

	next = parse_network(&c, &network);
	if (next < 0)
		return HTTP_MALFORMED;
	if (next != IPPROTO_TCP)
		return HTTP_NOT_TCP;
	if (network.is_later_fragment)
		return HTTP_LATER_FRAGMENT;

	next = parse_tcp(&c, &tcp);
	if (next < 0)
		return HTTP_MALFORMED;
	if (next != port)
		return HTTP_OTHER_PORT;

	if (!parse_get(&c))
		return HTTP_NO_REQUEST;
	if (parse_path(&c, &path) < 0)
		return HTTP_PATH_CUT;
	return bpf_map_lookup_elem(&allowed, &path) ? HTTP_ALLOWED : HTTP_REFUSED;
}

/* Judges, counts the reason, and leaves it to the hook how it spells the verdict. */
static __always_inline bool http_is_dropped(struct cursor c)
{
	enum http_reason reason = http_judge(c);
	__u32 key = reason;
	__u64 *count = bpf_map_lookup_elem(&reasons, &key);

	if (count) /* unreachable: every reason has its place in the array */
		*count += 1;
	return reason == HTTP_MALFORMED || reason == HTTP_PATH_CUT || reason == HTTP_REFUSED;
}

#endif
