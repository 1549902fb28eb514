/* SPDX-License-Identifier: MIT */
/*
 * watch.h - a QMP connection that lasts: events by name, commands in a queue
 *
 * No I/O and no clock of its own: the owner of the socket puts in what came
 * and takes out what is to be sent. What comes is foreign: a line and the
 * depth of what is in it are limited, and whatever is not QMP, or answers what
 * was not asked, ends the connection.
 *
 *	greeting --> qmp_capabilities --> ready --> events, answers
 */
#ifndef QMP_WATCH_H
#define QMP_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "qmp/lines.h"

/* Events and the answers that are asked for have a few hundred bytes. */
#define QMP_WATCH_LINE_MAX 65536u
/* Commands that wait for an answer. Their text is a few hundred bytes. */
#define QMP_WATCH_ASKED_MAX 8u
/* Bytes that QEMU has not read yet; whoever answers without reading, by
 * guessing ids, is asked nothing more. */
#define QMP_WATCH_OUT_MAX 16384u

struct qmp_watch;

/* An event that is listened to; @body: its data, or NULL. Borrowed. */
struct qmp_event {
	const char *name;
	void (*happened)(void *data, const json_t *body);
};

/* A command's answer: a QMP_RETURN or a QMP_ERROR. Borrowed. */
typedef void qmp_answered(void *data, const struct qmp_message *m);

struct qmp_watch {
	const struct qmp_event *events; /* ends with a row of NULLs */
	void (*ready)(void *data);      /* commands are taken from now on */
	void *data;
	struct qmp_lines in;
	bool greeted, is_ready;
	struct {
		json_int_t id;
		qmp_answered *answered;
	} asked[QMP_WATCH_ASKED_MAX]; /* oldest first */
	unsigned int n_asked;
	json_int_t last_id;
	char *out; /* not sent yet */
	size_t out_len;
};

/* qmp_watch_init() - the table, @ready and @data are borrowed */
void qmp_watch_init(struct qmp_watch *w, const struct qmp_event *events,
		    void (*ready)(void *data), void *data);
void qmp_watch_done(struct qmp_watch *w);

/* qmp_watch_room() - where to read QMP_READ_STEP bytes to; NULL: no memory */
char *qmp_watch_room(struct qmp_watch *w);
/**
 * qmp_watch_input() - @n bytes were put there; act on what is complete
 *
 * Return: 0; -EPROTO, -EMSGSIZE or -ENOMEM, and the connection is of no use
 * any more.
 */
int qmp_watch_input(struct qmp_watch *w, size_t n);

/* qmp_watch_output() - bytes that are to be sent, @ret_len of them */
const char *qmp_watch_output(const struct qmp_watch *w, size_t *ret_len);
void qmp_watch_output_done(struct qmp_watch *w, size_t n);

/**
 * qmp_watch_ask() - send a command; @answered is called once, unless the
 * connection ends before
 * @arguments: consumed; NULL for none
 *
 * Return: 0; -ENOTCONN (not ready), -EBUSY (too many wait), -ENOMEM.
 */
int qmp_watch_ask(struct qmp_watch *w, const char *name, json_t *arguments,
		  qmp_answered *answered);

#endif /* QMP_WATCH_H */
