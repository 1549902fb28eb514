/* SPDX-License-Identifier: MIT */
/* pool.c - bytes that came and were not taken at once, in chained chunks */
#include "session/internal.h"

#include <assert.h>
#include <string.h>

static uint16_t *next_of(const struct vmc_session *s, uint16_t chunk)
{
	return (uint16_t *)session_at(s, s->at.chunk_next) + chunk;
}

void pool_init(struct vmc_session *s)
{
	for (uint32_t i = 0; i < s->at.n_chunks; i++)
		*next_of(s, (uint16_t)i) =
			i + 1 < s->at.n_chunks ? (uint16_t)(i + 1) : NIL;
	s->free_chunk = 0;
	s->chunks_used = 0;
}

uint16_t pool_next(const struct vmc_session *s, uint16_t chunk)
{
	return *next_of(s, chunk);
}

uint8_t *pool_chunk(const struct vmc_session *s, uint16_t chunk)
{
	return (uint8_t *)session_at(s, s->at.chunks) +
	       (size_t)chunk * s->at.chunk_size;
}

static void chunk_add(struct vmc_session *s, struct slot *sl)
{
	uint16_t c = s->free_chunk;

	/* The peer stays within its credit, and the sum of all credit within
	 * the pool: layout.c has a chunk for every case. */
	assert(c != NIL);
	s->free_chunk = *next_of(s, c);
	*next_of(s, c) = NIL;
	s->chunks_used++;
	if (sl->q_first == NIL)
		sl->q_first = c;
	else
		*next_of(s, sl->q_last) = c;
	sl->q_last = c;
}

static void chunk_drop_first(struct vmc_session *s, struct slot *sl)
{
	uint16_t c = sl->q_first;

	sl->q_first = *next_of(s, c);
	if (sl->q_first == NIL)
		sl->q_last = NIL;
	*next_of(s, c) = s->free_chunk;
	s->free_chunk = c;
	s->chunks_used--;
	sl->q_off = 0;
}

void pool_append(struct vmc_session *s, struct slot *sl, const uint8_t *p,
		 uint32_t n)
{
	uint32_t size = s->at.chunk_size;

	credit_waits(s, sl, n);
	while (n) {
		uint32_t at = (sl->q_off + sl->q_len) % size;
		uint32_t some = min_u32(n, size - at);

		if (at == 0)
			chunk_add(s, sl);
		memcpy(pool_chunk(s, sl->q_last) + at, p, some);
		sl->q_len += some;
		p += some;
		n -= some;
	}
}

void pool_drop(struct vmc_session *s, struct slot *sl, uint32_t n)
{
	uint32_t size = s->at.chunk_size;

	credit_taken(s, sl, n);
	while (n) {
		uint32_t some = min_u32(n, size - sl->q_off);

		sl->q_off += some;
		sl->q_len -= some;
		n -= some;
		if (sl->q_off == size || !sl->q_len)
			chunk_drop_first(s, sl);
	}
}
