/* SPDX-License-Identifier: MIT */
/*
 * control_monitor.c - Monitor: the present state, then what happens
 *
 * A monitor is a position in the broker's event ring. The next event is taken
 * when the one before has left for the client, so a client that does not read
 * loses events (and is told how many), and costs nothing.
 */
#include <string.h>
#include <time.h>

#include "broker/control.h"

enum {
	SNAPSHOT_LINK,
	SNAPSHOT_PEER,
	SNAPSHOT_LOCAL_CHANNELS,
	SNAPSHOT_PEER_CHANNELS,
	SNAPSHOT_STREAMS,
	SNAPSHOT_END,
	SNAPSHOT_NONE,
};

static uint64_t real_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

void broker_emit(struct broker *b, const struct event *ev)
{
	events_add(&b->events, ev, real_now_us());
	b->control_again = true;
	pump_kick(b);
}

void broker_emit_channel(struct broker *b, enum event_type type,
			 const char *name, bool peer_side, bool messages)
{
	struct event ev = {
		.type = type,
		.peer_side = peer_side,
		.messages = messages,
	};

	strncpy(ev.stream.channel, name, sizeof(ev.stream.channel) - 1);
	broker_emit(b, &ev);
}

void broker_event(struct broker *b, const char *type, const char *port)
{
	enum event_type t = event_type_find(type);

	if (t != EVENT_TYPE_NUM)
		broker_emit_channel(b, t, port ? port : "", false, false);
}

/* ---- snapshot: each returns false after the last of its kind ---------------
 */

static bool next_local_channel(struct control_conn *c, struct event *ret)
{
	while (c->pos < c->b->n_channels) {
		const struct channel *ch = &c->b->channels[c->pos++];

		if (ch->kind == CHANNEL_FREE)
			continue;
		ret->type = EVENT_CHANNEL_ADDED;
		ret->messages = ch->messages;
		strcpy(ret->stream.channel, ch->name);
		return true;
	}
	return false;
}

static bool next_peer_channel(struct control_conn *c, struct event *ret)
{
	const char *name;
	uint32_t flags;

	if (!vmc_name_next(c->b->session, &c->pos, &name, &flags))
		return false;
	ret->type = EVENT_CHANNEL_ADDED;
	ret->peer_side = true;
	ret->messages = (flags & VMC_NAME_MESSAGES) != 0;
	strncpy(ret->stream.channel, name, sizeof(ret->stream.channel) - 1);
	return true;
}

static bool next_stream(struct control_conn *c, struct event *ret)
{
	while (c->pos < c->b->n_slots) {
		const struct stream *st = &c->b->streams[c->pos++];

		if (st->state != STREAM_OPEN)
			continue;
		stream_record(c->b, st, &ret->stream);
		ret->type = EVENT_STREAM_OPENED;
		if (may_see(c, &ret->stream))
			return true;
	}
	return false;
}

static bool single(struct control_conn *c, struct event *ret, bool when,
		   enum event_type type)
{
	if (!when || c->pos++ > 0)
		return false;
	ret->type = type;
	return true;
}

static bool next_of_phase(struct control_conn *c, struct event *ret)
{
	switch (c->phase) {
	case SNAPSHOT_LINK:
		return single(c, ret, c->b->link.fd >= 0, EVENT_LINK_UP);
	case SNAPSHOT_PEER:
		return single(c, ret, c->b->up, EVENT_PEER_UP);
	case SNAPSHOT_LOCAL_CHANNELS:
		return next_local_channel(c, ret);
	case SNAPSHOT_PEER_CHANNELS:
		return next_peer_channel(c, ret);
	case SNAPSHOT_STREAMS:
		return next_stream(c, ret);
	case SNAPSHOT_END:
		return single(c, ret, true, EVENT_SNAPSHOT_END);
	default:
		return false;
	}
}

static bool next_snapshot(struct control_conn *c, struct event *ret)
{
	while (c->phase != SNAPSHOT_NONE) {
		if (next_of_phase(c, ret)) {
			ret->time_us = real_now_us();
			return true;
		}
		c->phase++;
		c->pos = 0;
	}
	return false;
}

/* ---- after it
 * ---------------------------------------------------------------- */

static bool is_stream_event(const struct event *ev)
{
	return ev->type == EVENT_STREAM_OPENED ||
	       ev->type == EVENT_STREAM_CLOSED;
}

static bool next_new(struct control_conn *c, struct event *ret)
{
	const struct event *ev;
	uint64_t lost;

	while ((ev = events_next(&c->b->events, c->seq, &lost))) {
		if (lost > 0) {
			c->b->count.monitor_lost += lost;
			c->seq = ev->seq - 1;
			*ret = (struct event){
				.type = EVENT_LOST,
				.seq = c->seq,
				.time_us = ev->time_us,
				.lost = lost,
			};
			return true;
		}
		c->seq = ev->seq;
		if (is_stream_event(ev) && !may_see(c, &ev->stream))
			continue;
		*ret = *ev;
		return true;
	}
	return false;
}

static enum produced produce_events(struct control_conn *c)
{
	struct event ev = {.seq = 0};

	if (!next_snapshot(c, &ev) && !next_new(c, &ev))
		return PRODUCED_WAIT;
	conn_reply(c, json_event(c->b, &ev), true);
	return PRODUCED_MORE;
}

void method_monitor(struct control_call *call)
{
	const char *instance = NULL;
	uint64_t after = UINT64_MAX;
	bool snapshot = false;
	const struct arg args[] = {
		{"snapshot", ARG_BOOL, true, &snapshot},
		{"after", ARG_UINT, true, &after},
		{"instance", ARG_STRING, true, &instance},
	};
	struct control_conn *c = call->c;

	if (!call_args(call, args, 3))
		return;
	c->mode = CONTROL_MONITORING;
	c->phase = snapshot ? SNAPSHOT_LINK : SNAPSHOT_NONE;
	c->pos = 0;
	c->seq = call->b->events.last_seq;
	if (after < c->seq && instance &&
	    strcmp(instance, call->b->instance_text) == 0)
		c->seq = after;
	c->produce = produce_events;
}
