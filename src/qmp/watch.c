/* SPDX-License-Identifier: MIT */
/* watch.c - a QMP connection that lasts: events by name, commands in a queue */
#include "qmp/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/command.h"

void qmp_watch_init(struct qmp_watch *w, const struct qmp_event *events,
		    void (*ready)(void *data), void *data)
{
	*w = (struct qmp_watch){
		.events = events,
		.ready = ready,
		.data = data,
	};
	qmp_lines_init(&w->in, QMP_WATCH_LINE_MAX);
}

void qmp_watch_done(struct qmp_watch *w)
{
	qmp_lines_done(&w->in);
	free(w->out);
	w->out = NULL;
	w->out_len = 0;
}

/* ---- output ---- */

static int put(struct qmp_watch *w, const char *text)
{
	size_t len = strlen(text);
	char *out = realloc(w->out, w->out_len + len);

	if (!out)
		return -ENOMEM;
	/* It has a length. */
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
	memcpy(out + w->out_len, text, len);
	w->out = out;
	w->out_len += len;
	return 0;
}

static int ask(struct qmp_watch *w, const char *name, json_t *arguments,
	       qmp_answered *answered)
{
	char *text;
	int r;

	if (w->n_asked == QMP_WATCH_ASKED_MAX || w->out_len > QMP_WATCH_OUT_MAX)
		return -EBUSY;
	text = qmp_command_text(name, w->last_id + 1, arguments);
	r = text ? put(w, text) : -ENOMEM;
	free(text);
	if (r < 0)
		return r;
	w->asked[w->n_asked].id = ++w->last_id;
	w->asked[w->n_asked++].answered = answered;
	return 0;
}

int qmp_watch_ask(struct qmp_watch *w, const char *name, json_t *arguments,
		  qmp_answered *answered)
{
	int r = w->is_ready ? ask(w, name, arguments, answered) : -ENOTCONN;

	json_decref(arguments);
	return r;
}

const char *qmp_watch_output(const struct qmp_watch *w, size_t *ret_len)
{
	*ret_len = w->out_len;
	return w->out;
}

void qmp_watch_output_done(struct qmp_watch *w, size_t n)
{
	w->out_len -= n;
	memmove(w->out, w->out + n, w->out_len);
}

/* ---- input ---- */

static int on_greeting(struct qmp_watch *w, const struct qmp_message *m)
{
	(void)m;
	if (w->greeted)
		return -EPROTO;
	w->greeted = true;
	return ask(w, "qmp_capabilities", NULL, NULL);
}

static int on_event(struct qmp_watch *w, const struct qmp_message *m)
{
	/* QEMU says nothing before. */
	if (!w->is_ready)
		return -EPROTO;
	for (const struct qmp_event *e = w->events; e->name; e++) {
		if (strcmp(e->name, m->name) == 0)
			e->happened(w->data, m->body);
	}
	return 0;
}

/* QEMU answers one after the other. */
static int on_answer(struct qmp_watch *w, const struct qmp_message *m)
{
	qmp_answered *answered;

	if (w->n_asked == 0 || !m->has_id || m->id != w->asked[0].id)
		return -EPROTO;
	answered = w->asked[0].answered;
	w->n_asked--;
	memmove(&w->asked[0], &w->asked[1], w->n_asked * sizeof(w->asked[0]));
	if (w->is_ready) {
		answered(w->data, m);
		return 0;
	}
	/* Of qmp_capabilities, the only thing that is asked before. */
	if (m->kind == QMP_ERROR)
		return -EPROTO;
	w->is_ready = true;
	w->ready(w->data);
	return 0;
}

static int (*const handlers[])(struct qmp_watch *w,
			       const struct qmp_message *m) = {
	[QMP_GREETING] = on_greeting,
	[QMP_RETURN] = on_answer,
	[QMP_ERROR] = on_answer,
	[QMP_EVENT] = on_event,
};

char *qmp_watch_room(struct qmp_watch *w)
{
	return qmp_lines_room(&w->in);
}

int qmp_watch_input(struct qmp_watch *w, size_t n)
{
	struct qmp_message m;
	int r;

	qmp_lines_add(&w->in, n);
	while ((r = qmp_lines_take(&w->in, &m)) == 1) {
		r = handlers[m.kind](w, &m);
		qmp_message_done(&m);
		if (r < 0)
			break;
	}
	return r;
}
