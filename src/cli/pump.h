/* SPDX-License-Identifier: MIT */
/*
 * pump.h - one direction of a relay: read, perhaps reshape, write
 *
 * Never blocks. One buffer of input, one of output; a pump that cannot write
 * stops reading, and that is all the flow control there is.
 */
#ifndef CLI_PUMP_H
#define CLI_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum pump_shape {
	PUMP_BYTES,
	PUMP_LINES_TO_MESSAGES,
	PUMP_MESSAGES_TO_LINES,
};

enum pump_error {
	PUMP_OK,
	PUMP_TOO_LONG, /* a line or a message is over VMC_MSG_MAX */
	PUMP_CUT,      /* the input ended within a message */
	PUMP_READ,     /* errno says */
	PUMP_WRITE,    /* errno says; nobody reads any more: PUMP_OK and
			* broken is set */
};

struct pump_buf {
	uint8_t *data;
	size_t start, end, cap;
};

struct pump {
	enum pump_shape shape;
	int from, to;
	bool from_socket, to_socket;
	bool eof;    /* nothing comes any more */
	bool broken; /* nobody takes it any more */
	uint64_t written;
	struct pump_buf in, out;
};

/* Return: false if there is no memory. */
bool pump_init(struct pump *p, int from, int to, enum pump_shape shape);
void pump_done(struct pump *p);

bool pump_wants_read(const struct pump *p);
bool pump_wants_write(const struct pump *p);
/* pump_is_over() - all that came has been written, and no more will come */
bool pump_is_over(const struct pump *p);

/* pump_has_unsent() - bytes came in that were not written */
bool pump_has_unsent(const struct pump *p);

enum pump_error pump_read(struct pump *p);
enum pump_error pump_write(struct pump *p);

#endif /* CLI_PUMP_H */
