/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first line of an HTTP request: `GET `, and the path behind it. */
#ifndef PROGS_PATH_H
#define PROGS_PATH_H

#include "parse.h"

enum {
	PATH_SIZE = 64,
	GET_SIZE = 4,
};

/* A path as a map's key: padded with zeros, so that equal paths are equal keys. */
struct path {
	char text[PATH_SIZE];
};

/* Steps over `GET `; false, and nothing stepped over, if the payload begins otherwise. */
static __always_inline bool parse_get(struct cursor *c)
{
	const char *text = c->at;

	if (cursor_left(c) < GET_SIZE || c->at + GET_SIZE > c->end)
		return false;
	if (text[0] != 'G' || text[1] != 'E' || text[2] != 'T' || text[3] != ' ')
		return false;
	c->at += GET_SIZE;
	return true;
}

/*
 * Copies the path into a zeroed `path`, without the space or the `?` that ends it. Returns 0, or -1
 * if no end is in sight: not within the payload, or not within PATH_SIZE bytes and one.
 * A zero byte ends nothing: such a path returns -1 as well, for its key would be a shorter path's.
 */
static __always_inline int parse_path(struct cursor *c, struct path *path)
{
	__u64 left = cursor_left(c);
	const char *text;

	if (cursor_settle(c) < 0) /* unreachable: headers take 12.5 KB at most */
		return -1;
	text = c->at;
	for (__u32 i = 0; i <= PATH_SIZE; i++) { /* unreachable: it returns before */
		if ((void *)(text + i + 1) > c->end)
			return -1;
		if (text[i] == ' ' || text[i] == '?')
			return i < left ? 0 : -1;
		if (text[i] == '\0' || i == PATH_SIZE)
			return -1;
		path->text[i] = text[i];
	}
	return -1;
}

#endif
