/* SPDX-License-Identifier: MIT */
/* history.c - which bytes an application may see */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "world.h"

#define FORGED_MAX (1u << 20)

static void *xrealloc(void *p, size_t n)
{
	p = realloc(p, n);
	if (!p)
		abort();
	return p;
}

void history_init(struct history *h)
{
	memset(h, 0, sizeof(*h));
	h->n_pieces = h->n_branches = 1;
}

void history_done(struct history *h)
{
	free(h->piece);
	free(h->branch);
	free(h->forged);
	memset(h, 0, sizeof(*h));
}

static void *room_for(void *p, uint32_t n, uint32_t *room, size_t size)
{
	if (n < *room)
		return p;
	*room = n < 128 ? 256 : 2 * n;
	return xrealloc(p, *room * size);
}

static uint32_t new_piece(struct history *h)
{
	h->piece = room_for(h->piece, h->n_pieces, &h->piece_room,
			    sizeof(*h->piece));
	memset(&h->piece[h->n_pieces], 0, sizeof(*h->piece));
	return h->n_pieces++;
}

void history_copy(struct history *to, const struct history *from)
{
	to->n_pieces = from->n_pieces;
	to->piece = room_for(to->piece, from->n_pieces, &to->piece_room,
			     sizeof(*to->piece));
	if (from->piece)
		memcpy(to->piece, from->piece,
		       from->n_pieces * sizeof(*to->piece));
	to->n_branches = from->n_branches;
	to->branch = room_for(to->branch, from->n_branches, &to->branch_room,
			      sizeof(*to->branch));
	if (from->branch)
		memcpy(to->branch, from->branch,
		       from->n_branches * sizeof(*to->branch));
	to->forged_len = from->forged_len;
	if (!from->forged_len)
		return;
	if (!to->forged)
		to->forged = xrealloc(NULL, FORGED_MAX);
	memcpy(to->forged, from->forged, from->forged_len);
}

/* ---- branches --------------------------------------------------------- */

void history_branch(struct world *w, int e, struct moment from)
{
	struct history *h = &w->history;
	struct end *end = &w->end[e];

	h->branch = room_for(h->branch, h->n_branches, &h->branch_room,
			     sizeof(*h->branch));
	h->branch[h->n_branches] = (struct branch){
		.end = e, .parent = from.branch, .forked = from.step};
	end->at = (struct moment){.branch = h->n_branches++};
}

/* Was @m a moment of the past of @now? */
static bool in_past(const struct history *h, struct moment m, struct moment now)
{
	uint64_t step = now.step;

	for (uint32_t b = now.branch; b; b = h->branch[b].parent) {
		if (b == m.branch)
			return m.step <= step;
		step = h->branch[b].forked;
	}
	return false;
}

/* ---- content ---------------------------------------------------------- */

static uint64_t content_word(uint32_t piece, uint64_t word)
{
	return prng_mix((uint64_t)piece << 40 ^ word);
}

static void content(const struct history *h, uint32_t piece, uint64_t off,
		    uint8_t *buf, size_t n)
{
	const struct piece *p = &h->piece[piece];
	uint64_t at = off - p->off;
	size_t i = 0;

	if (p->forged)
		memcpy(buf, h->forged + p->forged - 1 + at, n);
	while (i < n && !p->forged) {
		uint64_t word = content_word(piece, (at + i) / 8);

		word >>= (at + i) % 8 * 8;
		do {
			buf[i++] = (uint8_t)word;
			word >>= 8;
		} while (i < n && (at + i) % 8);
	}
	/* Siblings differ from their first byte on. */
	if (n && !at)
		buf[0] = (uint8_t)(prng_mix(p->prev) + p->order);
}

static bool is_content(const struct history *h, uint32_t piece, uint64_t off,
		       const uint8_t *buf, size_t n)
{
	uint8_t want[512];

	for (size_t i = 0; i < n; i += sizeof(want)) {
		size_t part = n - i < sizeof(want) ? n - i : sizeof(want);

		content(h, piece, off + i, want, part);
		if (memcmp(want, buf + i, part) != 0)
			return false;
	}
	return true;
}

/* ---- sending ---------------------------------------------------------- */

uint32_t history_root(struct world *w)
{
	return new_piece(&w->history);
}

static void record(struct history *h, struct piece *p, const uint8_t *forge,
		   size_t n)
{
	if (!h->forged)
		h->forged = xrealloc(NULL, FORGED_MAX);
	if (h->forged_len + n > FORGED_MAX)
		return;
	memcpy(h->forged + h->forged_len, forge, n);
	p->forged = h->forged_len + 1;
	h->forged_len += (uint32_t)n;
}

