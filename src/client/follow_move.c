/* SPDX-License-Identifier: MIT */
/* follow_move.c - find the destination and take the stream up there */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/fields.h"
#include "client/follow.h"

/* The named places, and the VM's own name: it may have come back. */
#define N_TRIES (PLACE_LIST_MAX + 1)

/* One place. All are tried side by side: one that waits for its VM must not
 * hold up the others. */
struct attempt {
	struct place place;
	struct client_conn conn;
	pid_t child;
	bool waiting;     /* a call is out */
	uint64_t next_us; /* else: when to try (again) */
};

struct search {
	struct follow *f;
	uint64_t deadline;
	struct attempt v[N_TRIES];
	struct attempt *found;
	unsigned int reason; /* final refusal */
};

static uint64_t in_ms(int ms)
{
	return client_deadline(ms);
}

static void stop(struct attempt *a, bool now)
{
	if (!a->waiting)
		return;
	place_end(&a->conn, a->child, now);
	a->waiting = false;
	a->next_us = in_ms(FOLLOW_TRY_MS);
}

/* The list may change while we search: that is how an operator helps. */
static void refresh(struct search *s)
{
	struct place_list list;

	place_list_of(s->f->vm, &list);
	for (unsigned int i = 0; i < PLACE_LIST_MAX; i++) {
		struct attempt *a = &s->v[i];

		if (a->waiting)
			continue;
		if (i < list.n)
			a->place = list.v[i];
		else
			a->place.text[0] = '\0';
	}
}

/* The broker compares it with what came in the state. A caller that found the
 * difference itself could only close, and that is an end in order. */
static json_t *what_we_have(const struct follow *f)
{
	return json_pack("{s:s,s:I,s:b,s:I,s:b,s:I}", "token", f->token,
			 "received", (json_int_t)f->received, "received_end",
			 f->in_end, "sent", (json_int_t)f->up.sent, "sent_end",
			 f->out_end, "kept", (json_int_t)keep_first(&f->up));
}

static void begin(struct search *s, struct attempt *a)
{
	struct follow *f = s->f;
	uint64_t deadline = in_ms(FOLLOW_TRY_MS);
	int r = place_dial(&a->conn, &a->place, f->vm, f->channel, deadline,
			   &a->child);

	a->next_us = in_ms(FOLLOW_TRY_MS);
	if (r)
		return;
	a->waiting = true;
	r = client_send_call(&a->conn, BROKER "Resume", what_we_have(f),
			     CLIENT_UPGRADE, deadline);
	if (r)
		stop(a, true);
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
 * not yet. */
static void refused(struct search *s, const struct varlink_msg *m)
{
	if (strcmp(m->error, BROKER "Denied") == 0)
		s->reason = VMC_REASON_DENIED;
	else if (strcmp(m->error, BROKER "Refused") == 0)
		s->reason = fields_reason(fields_text(m->parameters, "reason"));
}

static void take_reply(struct search *s, struct attempt *a,
		       struct follow_answer *ret)
{
	struct varlink_msg m;
	int r = client_recv(&a->conn, &m, in_ms(0));

	if (r == -ETIMEDOUT)
		return; /* a part of it */
	if (r) {
		stop(a, true);
		return;
	}
	if (m.error[0] != '\0')
		refused(s, &m);
	else if (read_answer(m.parameters, ret))
		s->found = a;
	else /* it has the stream, and cannot be talked with */
		s->reason = VMC_REASON_PROTOCOL;
	varlink_msg_done(&m);
	if (s->found != a)
		stop(a, true);
}

static void begin_due(struct search *s)
{
	uint64_t now = in_ms(0);

	for (unsigned int i = 0; i < N_TRIES; i++) {
		struct attempt *a = &s->v[i];

		if (!a->waiting && a->place.text[0] != '\0' &&
		    a->next_us <= now)
			begin(s, a);
	}
}

static void step(struct search *s, struct follow_answer *ret)
{
	struct pollfd p[N_TRIES];

	refresh(s);
	begin_due(s);
	for (unsigned int i = 0; i < N_TRIES; i++)
		p[i] = (struct pollfd){s->v[i].waiting ? s->v[i].conn.fd : -1,
				       POLLIN, 0};
	if (poll(p, N_TRIES, FOLLOW_TRY_MS) <= 0)
		return;
	for (unsigned int i = 0; i < N_TRIES && !s->found; i++)
		if (p[i].revents)
			take_reply(s, &s->v[i], ret);
}

unsigned int follow_resume(struct follow *f, struct follow_answer *ret)
{
	struct search s = {.f = f, .deadline = in_ms(FOLLOW_MS)};

	place_init(&s.v[N_TRIES - 1].place, f->vm, false);
	while (!s.found && s.reason == 0 && in_ms(0) < s.deadline)
		step(&s, ret);
	for (unsigned int i = 0; i < N_TRIES; i++)
		if (&s.v[i] != s.found)
			stop(&s.v[i], true);
	if (!s.found)
		return s.reason ? s.reason : VMC_REASON_TIMEOUT;
	f->conn = s.found->conn;
	f->child = s.found->child;
	f->at = s.found->place;
	return 0;
}
