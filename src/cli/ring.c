/* SPDX-License-Identifier: MIT */
/* ring.c - bytes between a read and a write, without moving any */
#include "cli/ring.h"

#include <stdlib.h>
#include <string.h>

bool ring_init(struct ring *r, size_t cap)
{
	*r = (struct ring){.data = malloc(cap), .cap = cap};
	return r->data != NULL;
}

void ring_done(struct ring *r)
{
	free(r->data);
	r->data = NULL;
}

int ring_parts(const struct ring *r, uint64_t at, size_t len,
	       struct iovec v[RING_PARTS])
{
	size_t from = (size_t)at & (r->cap - 1);
	size_t first = len < r->cap - from ? len : r->cap - from;

	if (len == 0)
		return 0;
	v[0] = (struct iovec){r->data + from, first};
	if (first == len)
		return 1;
	v[1] = (struct iovec){r->data, len - first};
	return RING_PARTS;
}

void ring_get(const struct ring *r, uint64_t at, void *to, size_t len)
{
	struct iovec v[RING_PARTS];
	int n = ring_parts(r, at, len, v);
	uint8_t *p = to;

	for (int i = 0; i < n; i++) {
		memcpy(p, v[i].iov_base, v[i].iov_len);
		p += v[i].iov_len;
	}
}

void ring_put(struct ring *r, uint64_t at, const void *from, size_t len)
{
	struct iovec v[RING_PARTS];
	int n = ring_parts(r, at, len, v);
	const uint8_t *p = from;

	for (int i = 0; i < n; i++) {
		memcpy(v[i].iov_base, p, v[i].iov_len);
		p += v[i].iov_len;
	}
}
