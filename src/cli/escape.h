/* SPDX-License-Identifier: MIT */
/*
 * escape.h - "~." at the beginning of a line leaves a terminal that hangs
 *
 * As in ssh: ~. leaves, ~^Z stops, ~~ is a ~. Keys are numbers here: what
 * is typed is bytes of any encoding.
 */
#ifndef CLI_ESCAPE_H
#define CLI_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum escape_what {
	ESCAPE_NOTHING,
	ESCAPE_LEAVE,
	ESCAPE_STOP,
};

/* All zero: at the beginning of a line. */
struct escape {
	bool in_line;
	bool tilde; /* came at the beginning of a line, and is kept back */
};

/**
 * escape_feed() - what of that was typed for the command?
 * @in:    @n bytes
 * @out:   @n + 1 bytes: those for the command
 * @ret_n: how many
 * @ret_what: what is to be done after those
 *
 * Return: bytes of @in that were looked at: all, or up to the end of what is
 * to be done.
 */
size_t escape_feed(struct escape *e, const uint8_t *in, size_t n, uint8_t *out,
		   size_t *ret_n, enum escape_what *ret_what);

#endif /* CLI_ESCAPE_H */
