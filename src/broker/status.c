/* SPDX-License-Identifier: MIT */
/*
 * status.c - how the last streams ended
 */
#include "broker/internal.h"

void status_add(struct status_ring *r, const struct stream_record *rec)
{
	volatile uint64_t *number = &r->records[r->next].number;
	struct stream_record unnumbered = *rec;

	unnumbered.number = 0;
	*number = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	r->records[r->next] = unnumbered;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*number = rec->number;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	r->next = (r->next + 1) % STATUS_MAX;
	if (r->n < STATUS_MAX)
		r->n++;
}

const struct stream_record *status_newest(const struct status_ring *r, size_t n)
{
	return &r->records[(r->next + STATUS_MAX - 1 - n) % STATUS_MAX];
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
	for (size_t i = 0; number != 0 && i < r->n; i++) {
		if (r->records[i].number == number)
			return &r->records[i];
	}
	return NULL;
}
