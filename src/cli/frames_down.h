/* SPDX-License-Identifier: MIT */
/*
 * frames_down.h - the frames that a guest sends after Exec's and File's replies
 *
 * Foreign bytes go in as they come, pieces of output come out, where they lie;
 * what the other frames say is remembered. No I/O. docs/operations.md,
 * "Frames", says what may come when.
 */
#ifndef CLI_FRAMES_DOWN_H
#define CLI_FRAMES_DOWN_H

#include "base/opframe.h"
#include "cli/ring.h"

enum frames_kind {
	FRAMES_PIPES, /* Run and RunService without a terminal */
	FRAMES_TTY,
	FRAMES_PULL,
	FRAMES_PUSH,
};

enum frames_last {
	FRAMES_GOING,
	FRAMES_EXIT,
	FRAMES_SUM,
	FRAMES_ERROR,
	FRAMES_WRONG, /* what came is not of the protocol */
};

/* A command that writes byte by byte makes a frame of each. */
#define FRAMES_PIECES 64
/* What one write takes. */
#define FRAMES_PARTS 32

struct frames_piece {
	enum opframe_type type; /* OPFRAME_OUT or _ERR */
	uint64_t at;
	size_t len;
};

struct frames_down {
	struct ring ring;
	uint64_t parsed;
	unsigned int allowed; /* one bit for each type */

	/* The frame of output that is coming in. */
	enum opframe_type type;
	size_t left;

	struct frames_piece pieces[FRAMES_PIECES];
	unsigned int first, n;

	uint64_t took;  /* not asked for yet */
	bool out_ended; /* no more output will come */
	enum frames_last last;
	struct opframe_exit exit;
	uint8_t sum[OPFRAME_SUM];
	char *error; /* text of an error reply; to be believed by nobody */
	size_t error_len;
};

/* frames_down_init() - false: no memory */
bool frames_down_init(struct frames_down *d, enum frames_kind kind);
void frames_down_done(struct frames_down *d);

/**
 * frames_down_room() - where bytes can be put that come in
 *
 * Return: how many parts; 0: none now, or what comes is not of interest.
 */
int frames_down_room(const struct frames_down *d, struct iovec v[RING_PARTS]);

/* frames_down_add() - so many bytes have been put there */
void frames_down_add(struct frames_down *d, size_t n);

/**
 * frames_down_front() - the next output
 * @ret_type: OPFRAME_OUT or OPFRAME_ERR
 *
 * Return: how many parts; 0: there is none now.
 */
int frames_down_front(const struct frames_down *d, struct iovec v[FRAMES_PARTS],
		      enum opframe_type *ret_type);

/* frames_down_wrote() - so many bytes of it are done with */
void frames_down_wrote(struct frames_down *d, size_t n);

/* frames_down_took() - bytes of stdin that were taken since the last question
 */
uint64_t frames_down_took(struct frames_down *d);

/* frames_down_is_over() - the last frame has come, and all output is gone */
static inline bool frames_down_is_over(const struct frames_down *d)
{
	return d->last != FRAMES_GOING && d->n == 0;
}

#endif /* CLI_FRAMES_DOWN_H */
