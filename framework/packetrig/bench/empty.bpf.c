// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does nothing: what a run of it costs is what every run costs.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC(SECTION)
int empty(void *ctx)
{
	(void)ctx;
	return VERDICT;
}

char LICENSE[] SEC("license") = "GPL";