void history_send(struct world *w, struct conv *c, int e, uint8_t *buf,
		  size_t n, const uint8_t *forge)
{
	struct history *h = &w->history;
	struct half *half = &c->half[e];
	uint32_t i = new_piece(h);
	struct piece *p = &h->piece[i], *prev;

	p->prev = half->sent ? half->sent : c->root[e];
	prev = &h->piece[p->prev];
	p->off = prev->off + prev->len;
	p->len = (uint32_t)n;
	p->order = prev->child ? h->piece[prev->child].order + 1 : 0;
	p->sibling = prev->child;
	prev->child = i;
	w->end[e].at.step++;
	p->sent = w->end[e].at;
	p->seen = w->end[e].seen;
	half->sent = i;
	if (!n)
		return;
	if (forge)
		record(h, p, forge, n);
	content(h, i, p->off, buf, n);
}

/* ---- receiving -------------------------------------------------------- */

/* The piece that the byte at @off belongs to, seen from @piece. */
static uint32_t find(const struct history *h, uint32_t piece, uint64_t off,
		     const uint8_t *buf, size_t n)
{
	const struct piece *p = &h->piece[piece];
	uint32_t i;

	while (off < p->off && p->prev) {
		piece = p->prev;
		p = &h->piece[piece];
	}
	if (off - p->off < p->len)
		return piece;
	for (i = p->child; i; i = h->piece[i].sibling) {
		const struct piece *child = &h->piece[i];
		size_t part = child->len < n ? child->len : n;

		if (!child->len || child->off != off)
			continue;
		if ((!child->sibling && !child->order) ||
		    is_content(h, i, off, buf, part))
			return i;
	}
	return 0;
}

static uint32_t where(const struct conv *c, int e)
{
	return c->half[e].taken ? c->half[e].taken : c->root[1 - e];
}

/* Walks @n bytes; returns the last piece, 0 after a failure. */
static uint32_t walk(struct world *w, const struct conv *c, int e, uint32_t i,
		     uint64_t off, const uint8_t *buf, size_t n,
		     void (*step)(struct world *, const struct conv *, int,
				  const struct piece *))
{
	const struct history *h = &w->history;

	while (n && !world_failed(w)) {
		const struct piece *p;
		size_t part;

		i = find(h, i, off, buf, n);
		p = &h->piece[i];
		part = i ? (size_t)(p->off + p->len - off) : 0;
		part = part < n ? part : n;
		/* Who takes has looked before. */
		if (!i || (!step && !is_content(h, i, off, buf, part))) {
			world_fail(w, "conv %u: end %d: wrong bytes near %ju",
				   c->id, e, (uintmax_t)off);
			return 0;
		}
		if (step)
			step(w, c, e, p);
		buf += part;
		off += part;
		n -= part;
	}
	return i;
}

uint32_t history_look(struct world *w, struct conv *c, int e, uint32_t piece,
		      uint64_t off, const uint8_t *buf, size_t n)
{
	return walk(w, c, e, piece ? piece : where(c, e), off, buf, n, NULL);
}

/* End @e has seen what @p says; was that meant for it? */
static void see(struct world *w, const struct conv *c, int e,
		const struct piece *p)
{
	const struct history *h = &w->history;
	struct end *end = &w->end[e];

	if (p->seen.branch && !in_past(h, p->seen, end->at))
		world_fail(w,
			   "conv %u: end %d gets an answer to what it did not "
			   "say",
			   c->id, e);
	else if (!end->seen.branch || in_past(h, end->seen, p->sent))
		end->seen = p->sent;
	else if (!in_past(h, p->sent, end->seen))
		world_fail(w, "conv %u: end %d sees two histories", c->id, e);
}

void history_take(struct world *w, struct conv *c, int e, uint64_t off,
		  const uint8_t *buf, size_t n)
{
	uint32_t i = walk(w, c, e, where(c, e), off, buf, n, see);

	if (i)
		c->half[e].taken = i;
}

void history_end(struct world *w, struct conv *c, int e, uint64_t off)
{
	const struct history *h = &w->history;
	const struct piece *p = &h->piece[where(c, e)];
	uint32_t i;

	for (i = p->child; i; i = h->piece[i].sibling) {
		const struct piece *child = &h->piece[i];

		if (child->len || child->off != off)
			continue;
		/* Nothing to see(): ends are alike in all histories. */
		c->half[e].taken = i;
		return;
	}
	world_fail(w, "conv %u: end %d: no end at %ju", c->id, e,
		   (uintmax_t)off);
}
