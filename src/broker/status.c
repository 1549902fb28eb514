/* SPDX-License-Identifier: MIT */
/*
 * status.c - how the last streams ended
 *
 * A process may be killed between any two stores of status_add(), and the next
 * one goes on with what lies there. So a record is there if it has a number,
 * which is stored last; its place is counted and passed before it is filled. A
 * death leaves a hole, never a record that nobody finds or that the next one
 * is written over.
 */
#include "broker/internal.h"

void status_add(struct status_ring *r, const struct stream_record *rec)
{
	struct stream_record *place = &r->records[r->next];
	volatile uint64_t *number = &place->number;
	volatile size_t *next = &r->next, *n = &r->n;
	struct stream_record unnumbered = *rec;

	unnumbered.number = 0;
	*number = 0;
	if (*n < STATUS_MAX && *n <= *next)
		*n = *next + 1;
	*next = (*next + 1) % STATUS_MAX;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*place = unnumbered;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*number = rec->number;
}

const struct stream_record *status_newest(const struct status_ring *r, size_t n)
{
	const struct stream_record *rec =
		&r->records[(r->next + STATUS_MAX - 1 - n) % STATUS_MAX];

	return rec->number ? rec : NULL;
}

size_t status_count(const struct status_ring *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->records[i].number != 0;
	return n;
}

const struct stream_record *status_find_token(const struct status_ring *r,
					      const uint8_t token[TOKEN_LEN])
{
	const struct stream_record *found = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const struct stream_record *rec = &r->records[i];

		if (rec->number != 0 && rec->follow &&
		    token_equal(rec->token, token))
			found = rec;
	}
	return found;
}

const struct stream_record *status_find(const struct status_ring *r,
					uint64_t number)
{
	for (size_t i = 0; number != 0 && i < r->n; i++) {
		if (r->records[i].number == number)
			return &r->records[i];
	}
	return NULL;
}
