/* SPDX-License-Identifier: MIT */
/* lines.c - what a QMP server sent, line by line */
#include "qmp/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void qmp_lines_init(struct qmp_lines *l, size_t max)
{
	*l = (struct qmp_lines){.max = max};
}

void qmp_lines_done(struct qmp_lines *l)
{
	free(l->buf);
	qmp_lines_init(l, l->max);
}

char *qmp_lines_room(struct qmp_lines *l)
{
	char *buf;

	if (l->room - l->len < QMP_READ_STEP) {
		buf = realloc(l->buf, l->room * 2 + QMP_READ_STEP);
		if (!buf)
			return NULL;
		l->buf = buf;
		l->room = l->room * 2 + QMP_READ_STEP;
	}
	return l->buf + l->len;
}

void qmp_lines_add(struct qmp_lines *l, size_t n)
{
	if (n > l->room - l->len)
		abort(); /* the caller wrote past its room already */
	l->len += n;
}

int qmp_lines_take(struct qmp_lines *l, struct qmp_message *ret)
{
	const char *end = NULL;
	size_t line = l->len;
	int r;

	if (l->len > l->scanned)
		end = memchr(l->buf + l->scanned, '\n', l->len - l->scanned);
	if (end)
		line = (size_t)(end - l->buf);
	if (line > l->max)
		return -EMSGSIZE;
	if (!end) {
		l->scanned = l->len;
		return 0;
	}
	r = qmp_parse(l->buf, line, ret);
	l->len -= line + 1;
	l->scanned = 0;
	memmove(l->buf, end + 1, l->len);
	return r < 0 ? r : 1;
}
