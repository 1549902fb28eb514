/* SPDX-License-Identifier: MIT */
/*
 * moved.c - the VM runs elsewhere: what its programs here are told
 */
#include <stdio.h>

#include "broker/internal.h"
#include "broker/log.h"
#include "broker/state.h"

void broker_resync_now(struct broker *b)
{
	if (b->link.fd < 0)
		return;
	watchdog_calm(b); /* its patience begins anew */
	broker_resync(b, broker_now_us());
}

void broker_explain(struct broker *b, unsigned int reason)
{
	vmc_session_explain(b->session, reason);
	broker_resync_now(b);
}

void session_renew(struct broker *b, unsigned int explain)
{
	/* It was made in this memory with this configuration before. */
	vmc_session_init(&b->session, b->session_mem, b->session_size,
			 &b->session_cfg);
	channels_advertise(b);
	vmc_session_explain(b->session, explain);
	if (b->link.fd >= 0)
		link_greet(b, false, broker_now_us());
}

static void end_streams(struct broker *b)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];
		struct vmc_stream_info info = {0};

		if (st->state == STREAM_FREE)
			continue;
		vmc_stream_get_info(b->session, st->h, &info);
		stream_ended(b, st, VMC_REASON_MIGRATED, st->delivered,
			     info.bytes_out);
	}
}

static void forget_names(struct broker *b)
{
	uint32_t pos = 0, flags;
	const char *name;

	while (vmc_name_next(b->session, &pos, &name, &flags))
		broker_emit_channel(b, EVENT_CHANNEL_REMOVED, name, true,
				    false);
}

void broker_moved(struct broker *b, const char *destination)
{
	const struct event down = {
		.type = EVENT_PEER_DOWN,
		.reason = VMC_REASON_MIGRATED,
	};

	if (destination)
		snprintf(b->destination, sizeof(b->destination), "%s",
			 destination);
	arena_note_texts(b);
	b->moved_at_ms = broker_now_us() / 1000u;
	log_info("ev=moved streams=%u", b->n_streams);
	end_streams(b);
	forget_names(b);
	b->up = b->stalled = false;
	broker_emit(b, &down);
	watchdog_calm(b);
	session_renew(b, VMC_REASON_MIGRATED);
	if (b->frozen) {
		unfreeze(b);
		watchdog_answer(b);
	}
}

unsigned int broker_linger_ms(const struct broker *b)
{
	uint64_t passed = broker_now_us() / 1000u - b->moved_at_ms;

	if (b->moved_at_ms == 0 || passed >= LINGER_MS)
		return 0;
	return LINGER_MS - (unsigned int)passed;
}
