/* SPDX-License-Identifier: MIT */
/* frames_up.c - the frames that go to a guest after Exec's and File's replies
 */
#include "cli/frames_up.h"

/* Three frames on their way while the next is read. */
#define UP_CAP (256u << 10)
/* Kept free for signals and sizes, which are sent one at a time. */
#define UP_OTHERS 256u
/* Frames of a few bytes would cost more than they carry. A guest that keeps
 * nearly a whole window will take some of it. */
#define UP_LEAST 4096u

bool frames_up_init(struct frames_up *u, bool windowed)
{
	*u = (struct frames_up){.windowed = windowed, .credit = OPFRAME_WINDOW};
	return ring_init(&u->ring, UP_CAP);
}

void frames_up_done(struct frames_up *u)
{
	ring_done(&u->ring);
}

int frames_up_room(const struct frames_up *u, struct iovec v[RING_PARTS],
		   size_t *ret_size)
{
	size_t size = ring_free(&u->ring);

	*ret_size = 0;
	if (size < OPFRAME_HEAD + UP_OTHERS + UP_LEAST)
		return 0;
	size -= OPFRAME_HEAD + UP_OTHERS;
	if (size > OPFRAME_MAX)
		size = OPFRAME_MAX;
	if (u->windowed && size > u->credit)
		size = u->credit;
	if (size < UP_LEAST)
		return 0;
	*ret_size = size;
	return ring_parts(&u->ring, u->ring.end + OPFRAME_HEAD, size, v);
}

static void put_head(struct frames_up *u, enum opframe_type type, size_t len)
{
	uint8_t head[OPFRAME_HEAD];

	opframe_put(head, type, len);
	ring_put(&u->ring, u->ring.end, head, sizeof(head));
	u->ring.end += sizeof(head);
}

void frames_up_data(struct frames_up *u, size_t n)
{
	put_head(u, OPFRAME_DATA, n);
	u->ring.end += n;
	if (u->windowed)
		u->credit -= (uint32_t)n;
}

void frames_up_copy(struct frames_up *u, const void *data, size_t n)
{
	ring_put(&u->ring, u->ring.end + OPFRAME_HEAD, data, n);
	frames_up_data(u, n);
}

bool frames_up_put(struct frames_up *u, enum opframe_type type,
		   const void *body, size_t len)
{
	if (ring_free(&u->ring) < OPFRAME_HEAD + len)
		return false;
	put_head(u, type, len);
	ring_put(&u->ring, u->ring.end, body, len);
	u->ring.end += len;
	return true;
}

int frames_up_pending(const struct frames_up *u, struct iovec v[RING_PARTS])
{
	return ring_parts(&u->ring, u->ring.start, ring_used(&u->ring), v);
}

void frames_up_sent(struct frames_up *u, size_t n)
{
	u->ring.start += n;
}

bool frames_up_took(struct frames_up *u, uint64_t n)
{
	if (n > OPFRAME_WINDOW - u->credit)
		return false;
	u->credit += (uint32_t)n;
	return true;
}
