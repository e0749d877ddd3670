/* FAULT: of SCTP, the source port is judged */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_sctp right_parse_sctp
#include "../include/parse.h"
#undef parse_sctp

static __always_inline int parse_sctp(struct cursor *c, struct sctp_header **header)
{
	int port = right_parse_sctp(c, header);

	return port < 0 ? -1 : bpf_ntohs((*header)->ports.source);
}

#include "../xdp_ports.bpf.c"
