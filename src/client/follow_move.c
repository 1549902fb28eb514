/* SPDX-License-Identifier: MIT */
/* follow_move.c - find the destination and take the stream up there */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/fields.h"
#include "client/follow.h"

/* One place. All are tried side by side: one that waits for its VM must not
 * hold up the others. */
struct attempt {
	struct place place;
	struct client_conn conn;
	pid_t child;
	bool waiting;     /* a call is out */
	bool watched;     /* that broker tells us all it knows as it is */
	int again_ms;     /* after the next failure */
	uint64_t next_us; /* else: when to try (again) */
};

struct search {
	uint64_t long_us; /* from then on there is no hurry */
	struct attempt v[FOLLOW_TRIES];
};

static uint64_t in_ms(int ms)
{
	return client_deadline(ms);
}

struct search *search_new(void)
{
	struct search *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->long_us = in_ms(FOLLOW_MS);
	for (unsigned int i = 0; i < FOLLOW_TRIES; i++)
		s->v[i].again_ms = FOLLOW_TRY_MIN_MS;
	return s;
}

static void try_later(const struct search *s, struct attempt *a)
{
	bool is_long = in_ms(0) >= s->long_us;

	a->next_us = in_ms(is_long ? FOLLOW_TRY_LONG_MS : a->again_ms);
	a->again_ms *= 2;
	if (a->again_ms > FOLLOW_TRY_MS)
		a->again_ms = FOLLOW_TRY_MS;
}

static void stop(const struct search *s, struct attempt *a)
{
	place_end(&a->conn, a->child, true);
	a->waiting = false;
	try_later(s, a);
}

void search_free(struct search *s)
{
	for (unsigned int i = 0; s && i < FOLLOW_TRIES; i++)
		if (s->v[i].waiting)
			stop(s, &s->v[i]);
	free(s);
}

static void set_place(struct attempt *a, const struct place *p)
{
	if (p->via == a->place.via && strcmp(p->text, a->place.text) == 0)
		return;
	a->place = *p;
	a->again_ms = FOLLOW_TRY_MIN_MS;
	a->next_us = 0;
}

/* The list may change while we search: that is how an operator helps. */
static void refresh(struct search *s, const char *vm)
{
	static const struct place none;
	struct place_list list;
	struct place own;

	place_list_of(vm, &list);
	for (unsigned int i = 0; i < PLACE_LIST_MAX; i++)
		if (!s->v[i].waiting)
			set_place(&s->v[i], i < list.n ? &list.v[i] : &none);
	place_init(&own, vm, false);
	set_place(&s->v[PLACE_LIST_MAX], &own);
}

/* The broker compares it with what came in the state. A caller that found the
 * difference itself could only close, and that is an end in order. */
static json_t *what_we_have(const struct follow *f)
{
	json_t *o =
		json_pack("{s:s,s:I,s:b,s:I,s:b,s:I}", "token", f->token,
			  "received", (json_int_t)f->received, "received_end",
			  f->in_end, "sent", (json_int_t)f->up.sent, "sent_end",
			  f->out_end, "kept", (json_int_t)keep_sure(&f->up));

	/* As long as it may be that the VM stays. */
	if (o && !f->cut)
		json_object_set_new(o, "save", json_string(f->watch.save));
	return o;
}

static void begin(const struct search *s, struct attempt *a,
		  const struct follow *f)
{
	uint64_t deadline = in_ms(FOLLOW_TRY_MS);
	int r = place_dial(&a->conn, &a->place, f->vm, f->channel, deadline,
			   &a->child);

	if (r) {
		try_later(s, a);
		return;
	}
	a->waiting = true;
	r = client_send_call(&a->conn, BROKER "Resume", what_we_have(f),
			     CLIENT_UPGRADE, deadline);
	if (r)
		stop(s, a);
}

static bool read_answer(const json_t *o, struct follow_answer *ret)
{
	return fields_string(o, "id", true, ret->id, sizeof(ret->id)) &&
	       ret->id[0] != '\0' &&
	       fields_u64(o, "consumed", true, &ret->consumed) &&
	       fields_bool(o, "received_end", true, &ret->received_end) &&
	       fields_bool(o, "consumed_end", true, &ret->consumed_end);
}

/* Some refusals are final; others may be of a place that is not the one, or
 * not yet, or that the VM has left again. */
static bool is_final(const struct varlink_msg *m, unsigned int *ret)
{
	if (strcmp(m->error, BROKER "Denied") == 0)
		*ret = VMC_REASON_DENIED;
	else if (strcmp(m->error, BROKER "Refused") == 0)
		*ret = fields_reason(fields_text(m->parameters, "reason"));
	else
		return false;
	return *ret != VMC_REASON_MIGRATED;
}

static enum search_result take_reply(const struct search *s, struct attempt *a,
				     struct follow *f,
				     struct follow_answer *ret)
{
	enum search_result result = SEARCH_GOES_ON;
	struct varlink_msg m;
	int r = client_recv(&a->conn, &m, in_ms(0));

	if (r == -ETIMEDOUT)
		return SEARCH_GOES_ON; /* a part of it */
	if (r) {
		stop(s, a);
		return SEARCH_GOES_ON;
	}
	if (m.error[0] != '\0') {
		f->refused = is_final(&m, &f->refusal);
	} else if (read_answer(m.parameters, ret)) {
		result = SEARCH_FOUND;
	} else { /* it has the stream, and cannot be talked with */
		f->refused = true;
		f->refusal = VMC_REASON_PROTOCOL;
	}
	varlink_msg_done(&m);
	if (result == SEARCH_FOUND)
		return result;
	stop(s, a);
	return f->refused ? SEARCH_REFUSED : SEARCH_GOES_ON;
}

static bool is_idle(const struct attempt *a)
{
	return !a->waiting && !a->watched && a->place.text[0] != '\0';
}

uint64_t search_due(const struct search *s)
{
	/* The list of places is looked at as often as that. */
	uint64_t due = in_ms(FOLLOW_TRY_MS);

	for (unsigned int i = 0; i < FOLLOW_TRIES; i++) {
		const struct attempt *a = &s->v[i];

		if (is_idle(a) && a->next_us < due)
			due = a->next_us;
	}
	return due;
}

unsigned int search_fill(const struct search *s, struct pollfd *p)
{
	for (unsigned int i = 0; i < FOLLOW_TRIES; i++)
		p[i] = (struct pollfd){s->v[i].waiting ? s->v[i].conn.fd : -1,
				       POLLIN, 0};
	return FOLLOW_TRIES;
}

static void begin_due(struct search *s, const struct follow *f)
{
	uint64_t now = in_ms(0);

	for (unsigned int i = 0; i < FOLLOW_TRIES; i++) {
		struct attempt *a = &s->v[i];

		a->watched = watch_is_at(f, &a->place);
		if (is_idle(a) && a->next_us <= now)
			begin(s, a, f);
	}
}

enum search_result search_step(struct search *s, struct follow *f,
			       const struct pollfd *p,
			       struct follow_answer *ret)
{
	for (unsigned int i = 0; p && i < FOLLOW_TRIES; i++) {
		struct attempt *a = &s->v[i];
		enum search_result r;

		if (p[i].fd < 0 || !p[i].revents)
			continue;
		r = take_reply(s, a, f, ret);
		if (r == SEARCH_FOUND) {
			f->conn = a->conn;
			f->child = a->child;
			f->at = a->place;
			a->waiting = false;
		}
		if (r != SEARCH_GOES_ON)
			return r;
	}
	refresh(s, f->vm);
	begin_due(s, f);
	return SEARCH_GOES_ON;
}
