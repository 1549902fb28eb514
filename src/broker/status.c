/* SPDX-License-Identifier: MIT */
/*
 * status.c - how the last streams ended
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/internal.h"

int status_init(struct status_ring *r)
{
	r->records = calloc(STATUS_MAX, sizeof(*r->records));
	r->next = r->n = 0;
	return r->records ? 0 : -ENOMEM;
}

void status_done(struct status_ring *r)
{
	free(r->records);
	r->records = NULL;
}

void status_add(struct status_ring *r, const struct stream_record *rec)
{
	r->records[r->next] = *rec;
	r->next = (r->next + 1) % STATUS_MAX;
	if (r->n < STATUS_MAX)
		r->n++;
}

const struct stream_record *status_find_token(const struct status_ring *r,
					      const uint8_t token[TOKEN_LEN])
{
	const struct stream_record *found = NULL;

	for (size_t i = 0; i < r->n; i++) {
		if (r->records[i].follow &&
		    token_equal(r->records[i].token, token))
			found = &r->records[i];
	}
	return found;
}

const struct stream_record *status_find(const struct status_ring *r,
					uint64_t number)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->records[i].number == number)
			return &r->records[i];
	}
	return NULL;
}
