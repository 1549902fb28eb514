/* SPDX-License-Identifier: MIT */
/*
 * events.c - the numbered events that monitors see
 *
 * A monitor is a position in this ring; nothing is queued per monitor, and
 * one that falls behind learns how much it missed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/internal.h"

int events_init(struct event_ring *r)
{
	r->events = calloc(EVENTS_MAX, sizeof(*r->events));
	r->last_seq = 0;
	r->first_seq = 1;
	return r->events ? 0 : -ENOMEM;
}

void events_done(struct event_ring *r)
{
	free(r->events);
	r->events = NULL;
}

void events_add(struct event_ring *r, const struct event *ev, uint64_t time_us)
{
	struct event *slot = &r->events[r->last_seq % EVENTS_MAX];

	*slot = *ev;
	slot->seq = ++r->last_seq;
	slot->time_us = time_us;
}

const struct event *events_next(const struct event_ring *r, uint64_t seq,
				uint64_t *ret_lost)
{
	uint64_t oldest = r->first_seq;
	uint64_t want;

	*ret_lost = 0;
	if (r->last_seq >= oldest + EVENTS_MAX)
		oldest = r->last_seq - EVENTS_MAX + 1;
	if (seq >= r->last_seq)
		return NULL;
	want = seq + 1;
	if (want < oldest) {
		*ret_lost = oldest - want;
		want = oldest;
	}
	return &r->events[(want - 1) % EVENTS_MAX];
}

static const char *const type_names[EVENT_TYPE_NUM] = {
#define X(id, name) [EVENT_##id] = (name),
	EVENT_TYPES(X)
#undef X
};

const char *event_type_name(enum event_type type)
{
	return type_names[type];
}

enum event_type event_type_find(const char *name)
{
	unsigned int i = 0;

	while (i < EVENT_TYPE_NUM && strcmp(type_names[i], name) != 0)
		i++;
	return (enum event_type)i;
}
