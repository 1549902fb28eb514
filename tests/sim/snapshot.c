/* SPDX-License-Identifier: MIT */
/* snapshot.c - an end, or the whole world, as it was */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "apps.h"
#include "end.h"

static void *xrealloc(void *p, size_t n)
{
	p = realloc(p, n);
	if (!p)
		abort();
	return p;
}

void snapshot_of(struct world *w, const struct world *then, int e,
		 unsigned int place)
{
	struct snap *s = &w->snap[e][place];
	const struct end *end = &then->end[e];

	if (s->mem_room < end->size) {
		s->mem = xrealloc(s->mem, end->size);
		s->mem_room = end->size;
	}
	memcpy(s->mem, end->mem, end->size);
	s->end = *end;
	/* The clock as the end sees it. */
	s->end.ahead = end_now(then, e);
	if (s->room < then->n_convs) {
		s->room = 2 * then->n_convs;
		s->half = xrealloc(s->half, s->room * sizeof(*s->half));
	}
	for (size_t i = 0; i < then->n_convs; i++)
		s->half[i] = then->convs[i].half[e];
	s->n = then->n_convs;
	s->used = true;
}

void snapshot_take(struct world *w, int e, unsigned int place)
{
	snapshot_of(w, w, e, place);
}

bool snapshot_has(const struct world *w, int e, unsigned int place)
{
	return w->snap[e][place].used;
}

/* The machine's clock goes on from where it was, or has gone on meanwhile. */
static void set_clock(struct world *w, int e, uint64_t then)
{
	struct end *end = &w->end[e];

	if (end_now(w, e) < then || prng_chance(&w->rng, 1, 2))
		end->ahead = then - w->now;
}

void snapshot_go(struct world *w, int e, unsigned int place)
{
	const struct snap *s = &w->snap[e][place];
	struct end *end = &w->end[e];
	bool attached = end->attached;
	uint64_t ahead = end->ahead, attach_at = end->attach_at;
	uint64_t paused_until = end->paused_until;
	bool doubt[CAUSE_NUM];
	struct moment at;
	void *mem = end->mem;

	if (end->size != s->end.size) {
		free(mem);
		mem = end_alloc(w, s->end.size);
	}
	memcpy(mem, s->mem, s->end.size);
	history_branch(w, e, s->end.at);
	at = end->at;
	memcpy(doubt, end->doubt, sizeof(doubt));
	*end = s->end;
	end->at = at;
	memcpy(end->doubt, doubt, sizeof(doubt));
	end->mem = mem;
	end->s = mem;
	end->ahead = ahead;
	end->attach_at = attach_at;
	end->paused_until = paused_until;
	end->wake = true;
	set_clock(w, e, s->end.ahead);
	apps_restore(w, e, s->half, s->n);
	link_forgive(&w->link[e]);
	world_loses(w, CAUSE_JUMP);
	if (end->attached == attached)
		return;
	if (attached) {
		/* The broker finds a link that its engine does not know. */
		end->attach_at = w->now;
	} else {
		end_detach(w, e);
	}
}

void snapshot_swap(struct world *w, int e, unsigned int place)
{
	/* The spare place holds what goes, until it is where it belongs. */
	struct snap *spare = &w->snap[e][SIM_SNAPS], *s = &w->snap[e][place];
	struct snap old;

	snapshot_take(w, e, SIM_SNAPS);
	snapshot_go(w, e, place);
	old = *s;
	*s = *spare;
	*spare = old;
}

void snapshots_done(struct world *w)
{
	for (int e = 0; e < 2; e++) {
		for (unsigned int i = 0; i <= SIM_SNAPS; i++) {
			free(w->snap[e][i].mem);
			free(w->snap[e][i].half);
		}
	}
	memset(w->snap, 0, sizeof(w->snap));
}

/* ---- the whole world -------------------------------------------------- */

static void copy_end(struct end *to, const struct end *from)
{
	void *mem = to->mem;

	if (!mem || to->size != from->size) {
		free(mem);
		if (posix_memalign(&mem, SIM_MEM_ALIGN, from->size))
			abort();
	}
	*to = *from;
	to->mem = mem;
	to->s = mem;
	memcpy(mem, from->mem, from->size);
}

void checkpoint_copy(struct world *to, const struct world *from)
{
	struct world keep = *to;

	*to = *from;
	memcpy(to->snap, keep.snap, sizeof(to->snap));
	memcpy(to->left, keep.left, sizeof(to->left));
	for (int e = 0; e < 2; e++) {
		to->end[e] = keep.end[e];
		copy_end(&to->end[e], &from->end[e]);
		to->link[e] = keep.link[e];
		link_copy(&to->link[e], &from->link[e]);
	}
	to->history = keep.history;
	history_copy(&to->history, &from->history);
	to->convs = keep.convs;
	to->alive = keep.alive;
	world_room(to);
	memcpy(to->convs, from->convs, from->n_convs * sizeof(*to->convs));
	memcpy(to->alive, from->alive, from->n_alive * sizeof(*to->alive));
}
