/* SPDX-License-Identifier: MIT */
/* keep.c - what was sent, kept until it is known to have been taken */
#include "client/keep.h"

#include <stdlib.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

bool keep_init(struct keep *k, size_t bytes)
{
	*k = (struct keep){.size = bytes + KEEP_AHEAD};
	k->data = malloc(k->size);
	return k->data != NULL;
}

void keep_done(struct keep *k)
{
	free(k->data);
	k->data = NULL;
}

bool keep_grow(struct keep *k, size_t bytes)
{
	struct keep new;
	uint64_t at = keep_first(k);

	if (bytes + KEEP_AHEAD <= k->size)
		return true;
	if (!keep_init(&new, bytes))
		return false;
	/* By whole stretches that lie in one piece in both rings. */
	while (at < k->end) {
		size_t from = at % k->size, to = at % new.size;
		size_t len = least((size_t)(k->end - at),
				   least(k->size - from, new.size - to));

		memcpy(new.data + to, k->data + from, len);
		at += len;
	}
	new.sent = k->sent;
	new.end = k->end;
	keep_done(k);
	*k = new;
	return true;
}

size_t keep_room(const struct keep *k, uint8_t **ret)
{
	size_t ahead = (size_t)(k->end - k->sent), at = k->end % k->size;

	*ret = k->data + at;
	return ahead >= KEEP_AHEAD ? 0
				   : least(KEEP_AHEAD - ahead, k->size - at);
}

void keep_add(struct keep *k, size_t len)
{
	k->end += len;
}

size_t keep_next(const struct keep *k, const uint8_t **ret)
{
	size_t at = k->sent % k->size;

	*ret = k->data + at;
	return least((size_t)(k->end - k->sent), k->size - at);
}

void keep_sent(struct keep *k, size_t len)
{
	k->sent += len;
}

uint64_t keep_first(const struct keep *k)
{
	return k->end > k->size ? k->end - k->size : 0;
}

uint64_t keep_sure(const struct keep *k)
{
	uint64_t ahead = k->sent + KEEP_AHEAD;

	return ahead > k->size ? ahead - k->size : 0;
}

bool keep_rewind(struct keep *k, uint64_t at)
{
	if (at > k->sent || at < keep_first(k))
		return false;
	k->sent = at;
	return true;
}
