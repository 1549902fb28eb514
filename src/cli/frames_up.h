/* SPDX-License-Identifier: MIT */
/*
 * frames_up.h - the frames that go to a guest after Exec's and File's replies
 *
 * Data is read to where it will be sent from. No I/O. docs/operations.md,
 * "Frames".
 */
#ifndef CLI_FRAMES_UP_H
#define CLI_FRAMES_UP_H

#include "base/opframe.h"
#include "cli/ring.h"

struct frames_up {
	struct ring ring;
	bool windowed;
	uint32_t credit; /* bytes of data that the guest keeps for sure */
};

/**
 * frames_up_init() - nothing to send yet
 * @windowed: no more data than OPFRAME_WINDOW before the guest took it
 *
 * Return: false: no memory.
 */
bool frames_up_init(struct frames_up *u, bool windowed);
void frames_up_done(struct frames_up *u);

/**
 * frames_up_room() - where data can be put
 * @ret_size: of all parts together, at most OPFRAME_MAX
 *
 * Return: how many parts; 0: none now.
 */
int frames_up_room(const struct frames_up *u, struct iovec v[RING_PARTS],
		   size_t *ret_size);

/* frames_up_data() - so many bytes have been put there, at least one; they
 * become a frame */
void frames_up_data(struct frames_up *u, size_t n);

/* frames_up_copy() - the same with bytes from elsewhere; no more than there is
 * room for */
void frames_up_copy(struct frames_up *u, const void *data, size_t n);

/* frames_up_put() - a frame that is not data; false: no room now */
bool frames_up_put(struct frames_up *u, enum opframe_type type,
		   const void *body, size_t len);

/* frames_up_pending() - what is to be sent; how many parts */
int frames_up_pending(const struct frames_up *u, struct iovec v[RING_PARTS]);

/* frames_up_sent() - so many bytes of it were sent */
void frames_up_sent(struct frames_up *u, size_t n);

/* frames_up_took() - the guest took so much; false: it did not get so much */
bool frames_up_took(struct frames_up *u, uint64_t n);

#endif /* CLI_FRAMES_UP_H */
