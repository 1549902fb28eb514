/* SPDX-License-Identifier: MIT */
/*
 * session_events.c - what the session says, one function per event
 */
#include "broker/internal.h"
#include "broker/log.h"

/*
 * Streams wait for the port at these moments, and after a migration under
 * emulation a line costs 9 ms: it can wait until nothing else is to be done.
 */
#define TELL_LATER_US 250000u

void session_tell(struct broker *b, uint64_t now_us)
{
	if (b->tell.down)
		log_limited(now_us, LOG_LEVEL_INFO, "ev=peer-down reason=%s",
			    vmc_reason_name(b->tell.reason));
	if (b->tell.up)
		log_limited(now_us, LOG_LEVEL_INFO, "ev=peer-up resumed=%s",
			    b->tell.resumed ? "yes" : "no");
	b->tell.down = b->tell.up = false;
}

static void tell_later(struct broker *b, uint64_t now_us)
{
	b->tell.at_us = now_us + TELL_LATER_US;
	if (b->link.fd < 0 || b->link.kind != BROKER_LINK_PORT)
		session_tell(b, now_us);
}

static void on_up(struct broker *b, const struct vmc_event *ev, uint64_t now_us)
{
	struct event out = {.type = EVENT_PEER_UP, .resumed = ev->resumed};

	b->up = true;
	b->stalled = false;
	watchdog_proved(b);
	b->flush_first = true;
	b->tell.up = true;
	b->tell.resumed = ev->resumed;
	tell_later(b, now_us);
	broker_emit(b, &out);
	if (b->frozen)
		unfreeze(b);
	follow_up(b, now_us);
	if (b->ops->peer_up)
		b->ops->peer_up(b->data, ev->resumed);
}

static void on_down(struct broker *b, const struct vmc_event *ev,
		    uint64_t now_us)
{
	struct event out = {
		.type = EVENT_PEER_DOWN,
		.reason = (uint16_t)ev->reason,
	};

	b->up = false;
	b->stalled = false;
	/* In order, and none twice. */
	session_tell(b, now_us);
	b->tell.down = true;
	b->tell.reason = ev->reason;
	tell_later(b, now_us);
	broker_emit(b, &out);
	/* A BYE ends the waiting; a lost handshake begins it again. */
	watchdog_answer(b);
}

static void on_stalled(struct broker *b, const struct vmc_event *ev,
		       uint64_t now_us)
{
	(void)ev;
	(void)now_us;
	b->stalled = true;
	watchdog_stalled(b);
	broker_emit(b, &(struct event){.type = EVENT_PEER_STALLED});
}

static void on_unstalled(struct broker *b, const struct vmc_event *ev,
			 uint64_t now_us)
{
	(void)ev;
	(void)now_us;
	b->stalled = false;
	watchdog_calm(b);
	broker_emit(b, &(struct event){.type = EVENT_PEER_UNSTALLED});
}

static void on_need_entropy(struct broker *b, const struct vmc_event *ev,
			    uint64_t now_us)
{
	(void)ev;
	broker_resync(b, now_us);
}

static void on_name_added(struct broker *b, const struct vmc_event *ev,
			  uint64_t now_us)
{
	(void)now_us;
	broker_emit_channel(b, EVENT_CHANNEL_ADDED, ev->name, true,
			    (ev->flags & VMC_NAME_MESSAGES) != 0);
}

static void on_name_removed(struct broker *b, const struct vmc_event *ev,
			    uint64_t now_us)
{
	(void)now_us;
	broker_emit_channel(b, EVENT_CHANNEL_REMOVED, ev->name, true, false);
}

static void on_open(struct broker *b, const struct vmc_event *ev,
		    uint64_t now_us)
{
	(void)now_us;
	incoming_open(b, ev);
}

static void on_accepted(struct broker *b, const struct vmc_event *ev,
			uint64_t now_us)
{
	struct stream *st = stream_get(b, ev->cookie);

	(void)now_us;
	if (st && st->state == STREAM_OPENING)
		outgoing_answered(b, st);
}

static void on_readable(struct broker *b, const struct vmc_event *ev,
			uint64_t now_us)
{
	struct stream *st = stream_get(b, ev->cookie);

	(void)now_us;
	if (st)
		stream_deliver(b, st);
}

static void on_stop(struct broker *b, const struct vmc_event *ev,
		    uint64_t now_us)
{
	struct stream *st = stream_get(b, ev->cookie);

	(void)now_us;
	if (st)
		stream_stopped(st, ev->reason);
}

static void on_end(struct broker *b, const struct vmc_event *ev,
		   uint64_t now_us)
{
	struct stream *st = stream_get(b, ev->cookie);

	(void)now_us;
	if (st)
		stream_ended(b, st, ev->reason, ev->bytes_in, ev->bytes_out);
}

typedef void event_fn(struct broker *b, const struct vmc_event *ev,
		      uint64_t now_us);

static event_fn *const handlers[VMC_EV_NUM] = {
	[VMC_EV_UP] = on_up,
	[VMC_EV_DOWN] = on_down,
	[VMC_EV_STALLED] = on_stalled,
	[VMC_EV_UNSTALLED] = on_unstalled,
	[VMC_EV_NEED_ENTROPY] = on_need_entropy,
	[VMC_EV_NAME_ADDED] = on_name_added,
	[VMC_EV_NAME_REMOVED] = on_name_removed,
	[VMC_EV_OPEN] = on_open,
	[VMC_EV_ACCEPTED] = on_accepted,
	[VMC_EV_READABLE] = on_readable,
	[VMC_EV_STOP] = on_stop,
	[VMC_EV_END] = on_end,
};

void session_event(struct broker *b, const struct vmc_event *ev,
		   uint64_t now_us)
{
	if (handlers[ev->type])
		handlers[ev->type](b, ev, now_us);
}
