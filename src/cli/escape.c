/* SPDX-License-Identifier: MIT */
/* escape.c - "~." at the beginning of a line leaves a terminal that hangs */
#include "cli/escape.h"

#define CTRL_Z 0x1a

/* The key after a ~ that was kept back. */
static enum escape_what after_tilde(struct escape *e, uint8_t key, uint8_t *out,
				    size_t *n)
{
	e->tilde = false;
	e->in_line = true;
	switch (key) {
	case '.':
		return ESCAPE_LEAVE;
	case CTRL_Z:
		e->in_line = false;
		return ESCAPE_STOP;
	case '~':
		break;
	default:
		out[(*n)++] = '~';
		e->in_line = key != '\r' && key != '\n';
	}
	out[(*n)++] = key;
	return ESCAPE_NOTHING;
}

size_t escape_feed(struct escape *e, const uint8_t *in, size_t n, uint8_t *out,
		   size_t *ret_n, enum escape_what *ret_what)
{
	size_t at = 0;

	*ret_n = 0;
	*ret_what = ESCAPE_NOTHING;
	while (at < n && *ret_what == ESCAPE_NOTHING) {
		uint8_t key = in[at++];

		if (e->tilde) {
			*ret_what = after_tilde(e, key, out, ret_n);
		} else if (!e->in_line && key == '~') {
			e->tilde = true;
		} else {
			e->in_line = key != '\r' && key != '\n';
			out[(*ret_n)++] = key;
		}
	}
	return at;
}
