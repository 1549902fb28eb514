/* SPDX-License-Identifier: MIT */
/*
 * msgcheck.h - are the message lengths in a stream within the limit?
 *
 * A stream with message boundaries is u32 length (little-endian), bytes, and
 * so on. The broker looks at the lengths of what it hands to a local program.
 */
#ifndef BROKER_MSGCHECK_H
#define BROKER_MSGCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: at the start of a message. */
struct msgcheck {
	uint32_t body;     /* bytes of the present message still to come */
	uint32_t partial;  /* the length as far as it has been seen */
	uint8_t n_partial; /* bytes of it, 0..3 */
};

/**
 * msgcheck_feed() - the next bytes of the stream
 *
 * Return: false if a message is longer than VMC_MSG_MAX.
 */
bool msgcheck_feed(struct msgcheck *c, const uint8_t *p, size_t len);

/* msgcheck_at_boundary() - no message is half way */
bool msgcheck_at_boundary(const struct msgcheck *c);

#endif /* BROKER_MSGCHECK_H */
