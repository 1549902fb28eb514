/* SPDX-License-Identifier: MIT */
/* ring.h - bytes between a read and a write, without moving any */
#ifndef CLI_RING_H
#define CLI_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* What bytes of a ring lie in: they may go past its end. */
#define RING_PARTS 2

/* Places are counted from the first byte ever, and never wrap. */
struct ring {
	uint8_t *data;
	size_t cap; /* a power of two */
	uint64_t start, end;
};

/* ring_init() - false: no memory */
bool ring_init(struct ring *r, size_t cap);
void ring_done(struct ring *r);

static inline size_t ring_used(const struct ring *r)
{
	return (size_t)(r->end - r->start);
}

static inline size_t ring_free(const struct ring *r)
{
	return r->cap - ring_used(r);
}

/**
 * ring_parts() - where @len bytes from the place @at on are
 * @len: at most the ring's size
 *
 * Return: how many parts: 0 to RING_PARTS.
 */
int ring_parts(const struct ring *r, uint64_t at, size_t len,
	       struct iovec v[RING_PARTS]);

/* Copies to and from a place. */
void ring_get(const struct ring *r, uint64_t at, void *to, size_t len);
void ring_put(struct ring *r, uint64_t at, const void *from, size_t len);

#endif /* CLI_RING_H */
