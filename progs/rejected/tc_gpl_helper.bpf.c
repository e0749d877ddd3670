/* EXPECT: cannot call GPL-restricted function from non-GPL compatible program */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Uses a helper that is for programs under the GPL, under another licence. */
#include "../include/parse.h"

SEC("tc")
int tc_gpl_helper(struct __sk_buff *skb)
{
	bpf_printk("%u bytes", skb->len);
	return 0;
}

char LICENSE[] SEC("license") = "Proprietary";
