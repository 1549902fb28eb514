/* SPDX-License-Identifier: MIT */
/*
 * ops_request.c - a control operation with a request id is done once
 *
 * The last OPS_REQUESTS_MAX ids with what they were and what was answered. One
 * that runs is not forgotten for another.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ops_internal.h"

struct request {
	char id[OPS_REQUEST_ID + 1]; /* "" if unused */
	char method[VARLINK_METHOD_MAX + 1];
	uid_t uid;
	json_t *parameters;
	char *text; /* NULL while it runs */
	size_t len;
};

struct ops_requests {
	struct request list[OPS_REQUESTS_MAX];
	size_t next; /* to be overwritten */
};

int ops_requests_new(struct ops_requests **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

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
	} while (q->id[0] != '\0' && !q->text);
	clear(q);
	return q;
}

_Static_assert(OPS_CONNS_MAX < OPS_REQUESTS_MAX, "make_room() finds a place");

static enum ops_request_state seen(const struct request *q, const char *method,
				   uid_t uid, const json_t *parameters,
				   const char **ret_text, size_t *ret_len)
{
	if (strcmp(q->method, method) != 0 || q->uid != uid ||
	    !json_equal(q->parameters, parameters))
		return OPS_REQUEST_OTHER;
	if (!q->text)
		return OPS_REQUEST_RUNNING;
	*ret_text = q->text;
	*ret_len = q->len;
	return OPS_REQUEST_DONE;
}

enum ops_request_state ops_request_begin(struct ops_requests *r, const char *id,
					 const char *method, uid_t uid,
					 const json_t *parameters,
					 const char **ret_text, size_t *ret_len)
{
	struct request *q = find(r, id);

	if (q)
		return seen(q, method, uid, parameters, ret_text, ret_len);
	q = make_room(r);
	snprintf(q->id, sizeof(q->id), "%s", id);
	snprintf(q->method, sizeof(q->method), "%s", method);
	q->uid = uid;
	q->parameters = json_deep_copy(parameters);
	return OPS_REQUEST_NEW;
}

void ops_request_end(struct ops_requests *r, const char *id, const char *text,
		     size_t len)
{
	struct request *q = find(r, id);

	if (!q)
		return;
	free(q->text);
	q->text = text ? malloc(len) : NULL;
	q->len = len;
	if (q->text)
		memcpy(q->text, text, len);
	else
		clear(q);
}
