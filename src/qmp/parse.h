/* SPDX-License-Identifier: MIT */
/* parse.h - one line of QMP, checked; pure */
#ifndef QMP_PARSE_H
#define QMP_PARSE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What QEMU says is nested less than ten deep. */
#define QMP_DEPTH_MAX 32u

enum qmp_kind {
	QMP_GREETING,
	QMP_RETURN,
	QMP_ERROR,
	QMP_EVENT,
};

/* Everything points into @root, which qmp_message_done() frees. */
struct qmp_message {
	enum qmp_kind kind;
	json_t *root;
	json_t *body;     /* "return", or an event's "data" (NULL: none) */
	const char *name; /* event's name, or the error's class */
	const char *text; /* the error's description */
	bool has_id;
	json_int_t id; /* of a return or an error, if it had a number */
};

/**
 * qmp_parse() - take one line apart
 * @line: without the line's end; need not be terminated
 * @ret:  written only on success
 *
 * Every field that its kind must have is there afterwards and of the right
 * type. Unknown members are ignored, an unknown kind is not.
 *
 * Return: 0, or -EPROTO.
 */
int qmp_parse(const char *line, size_t len, struct qmp_message *ret);

void qmp_message_done(struct qmp_message *m);

#endif /* QMP_PARSE_H */
