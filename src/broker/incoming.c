/* SPDX-License-Identifier: MIT */
/*
 * incoming.c - a program at the other side wants a channel of ours
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/control.h"
#include "broker/internal.h"
#include "broker/log.h"

void token_text(const uint8_t token[TOKEN_LEN], char ret[TOKEN_TEXT])
{
	for (int i = 0; i < TOKEN_LEN; i++)
		snprintf(ret + 2 * i, 3, "%02x", token[i]);
}

struct stream *incoming_by_token(struct broker *b, const char *token)
{
	uint8_t bytes[TOKEN_LEN];

	if (!token_parse(token, bytes))
		return NULL;
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if (st->state != STREAM_WAITING || !st->channel ||
		    st->channel->kind != CHANNEL_LISTENER)
			continue;
		if (token_equal(st->token, bytes))
			return st;
	}
	return NULL;
}

void incoming_refuse(struct broker *b, struct stream *st, unsigned int reason)
{
	struct stream_record rec;

	b->count.incoming_refused++;
	stream_record(b, st, &rec);
	rec.state = RECORD_ENDED;
	rec.reason = (uint16_t)reason;
	status_add(b->status, &rec);
	vmc_stream_reject(b->session, st->h, reason);
	stream_drop(b, st);
	pump_kick(b);
}

void incoming_forget_channel(struct broker *b, struct channel *ch)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if (st->state == STREAM_FREE || st->channel != ch)
			continue;
		if (st->state == STREAM_OPEN)
			st->channel = NULL; /* goes on */
		else
			incoming_refuse(b, st, VMC_REASON_WITHDRAWN);
	}
}

void incoming_take(struct broker *b, struct stream *st, int fd, uid_t uid)
{
	if (st->channel && st->channel->kind == CHANNEL_LISTENER) {
		st->channel->waiting--;
		st->channel = NULL;
	}
	st->fd = fd;
	st->local_uid = uid;
	st->writable = true;
	if (stream_watch(b, st) < 0) {
		incoming_refuse(b, st, VMC_REASON_LIMIT);
		return;
	}
	/* It is over already; its END, which waits, says how. */
	if (vmc_stream_accept(b->session, st->h, st->owner, st->weight) < 0) {
		pump_kick(b);
		return;
	}
	if (st->early)
		vmc_stream_ready(b->session, st->h);
	stream_opened(b, st);
	pump_kick(b);
}

/* The broker's own varlink server talks to itself over a socketpair: one
 * code path for both sides' callers. */
static void start_builtin(struct broker *b, struct stream *st)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fds) < 0) {
		incoming_refuse(b, st, VMC_REASON_LIMIT);
		return;
	}
	if (control_serve_peer(b, fds[0], &st->caller) < 0) {
		close(fds[0]);
		close(fds[1]);
		incoming_refuse(b, st, VMC_REASON_LIMIT);
		return;
	}
	incoming_take(b, st, fds[1], b->owner);
}

static void start_service(struct broker *b, struct stream *st)
{
	const struct service *svc =
		services_find(&b->services, st->channel->name);
	char id[STREAM_ID_MAX], caller[32];

	if (!svc) {
		incoming_refuse(b, st, VMC_REASON_WITHDRAWN);
		return;
	}
	st->channel->waiting--;
	st->channel->running++;
	st->state = STREAM_STARTING;
	stream_id_text(b, st->number, id);
	snprintf(caller, sizeof(caller), "%s:%" PRIu32,
		 st->caller.kind == VMC_PRINCIPAL_HOST ? "host" : "guest",
		 st->caller.uid);
	b->touched = true;
	b->ops->service_start(b->data, svc, caller, id, stream_ref(b, st));
}

static unsigned int max_running(struct broker *b, const struct channel *ch)
{
	const struct service *svc = services_find(&b->services, ch->name);

	return svc ? svc->max_streams : 0;
}

void incoming_start_services(struct broker *b)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if (st->state == STREAM_WAITING && st->channel &&
		    st->channel->kind == CHANNEL_SERVICE &&
		    st->channel->running < max_running(b, st->channel))
			start_service(b, st);
	}
}

void broker_service_ready(struct broker *b, uint64_t request, int fd)
{
	struct stream *st = stream_get(b, request);

	if (!st || st->state != STREAM_STARTING) {
		if (fd >= 0)
			close(fd); /* it ended while we waited */
		return;
	}
	if (fd >= 0 && b->frozen) {
		st->fd = fd; /* taken when the session moves again */
		return;
	}
	if (fd >= 0) {
		incoming_take(b, st, fd, b->owner);
		return;
	}
	log_limited(broker_now_us(), LOG_LEVEL_WARNING,
		    "ev=service-failed channel=%s error=\"%s\"", st->name,
		    strerror(-fd));
	incoming_refuse(b, st, VMC_REASON_NO_SERVICE);
}

static void wait_for_program(struct broker *b, struct stream *st)
{
	stream_make_token(st);
	st->local_uid = st->channel->uid;
	broker_sweep_need(b);
	control_notify_stream(st->channel->conn, st);
}

static void give(struct broker *b, struct stream *st)
{
	switch (st->channel->kind) {
	case CHANNEL_LISTENER:
		wait_for_program(b, st);
		break;
	case CHANNEL_SERVICE:
		st->local_uid = b->owner;
		b->services_wait = true;
		broker_sweep_need(b);
		break;
	case CHANNEL_BUILTIN:
		st->channel->waiting--;
		st->channel = NULL;
		start_builtin(b, st);
		break;
	case CHANNEL_FREE:
	default:
		break;
	}
}

/* Return: OK, or why not. Who may not connect learns nothing else. */
static unsigned int judge(struct broker *b, const struct vmc_event *ev,
			  struct policy_verdict *v, struct channel **ret)
{
	bool messages = (ev->flags & VMC_OPEN_MESSAGES) != 0;
	struct creds c = creds_of_peer(b, &ev->principal);
	struct channel *ch = channel_find(b, ev->name);

	creds_check(b, &c, POLICY_CONNECT, ev->name, v);
	if (!v->allowed)
		return VMC_REASON_DENIED;
	if (b->stopping)
		return VMC_REASON_SHUTDOWN;
	if (!ch)
		return VMC_REASON_NO_SERVICE;
	if (ch->messages != messages)
		return VMC_REASON_MODE;
	if (ch->waiting >= BACKLOG_MAX) {
		b->count.limit_backlog++;
		return VMC_REASON_BACKLOG;
	}
	*ret = ch;
	return VMC_REASON_OK;
}

void incoming_open(struct broker *b, const struct vmc_event *ev)
{
	struct channel *ch = NULL;
	struct policy_verdict v;
	struct stream *st;
	unsigned int reason;

	b->count.incoming++;
	reason = judge(b, ev, &v, &ch);
	st = reason == VMC_REASON_OK ? stream_new(b, STREAM_WAITING) : NULL;
	if (!st) {
		b->count.incoming_refused++;
		vmc_stream_reject(b->session, ev->stream,
				  reason == VMC_REASON_OK ? VMC_REASON_LIMIT
							  : reason);
		return;
	}
	st->h = ev->stream;
	st->messages = ch->messages;
	st->caller = creds_of_peer(b, &ev->principal).who;
	st->owner = principal_key(&st->caller);
	st->weight = v.weight;
	st->channel = ch;
	strcpy(st->name, ev->name);
	ch->waiting++;
	vmc_stream_set_cookie(b->session, st->h, stream_ref(b, st));
	give(b, st);
}
