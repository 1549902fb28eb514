/* SPDX-License-Identifier: MIT */
/* link.c - one direction of the virtual link */
#include "link.h"

#include <stdlib.h>
#include <string.h>

/* Enough for QEMU's 128 ring entries of small writes, and cheap to keep. */
#define HISTORY_MAX 65536u
/* Moved to the front now and then. */
#define HISTORY_ROOM (4 * HISTORY_MAX)

static void *xrealloc(void *p, size_t n)
{
	p = realloc(p, n);
	if (!p)
		abort();
	return p;
}

void link_init(struct link *l, size_t cap, bool whole_writes)
{
	memset(l, 0, sizeof(*l));
	l->cap = cap;
	l->whole_writes = whole_writes;
	l->history = xrealloc(NULL, HISTORY_ROOM);
}

void link_done(struct link *l)
{
	free(l->buf);
	free(l->seg);
	free(l->history);
	memset(l, 0, sizeof(*l));
}

size_t link_charge(size_t len)
{
	size_t c = 512;

	if (len >= 4096)
		return 768 + ((len + 4095) & ~(size_t)4095);
	while (c < len + 352)
		c <<= 1;
	return 768 + c;
}

/* Makes room for @n more bytes behind the present ones. */
static void grow_bytes(struct link *l, size_t n)
{
	if (l->head && l->head + l->len + n > l->room) {
		memmove(l->buf, l->buf + l->head, l->len);
		l->head = 0;
	}
	if (l->len + n > l->room) {
		l->room = 2 * (l->len + n);
		l->buf = xrealloc(l->buf, l->room);
	}
}

static struct link_seg *add_seg(struct link *l)
{
	if (l->seg_head && l->seg_head + l->n_seg == l->seg_room) {
		memmove(l->seg, l->seg + l->seg_head,
			l->n_seg * sizeof(*l->seg));
		l->seg_head = 0;
	}
	if (l->n_seg == l->seg_room) {
		l->seg_room = l->seg_room ? 2 * l->seg_room : 64;
		l->seg = xrealloc(l->seg, l->seg_room * sizeof(*l->seg));
	}
	return &l->seg[l->seg_head + l->n_seg++];
}

bool link_can_write(const struct link *l, size_t n)
{
	if (l->len >= l->cap)
		return false;
	/* A write larger than the whole pipe waits for an empty one. */
	return !l->whole_writes || l->len + n <= l->cap || !l->len;
}

static void count_write(struct link *l, size_t charge)
{
	l->charge += charge;
	l->writes++;
	l->writes_total++;
	if (l->charge > l->charge_peak)
		l->charge_peak = l->charge;
	if (l->writes > l->writes_peak)
		l->writes_peak = l->writes;
}

size_t link_write(struct link *l, const uint8_t *buf, size_t n, uint64_t now,
		  uint64_t jitter)
{
	struct link_seg *seg;
	uint64_t start;

	if (!n || !link_can_write(l, n))
		return 0;
	if (!l->whole_writes && n > l->cap - l->len)
		n = l->cap - l->len;
	grow_bytes(l, n);
	memcpy(l->buf + l->head + l->len, buf, n);
	l->len += n;
	l->bytes_total += n;
	start = l->busy_until > now ? l->busy_until : now;
	l->busy_until = start + l->us_per_kib * n / 1024;
	seg = add_seg(l);
	seg->left = n;
	seg->charge = link_charge(n);
	seg->ready_at = l->busy_until + l->delay_us + jitter;
	if (l->n_seg > 1 && seg[-1].ready_at > seg->ready_at)
		seg->ready_at = seg[-1].ready_at;
	count_write(l, seg->charge);
	return n;
}

size_t link_readable(const struct link *l, uint64_t now)
{
	size_t n = 0;

	if (now < l->stalled_until)
		return 0;
	for (size_t i = 0; i < l->n_seg; i++) {
		const struct link_seg *seg = &l->seg[l->seg_head + i];

		if (seg->ready_at > now)
			break;
		n += seg->left;
	}
	return n;
}

static void remember(struct link *l, const uint8_t *buf, size_t n)
{
	if (n >= HISTORY_MAX) {
		buf += n - HISTORY_MAX;
		n = HISTORY_MAX;
	}
	if (l->history_at + l->history_len + n > HISTORY_ROOM) {
		size_t keep = HISTORY_MAX - n;

		keep = keep < l->history_len ? keep : l->history_len;
		memmove(l->history,
			l->history + l->history_at + l->history_len - keep,
			keep);
		l->history_at = 0;
		l->history_len = keep;
	}
	memcpy(l->history + l->history_at + l->history_len, buf, n);
	l->history_len += n;
	if (l->history_len > HISTORY_MAX) {
		l->history_at += l->history_len - HISTORY_MAX;
		l->history_len = HISTORY_MAX;
	}
}

