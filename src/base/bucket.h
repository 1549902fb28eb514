/* SPDX-License-Identifier: MIT */
/*
 * bucket.h - token bucket over a clock that is passed in
 *
 * Levels are kept in millionths of a token, so that one microsecond at one
 * token per second is exactly one unit.
 */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_TOKEN UINT64_C(1000000)

struct bucket {
	uint64_t level; /* millionths of a token */
	uint64_t last;  /* microseconds */
};

static inline void bucket_init(struct bucket *b, uint32_t burst, uint64_t now)
{
	b->level = burst * BUCKET_TOKEN;
	b->last = now;
}

/* A clock that steps back adds nothing. */
static inline void bucket_fill(struct bucket *b, uint32_t per_s, uint32_t burst,
			       uint64_t now)
{
	uint64_t full = burst * BUCKET_TOKEN;
	uint64_t dt = now > b->last ? now - b->last : 0;

	b->last = now;
	if (b->level > full)
		b->level = full;
	if (per_s && dt >= (full - b->level) / per_s)
		b->level = full;
	else
		b->level += dt * per_s;
}

/* bucket_take() - one token, if there is one */
static inline bool bucket_take(struct bucket *b, uint32_t per_s, uint32_t burst,
			       uint64_t now)
{
	bucket_fill(b, per_s, burst, now);
	if (b->level < BUCKET_TOKEN)
		return false;
	b->level -= BUCKET_TOKEN;
	return true;
}

#endif /* BASE_BUCKET_H */
