/* SPDX-License-Identifier: MIT */
/*
 * ops_request.c - a control operation with a request id is done once
 *
 * The last OPS_REQUESTS_MAX ids with what they were and what was answered. One
 * that runs is not forgotten for another. A file has the same, for the process
 * after this one: what was begun and has no end there may have been done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ops_internal.h"
#include "guest/ops_request_file.h"

struct request {
	char id[OPS_REQUEST_ID + 1]; /* "" if unused */
	char method[VARLINK_METHOD_MAX + 1];
	uid_t uid;
	json_t *parameters;
	char *text; /* NULL while it runs */
	size_t len;
	bool interrupted; /* it ran in a process that has ended */
};

struct ops_requests {
	struct request list[OPS_REQUESTS_MAX];
	size_t next;               /* to be overwritten */
	struct request_file *file; /* NULL: none */
};

static void clear(struct request *q)
{
	json_decref(q->parameters);
	free(q->text);
	*q = (struct request){.id = ""};
}

void ops_requests_free(struct ops_requests *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < OPS_REQUESTS_MAX; i++)
		clear(&r->list[i]);
	request_file_close(r->file);
	free(r);
}

static struct request *find(struct ops_requests *r, const char *id)
{
	for (size_t i = 0; i < OPS_REQUESTS_MAX; i++)
		if (strcmp(r->list[i].id, id) == 0)
			return &r->list[i];
	return NULL;
}

/* The oldest one that does not run. There are fewer streams than places, and
 * each runs one call. */
static struct request *make_room(struct ops_requests *r)
{
	struct request *q;

	do {
		q = &r->list[r->next];
		r->next = (r->next + 1) % OPS_REQUESTS_MAX;
	} while (q->id[0] != '\0' && !q->text && !q->interrupted);
	clear(q);
	return q;
}

_Static_assert(OPS_CONNS_MAX < OPS_REQUESTS_MAX, "make_room() finds a place");

static enum ops_request_state seen(const struct request *q,
				   const struct ops_request *what,
				   const char **ret_text, size_t *ret_len)
{
	if (strcmp(q->method, what->method) != 0 || q->uid != what->uid ||
	    !json_equal(q->parameters, what->parameters))
		return OPS_REQUEST_OTHER;
	if (!q->text)
		return q->interrupted ? OPS_REQUEST_INTERRUPTED
				      : OPS_REQUEST_RUNNING;
	*ret_text = q->text;
	*ret_len = q->len;
	return OPS_REQUEST_DONE;
}

/* ---- the file ------------------------------------------------------------ */

static struct request_line line_of(const struct request *q, bool end)
{
	return (struct request_line){
		.id = q->id,
		.method = end ? NULL : q->method,
		.uid = q->uid,
		.parameters = q->parameters,
		.text = q->text,
		.len = q->len,
	};
}

/* All that is remembered, oldest first, in the place of the old file. */
static void rewrite(struct ops_requests *r)
{
	request_file_anew(r->file);
	for (size_t i = 0; i < OPS_REQUESTS_MAX; i++) {
		const struct request *q =
			&r->list[(r->next + i) % OPS_REQUESTS_MAX];
		struct request_line l = line_of(q, false);

		if (q->id[0] == '\0')
			continue;
		(void)request_file_add(r->file, &l);
		l = line_of(q, true);
		if (q->text)
			(void)request_file_add(r->file, &l);
	}
	request_file_take(r->file);
}

static void store(struct ops_requests *r, const struct request *q, bool end)
{
	const struct request_line l = line_of(q, end);

	if (r->file && !request_file_add(r->file, &l))
		rewrite(r);
}

static struct request *remember(struct ops_requests *r,
				const struct ops_request *what)
{
	struct request *q = make_room(r);

	snprintf(q->id, sizeof(q->id), "%s", what->id);
	snprintf(q->method, sizeof(q->method), "%s", what->method);
	q->uid = what->uid;
	q->parameters = json_deep_copy(what->parameters);
	return q;
}

static void take_reply(struct request *q, const char *text, size_t len)
{
	free(q->text);
	q->text = text ? malloc(len) : NULL;
	q->len = len;
	if (q->text)
		memcpy(q->text, text, len);
	else
		clear(q);
}

/* request_line_fn */
static void on_line(const struct request_line *l, void *data)
{
	const struct ops_request what = {
		.id = l->id,
		.method = l->method,
		.uid = l->uid,
		.parameters = l->parameters,
	};
	struct ops_requests *r = data;
	struct request *q = find(r, l->id);

	if (l->method && !q)
		remember(r, &what)->interrupted = true;
	else if (!l->method && q)
		take_reply(q, l->text, l->len);
}

int ops_requests_new(struct ops_requests **ret, const char *path,
		     const char *boot)
{
	struct ops_requests *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->file = path ? request_file_open(path, boot, on_line, r) : NULL;
	if (path && !r->file) {
		free(r);
		return -ENOMEM;
	}
	if (r->file)
		rewrite(r);
	*ret = r;
	return 0;
}

/* ---- begin and end ------------------------------------------------------- */

enum ops_request_state ops_request_begin(struct ops_requests *r,
					 const struct ops_request *what,
					 const char **ret_text, size_t *ret_len)
{
	struct request *q = find(r, what->id);

	if (q)
		return seen(q, what, ret_text, ret_len);
	q = remember(r, what);
	store(r, q, false);
	return OPS_REQUEST_NEW;
}

void ops_request_end(struct ops_requests *r, const char *id, const char *text,
		     size_t len)
{
	struct request *q = find(r, id);

	if (!q)
		return;
	take_reply(q, text, len);
	/* Without a reply it was forgotten: so it is in the file. */
	if (q->id[0] != '\0')
		store(r, q, true);
	else if (r->file)
		rewrite(r);
}
