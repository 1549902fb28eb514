/* SPDX-License-Identifier: MIT */
/*
 * frozen.c - a broker stands still: its state has left, or is about to
 *
 * What programs do meanwhile waits where it is: bytes in their sockets, calls
 * unanswered, news of their descriptors with the stream.
 */
#include "broker/control.h"
#include "broker/internal.h"
#include "broker/state.h"

static void drain_events(struct broker *b, uint64_t now_us)
{
	struct vmc_event ev;

	while (vmc_session_next_event(b->session, &ev, now_us))
		session_event(b, &ev, now_us);
}

void broker_freeze(struct broker *b)
{
	uint64_t now_us = broker_now_us();

	/* What was read is applied first: then its OPENs are answered by
	 * policy, not by whatever comes after us. */
	if (!b->frozen)
		drain_events(b, now_us);
	vmc_session_freeze(b->session, now_us);
	b->frozen = true;
	drain_events(b, now_us);
	watchdog_calm(b);
}

bool broker_is_frozen(const struct broker *b)
{
	return b->frozen;
}

int broker_thaw(struct broker *b)
{
	if (!b->frozen)
		return 0;
	if (vmc_session_thaw(b->session, broker_now_us()) < 0)
		return -1;
	unfreeze(b);
	if (!b->up)
		watchdog_answer(b);
	return 0;
}

/* Streams of the session that we let go of while it could not be told. */
static void end_orphans(struct broker *b)
{
	uint32_t pos = 0;
	uint64_t cookie;
	vmc_stream h;

	while (vmc_stream_next(b->session, &pos, &h, &cookie)) {
		const struct stream *st = stream_get(b, cookie);

		if (st && st->h == h)
			continue;
		if (vmc_stream_reject(b->session, h, VMC_REASON_WITHDRAWN) < 0)
			vmc_stream_reset(b->session, h, VMC_REASON_APP_GONE);
	}
}

static void take_held(struct broker *b, struct stream *st)
{
	uint32_t held = st->held;
	int fd = st->fd;

	st->held = 0;
	if (st->state == STREAM_STARTING && fd >= 0) {
		st->fd = -1;
		incoming_take(b, st, fd, b->owner);
		return;
	}
	if (held)
		stream_events(b, st, held);
}

void unfreeze(struct broker *b)
{
	b->frozen = false;
	b->fence = 0;
	end_orphans(b);
	for (uint32_t i = 0; i < b->n_slots; i++) {
		if (b->streams[i].state != STREAM_FREE)
			take_held(b, &b->streams[i]);
	}
	connect_server_release(b);
	b->control_again = true;
	b->services_wait = true;
	pump_kick(b);
}
