/* FAULT: a zero byte ends the path, so a longer path has the key of an allowed one */
// SPDX-License-Identifier: GPL-2.0-or-later
#define parse_path right_parse_path
#include "../include/path.h"
#undef parse_path

static __always_inline int parse_path(struct cursor *c, struct path *path)
{
	__u64 left = cursor_left(c);
	const char *text;

	if (cursor_settle(c) < 0)
		return -1;
	text = c->at;
	for (__u32 i = 0; i <= PATH_SIZE; i++) {
		if ((void *)(text + i + 1) > c->end)
			return -1;
		if (text[i] == ' ' || text[i] == '?' || text[i] == '\0')
			return i < left ? 0 : -1;
		if (i == PATH_SIZE)
			return -1;
		path->text[i] = text[i];
	}
	return -1;
}

#include "../xdp_http.bpf.c"
