// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Refuses connections where the application asks for them: connect() of a process in the cgroup gets
 * EPERM if the destination is in the map `refused`, before a packet exists. TCP, and UDP sockets that
 * are connected; IPv4, IPv6, and IPv4 by an IPv6 socket (::ffff:192.0.2.1), which is judged as IPv4.
 *
 * An entry with port 0 refuses every port of its address, and is asked for last. Everything else is
 * allowed. What is sent without connect() is not seen, nor are connections that exist already.
 */
#include "../include/connect.h"

enum {
	REFUSE = 0,
	ALLOW = 1,
};

/* Destinations to refuse. Keys are written from user space; the value counts refusals, here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct endpoint);
	__type(value, __u64);
} refused SEC(".maps");

static __always_inline int judge(struct endpoint *key)
{
	__u64 *count = bpf_map_lookup_elem(&refused, key);

	if (!count) {
		key->port = 0;
		count = bpf_map_lookup_elem(&refused, key);
	}
	if (!count)
		return ALLOW;
	/* Atomic: several processes try. */
	__sync_fetch_and_add(count, 1);
	return REFUSE;
}

SEC("cgroup/connect4")
int cgroup_connect(struct bpf_sock_addr *ctx)
{
	struct endpoint key = endpoint_asked(ctx);

	ipv4_map(&key.address, ctx->user_ip4);
	return judge(&key);
}

SEC("cgroup/connect6")
int cgroup_connect6(struct bpf_sock_addr *ctx)
{
	struct endpoint key = endpoint_asked(ctx);

	/* Word by word: no other access to this context is allowed. */
	key.address.s6_addr32[0] = ctx->user_ip6[0];
	key.address.s6_addr32[1] = ctx->user_ip6[1];
	key.address.s6_addr32[2] = ctx->user_ip6[2];
	key.address.s6_addr32[3] = ctx->user_ip6[3];
	return judge(&key);
}

char LICENSE[] SEC("license") = "GPL";
