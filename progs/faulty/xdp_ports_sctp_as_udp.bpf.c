/* FAULT: the tag of SCTP is taken for the length of UDP */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_sctp right_parse_sctp
#include "../include/parse.h"
#undef parse_sctp

static __always_inline int parse_sctp(struct cursor *c, struct sctp_header **header)
{
	(void)header;
	return parse_udp(c, (struct udphdr **)header);
}

#include "../xdp_ports.bpf.c"