/* The first segment lost its last byte: its write is read. */
static void drop_seg(struct link *l)
{
	l->charge -= l->seg[l->seg_head].charge;
	l->writes -= l->seg[l->seg_head].charge != 0;
	l->seg_head++;
	l->n_seg--;
}

static void drop_front(struct link *l, size_t n)
{
	l->head += n;
	l->len -= n;
	while (l->n_seg) {
		struct link_seg *seg = &l->seg[l->seg_head];
		size_t part = seg->left < n ? seg->left : n;

		seg->left -= part;
		n -= part;
		if (seg->left)
			break;
		drop_seg(l);
	}
}

size_t link_read(struct link *l, uint8_t *buf, size_t n, uint64_t now)
{
	size_t have = link_readable(l, now);

	if (n > have)
		n = have;
	if (!n)
		return 0;
	memcpy(buf, l->buf + l->head, n);
	remember(l, buf, n);
	drop_front(l, n);
	return n;
}

uint64_t link_next(const struct link *l, uint64_t now)
{
	uint64_t t;

	if (!l->n_seg)
		return LINK_NEVER;
	t = l->seg[l->seg_head].ready_at;
	if (t < l->stalled_until)
		t = l->stalled_until;
	return t > now ? t : now;
}

void link_lose(struct link *l, size_t off, size_t n)
{
	size_t at = 0, kept = 0;

	if (off >= l->len)
		return;
	if (n > l->len - off)
		n = l->len - off;
	memmove(l->buf + l->head + off, l->buf + l->head + off + n,
		l->len - off - n);
	l->len -= n;
	for (size_t i = 0; i < l->n_seg; i++) {
		struct link_seg seg = l->seg[l->seg_head + i];
		size_t from = at > off ? at : off;
		size_t to = at + seg.left < off + n ? at + seg.left : off + n;

		at += seg.left;
		if (to > from)
			seg.left -= to - from;
		if (seg.left) {
			l->seg[l->seg_head + kept++] = seg;
			continue;
		}
		l->charge -= seg.charge;
		l->writes -= seg.charge != 0;
	}
	l->n_seg = kept;
}

void link_flip(struct link *l, size_t off, unsigned int bit)
{
	if (off < l->len)
		l->buf[l->head + off] ^= (uint8_t)(1u << (bit & 7));
}

/* What comes later may not overtake, so all behind is as late. */
void link_split(struct link *l, size_t off, uint64_t at)
{
	struct link_seg *seg;
	size_t i = 0;

	if (off >= l->len)
		return;
	add_seg(l); /* room for one more */
	seg = &l->seg[l->seg_head];
	while (off >= seg[i].left)
		off -= seg[i++].left;
	l->n_seg--;
	if (off) {
		memmove(seg + i + 1, seg + i, (l->n_seg - i) * sizeof(*seg));
		l->n_seg++;
		seg[i].left = off;
		seg[i].charge = 0; /* counts when its last byte is read */
		seg[++i].left -= off;
	}
	for (; i < l->n_seg; i++)
		seg[i].ready_at = at;
}

void link_replay(struct link *l, size_t n)
{
	struct link_seg *seg;

	if (n > l->history_len)
		n = l->history_len;
	if (!n)
		return;
	grow_bytes(l, n);
	memmove(l->buf + l->head + n, l->buf + l->head, l->len);
	memcpy(l->buf + l->head, link_history(l) + l->history_len - n, n);
	l->len += n;
	add_seg(l);
	seg = &l->seg[l->seg_head];
	memmove(seg + 1, seg, (l->n_seg - 1) * sizeof(*seg));
	seg->ready_at = 0;
	seg->left = n;
	seg->charge = 0;
}

const uint8_t *link_history(const struct link *l)
{
	return l->history + l->history_at;
}

void link_forgive(struct link *l)
{
	for (size_t i = 0; i < l->n_seg; i++)
		l->seg[l->seg_head + i].charge = 0;
	l->charge = l->writes = 0;
}

void link_copy(struct link *to, const struct link *from)
{
	struct link keep = *to;

	*to = *from;
	to->buf = keep.buf;
	to->room = keep.room;
	if (to->room < from->head + from->len || !to->buf) {
		to->room = from->room ? from->room : 1;
		to->buf = xrealloc(to->buf, to->room);
	}
	memcpy(to->buf + to->head, from->buf + from->head, from->len);
	to->seg = keep.seg;
	to->seg_room = keep.seg_room;
	if (to->seg_room < from->seg_head + from->n_seg || !to->seg) {
		to->seg_room = from->seg_room ? from->seg_room : 1;
		to->seg = xrealloc(to->seg, to->seg_room * sizeof(*to->seg));
	}
	memcpy(to->seg + to->seg_head, from->seg + from->seg_head,
	       from->n_seg * sizeof(*to->seg));
	to->history = keep.history;
	if (!to->history)
		to->history = xrealloc(NULL, HISTORY_ROOM);
	memcpy(to->history + to->history_at, from->history + from->history_at,
	       from->history_len);
}
