/* SPDX-License-Identifier: MIT */
/*
 * rate.c - a ring of times
 */
#include "host/rate.h"

bool rate_take(struct rate *r, uint64_t now_ms)
{
	uint64_t *slot = &r->at_ms[r->n % RATE_MAX];

	/* The slot holds the time of RATE_MAX ago. */
	if (r->n >= RATE_MAX && now_ms - *slot < RATE_WINDOW_MS) {
		r->refused++;
		return false;
	}
	*slot = now_ms;
	r->n++;
	return true;
}
