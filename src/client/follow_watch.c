/* SPDX-License-Identifier: MIT */
/* follow_watch.c - what the stream's own broker says of where it stands */
#include <errno.h>
#include <string.h>

#include "client/fields.h"
#include "client/follow.h"

/* After a broker's successor, or one that does not know us (any more). */
#define AGAIN_MIN_MS 20
#define AGAIN_MAX_MS 2000

void watch_init(struct follow_watch *w)
{
	*w = (struct follow_watch){.again_ms = AGAIN_MIN_MS};
	client_init(&w->conn, -1, "", NULL);
}

void watch_end(struct follow *f)
{
	struct follow_watch *w = &f->watch;

	followed_unwatch(f->rec);
	place_end(&w->conn, w->child, true);
	w->child = 0;
}

bool watch_is_open(const struct follow_watch *w)
{
	return w->conn.fd >= 0;
}

uint64_t watch_due(const struct follow_watch *w)
{
	return watch_is_open(w) || w->never ? CLIENT_NEVER : w->due_us;
}

static void later(struct follow_watch *w)
{
	w->due_us = client_deadline(w->again_ms);
	w->again_ms *= 2;
	if (w->again_ms > AGAIN_MAX_MS)
		w->again_ms = AGAIN_MAX_MS;
}

bool watch_is_at(const struct follow *f, const struct place *p)
{
	const struct follow_watch *w = &f->watch;
	struct place_socket s;

	if (!watch_is_open(w))
		return false;
	if (p->via || f->at.via)
		return p->via && f->at.via && strcmp(p->text, f->at.text) == 0;
	return place_socket(p, f->vm, &s) && s.dev == w->socket.dev &&
	       s.ino == w->socket.ino;
}

void watch_begin(struct follow *f)
{
	uint64_t deadline = client_deadline(FOLLOW_TRY_MS);
	struct follow_watch *w = &f->watch;
	int r;

	w->socket = (struct place_socket){0};
	place_socket(&f->at, f->vm, &w->socket);
	r = followed_dial(f->rec, &w->conn, &f->at, f->channel, deadline,
			  &w->child);
	if (r) {
		client_init(&w->conn, -1, "", NULL);
	} else {
		r = client_send_call(&w->conn, BROKER "Follow",
				     json_pack("{s:s}", "token", f->token),
				     CLIENT_MORE, deadline);
		if (r)
			watch_end(f);
	}
	if (r)
		later(w);
}

static bool take_fenced(struct follow_watch *w, const json_t *o)
{
	return fields_u64(o, "delivered", true, &w->delivered) &&
	       fields_string(o, "save", true, w->save, sizeof(w->save));
}

/* What is not understood is as if nothing had been said. */
static bool take(struct follow_watch *w, const json_t *o)
{
	const char *life = fields_text(o, "life");

	if (strcmp(life, "serving") == 0) {
		w->said = WATCH_SERVING;
	} else if (strcmp(life, "ended") == 0) {
		w->said = WATCH_ENDED;
		w->reason = fields_reason(fields_text(o, "reason"));
		w->never = true;
	} else if (strcmp(life, "fenced") == 0 && take_fenced(w, o)) {
		w->said = WATCH_FENCED;
	} else {
		return false;
	}
	w->again_ms = AGAIN_MIN_MS;
	return true;
}

/* An older broker, or a guest's, does not know the call at all. One that knows
 * how the stream ended says so. Return: is it that? */
static bool refused(struct follow_watch *w, const struct varlink_msg *m)
{
	const char *name = strrchr(m->error, '.');

	w->never = name && strcmp(name, ".MethodNotFound") == 0;
	if (strcmp(m->error, BROKER "Refused") != 0)
		return false;
	w->said = WATCH_ENDED;
	w->reason = fields_reason(fields_text(m->parameters, "reason"));
	w->never = true;
	return true;
}

bool watch_read(struct follow *f, uint64_t deadline)
{
	struct follow_watch *w = &f->watch;
	struct varlink_msg m;
	bool news = false;
	int r = client_recv(&w->conn, &m, deadline);

	if (r == -ETIMEDOUT)
		return false;
	if (r == 0) {
		if (m.error[0] != '\0')
			news = refused(w, &m);
		else
			news = take(w, m.parameters);
		varlink_msg_done(&m);
	}
	if (!news || w->said == WATCH_ENDED) {
		watch_end(f);
		later(w);
	}
	return news;
}
