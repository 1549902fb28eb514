/* SPDX-License-Identifier: MIT */
/* lines.h - what a QMP server sent, line by line; no I/O of its own */
#ifndef QMP_LINES_H
#define QMP_LINES_H

#include <stddef.h>

#include "qmp/parse.h"

/* Read at most this much at once. */
#define QMP_READ_STEP 4096u

struct qmp_lines {
	char *buf; /* what came and was not taken */
	size_t len, room, scanned;
	size_t max; /* of a line */
};

/* qmp_lines_init() - @max: bytes that a line may have */
void qmp_lines_init(struct qmp_lines *l, size_t max);
void qmp_lines_done(struct qmp_lines *l);

/* qmp_lines_room() - where to put QMP_READ_STEP bytes; NULL: no memory.
 * Borrowed until the next call. */
char *qmp_lines_room(struct qmp_lines *l);
/* qmp_lines_add() - @n bytes were put there */
void qmp_lines_add(struct qmp_lines *l, size_t n);

/**
 * qmp_lines_take() - the next message
 * @ret: written if 1 is returned; to be ended by qmp_message_done()
 *
 * Return: 1; 0: none is complete; -EMSGSIZE: the line is too long; -EPROTO: it
 * is not QMP.
 */
int qmp_lines_take(struct qmp_lines *l, struct qmp_message *ret);

#endif /* QMP_LINES_H */
