/* SPDX-License-Identifier: MIT */
/* frames_down.c - the frames that a guest sends after Exec's and File's replies
 */
#include "cli/frames_down.h"

#include <stdlib.h>
#include <string.h>

/* More than a socket holds, so that one read takes all; and the largest frame
 * that must be there as a whole, an error, has room. */
#define DOWN_CAP (256u << 10)

#define BIT(type) (1u << (type))
#define OUTPUT    (BIT(OPFRAME_OUT) | BIT(OPFRAME_ERR))

static const unsigned int allowed[] = {
	[FRAMES_PIPES] = OUTPUT | BIT(OPFRAME_END) | BIT(OPFRAME_TOOK) |
			 BIT(OPFRAME_EXIT) | BIT(OPFRAME_ERROR),
	[FRAMES_TTY] = BIT(OPFRAME_OUT) | BIT(OPFRAME_END) | BIT(OPFRAME_TOOK) |
		       BIT(OPFRAME_EXIT) | BIT(OPFRAME_ERROR),
	[FRAMES_PULL] =
		BIT(OPFRAME_OUT) | BIT(OPFRAME_SUM_OF) | BIT(OPFRAME_ERROR),
	[FRAMES_PUSH] = BIT(OPFRAME_SUM_OF) | BIT(OPFRAME_ERROR),
};

bool frames_down_init(struct frames_down *d, enum frames_kind kind)
{
	*d = (struct frames_down){.allowed = allowed[kind]};
	return ring_init(&d->ring, DOWN_CAP);
}

void frames_down_done(struct frames_down *d)
{
	ring_done(&d->ring);
	free(d->error);
	d->error = NULL;
}

int frames_down_room(const struct frames_down *d, struct iovec v[RING_PARTS])
{
	if (d->last != FRAMES_GOING)
		return 0;
	return ring_parts(&d->ring, d->ring.end, ring_free(&d->ring), v);
}

/* Bytes before the first piece, or before what was not looked at, are done
 * with. */
static void release(struct frames_down *d)
{
	d->ring.start = d->n ? d->pieces[d->first].at : d->parsed;
}

static struct frames_piece *last_piece(struct frames_down *d)
{
	return d->n ? &d->pieces[(d->first + d->n - 1) % FRAMES_PIECES] : NULL;
}

/* What has come of a frame of output, be it a part. */
static bool take_output(struct frames_down *d, size_t have)
{
	struct frames_piece *p = last_piece(d);
	size_t n = have < d->left ? have : d->left;

	if (n == 0)
		return false;
	if (p && p->at + p->len == d->parsed) {
		p->len += n;
	} else {
		if (d->n == FRAMES_PIECES)
			return false;
		p = &d->pieces[(d->first + d->n++) % FRAMES_PIECES];
		*p = (struct frames_piece){d->type, d->parsed, n};
	}
	d->parsed += n;
	d->left -= n;
	return true;
}

static bool take_error(struct frames_down *d, size_t len)
{
	d->error = malloc(len + 1);
	if (!d->error)
		return false;
	ring_get(&d->ring, d->parsed, d->error, len);
	d->error[len] = '\0';
	d->error_len = len;
	return true;
}

static void end_with(struct frames_down *d, enum frames_last last)
{
	d->last = last;
	d->allowed = 0;
}

static bool take_exit(struct frames_down *d)
{
	uint8_t body[OPFRAME_EXIT_LEN];

	ring_get(&d->ring, d->parsed, body, sizeof(body));
	return opframe_get_exit(body, &d->exit);
}

static bool take_took(struct frames_down *d)
{
	uint8_t body[OPFRAME_TOOK_LEN];
	uint32_t took;

	ring_get(&d->ring, d->parsed, body, sizeof(body));
	took = opframe_get_took(body);
	d->took += took;
	return took > 0;
}

/* A frame that is there as a whole. Return: false if it is wrong. */
static bool take_whole(struct frames_down *d, const struct opframe *f)
{
	switch (f->type) {
	case OPFRAME_END:
		d->out_ended = true;
		d->allowed &= ~(OUTPUT | BIT(OPFRAME_END));
		return true;
	case OPFRAME_TOOK:
		return take_took(d);
	case OPFRAME_EXIT:
		end_with(d, FRAMES_EXIT);
		return take_exit(d);
	case OPFRAME_SUM_OF:
		end_with(d, FRAMES_SUM);
		ring_get(&d->ring, d->parsed, d->sum, sizeof(d->sum));
		return true;
	case OPFRAME_ERROR:
		end_with(d, FRAMES_ERROR);
		return take_error(d, f->len);
	case OPFRAME_DATA:
	case OPFRAME_OUT:
	case OPFRAME_ERR:
	case OPFRAME_SIZE:
	case OPFRAME_SIGNAL:
	case OPFRAME_TYPES:
		break;
	}
	return false;
}

static bool take_frame(struct frames_down *d, size_t have)
{
	uint8_t head[OPFRAME_HEAD];
	struct opframe f;

	if (have < OPFRAME_HEAD)
		return false;
	ring_get(&d->ring, d->parsed, head, sizeof(head));
	/* Before its body is waited for. */
	if (!opframe_get(head, &f) || !(d->allowed & BIT(f.type))) {
		end_with(d, FRAMES_WRONG);
		return false;
	}
	if (BIT(f.type) & OUTPUT) {
		d->type = f.type;
		d->left = f.len;
		d->parsed += OPFRAME_HEAD;
		return true;
	}
	if (have - OPFRAME_HEAD < f.len)
		return false;
	d->parsed += OPFRAME_HEAD;
	if (!take_whole(d, &f))
		end_with(d, FRAMES_WRONG);
	d->parsed += f.len;
	return true;
}

static void parse(struct frames_down *d)
{
	bool more = true;

	while (more && d->last == FRAMES_GOING) {
		size_t have = (size_t)(d->ring.end - d->parsed);

		more = d->left > 0 ? take_output(d, have) : take_frame(d, have);
	}
	release(d);
}

void frames_down_add(struct frames_down *d, size_t n)
{
	d->ring.end += n;
	parse(d);
}

int frames_down_front(const struct frames_down *d, struct iovec v[FRAMES_PARTS],
		      enum opframe_type *ret_type)
{
	int parts = 0;

	if (d->n == 0)
		return 0;
	*ret_type = d->pieces[d->first].type;
	for (unsigned int i = 0; i < d->n; i++) {
		const struct frames_piece *p =
			&d->pieces[(d->first + i) % FRAMES_PIECES];

		if (p->type != *ret_type || parts + RING_PARTS > FRAMES_PARTS)
			break;
		parts += ring_parts(&d->ring, p->at, p->len, v + parts);
	}
	return parts;
}

void frames_down_wrote(struct frames_down *d, size_t n)
{
	while (n > 0 && d->n > 0) {
		struct frames_piece *p = &d->pieces[d->first];
		size_t part = n < p->len ? n : p->len;

		p->at += part;
		p->len -= part;
		n -= part;
		if (p->len == 0) {
			d->first = (d->first + 1) % FRAMES_PIECES;
			d->n--;
		}
	}
	parse(d);
}

uint64_t frames_down_took(struct frames_down *d)
{
	uint64_t took = d->took;

	d->took = 0;
	return took;
}
