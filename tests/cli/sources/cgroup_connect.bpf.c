// SPDX-License-Identifier: GPL-2.0-or-later
/* Sees no packet: it is asked when an application connects. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/connect4")
int cgroup_connect(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
