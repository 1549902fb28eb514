/* SPDX-License-Identifier: MIT */
/*
 * exec_stream.h - the frames of one command
 *
 * What the caller sends is always read: bytes that the command does not take
 * are kept, up to the window. What the command writes is read only when there
 * is room for it in the stream.
 */
#ifndef GUEST_EXEC_STREAM_H
#define GUEST_EXEC_STREAM_H

#include <poll.h>
#include <stdint.h>

#include "base/opframe.h"
#include "guest/exec_spawn.h"

enum exec_fd {
	EXEC_SOCK,
	EXEC_IN,
	EXEC_OUT,
	EXEC_ERR,
	EXEC_FDS
};

/* What the caller sent. */
struct exec_in {
	uint8_t data[OPFRAME_HEAD + OPFRAME_MAX];
	size_t len;
	uint32_t body; /* of a frame of data, still to come */
	/* What the command did not take yet. */
	uint8_t kept[OPFRAME_WINDOW];
	size_t kept_at, n_kept;
	uint32_t owed;  /* bytes that the window does not have back */
	uint32_t taken; /* of them, those that a frame will give back */
	bool end;       /* no more data will come */
	bool eof;       /* nothing more will come */
};

/* The frame that is on its way. */
struct exec_out {
	uint8_t data[OPFRAME_HEAD + OPFRAME_MAX];
	size_t at, len;
	bool end_said;  /* nobody has its stdout and stderr any more */
	bool err_first; /* next time, so that neither waits for ever */
	bool last;      /* what is there now, and no more */
	size_t left[2]; /* of that, still to be read */
};

struct exec_stream {
	int sock;
	struct exec_command *c;
	struct exec_in in;
	struct exec_out out;
	bool ended;  /* the command: it takes nothing any more */
	bool broken; /* not a frame, or nobody there */
};

/* exec_stream_begin() - @rest: bytes that came behind the call */
void exec_stream_begin(struct exec_stream *s, int sock, struct exec_command *c,
		       const char *rest, size_t len);

/* exec_stream_wants() - what to wait for */
void exec_stream_wants(const struct exec_stream *s, struct pollfd p[EXEC_FDS]);
/* exec_stream_step() - do what can be done now */
void exec_stream_step(struct exec_stream *s, const struct pollfd p[EXEC_FDS]);

/* exec_stream_ended() - the command has ended: its input is nobody's */
void exec_stream_ended(struct exec_stream *s);
/* exec_stream_last() - what is there now is the last of its output, though
 * others have it open */
void exec_stream_last(struct exec_stream *s);
/* exec_stream_drained() - is all of its output on its way? */
bool exec_stream_drained(const struct exec_stream *s);

/* exec_stream_exit() - the last frame; once it has drained */
void exec_stream_exit(struct exec_stream *s, int status);
/* exec_stream_sent() - has all of it gone? */
bool exec_stream_sent(const struct exec_stream *s);

#endif /* GUEST_EXEC_STREAM_H */
