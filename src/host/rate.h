/* SPDX-License-Identifier: MIT */
/*
 * rate.h - at most so many of something within a time
 */
#ifndef HOST_RATE_H
#define HOST_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* What a worker may have done by the supervisor, whoever it is by now: each
 * costs the supervisor a tenth of a second, or a file that stays for a day. */
#define RATE_MAX       8u
#define RATE_WINDOW_MS 60000u

struct rate {
	uint64_t at_ms[RATE_MAX]; /* a ring of the last ones */
	unsigned int n;           /* that were let through */
	unsigned int refused;
};

/* rate_take() - Return: may it be done at @now_ms? Then it is counted. */
bool rate_take(struct rate *r, uint64_t now_ms);

#endif /* HOST_RATE_H */
