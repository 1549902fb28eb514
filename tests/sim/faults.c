/* SPDX-License-Identifier: MIT */
/* faults.c - what a link and the processes at its ends do wrong */
#include "faults.h"

#include "end.h"

/* The host's end of a cut link stays away at most this long. */
#define AWAY_US  3000000u
#define STALL_US 2000000u

static struct link *any_link(struct world *w)
{
	return &w->link[prng_below(&w->rng, 2)];
}

void faults_weather(struct world *w)
{
	struct link *l = any_link(w);

	switch (prng_below(&w->rng, 4)) {
	case 0:
		l->delay_us = prng_size(&w->rng, 20000);
		l->jitter_us = prng_size(&w->rng, 2000);
		break;
	case 1:
		l->us_per_kib = prng_size(&w->rng, 60);
		break;
	default:
		l->stalled_until = w->now + prng_size(&w->rng, STALL_US);
		break;
	}
}

/* Some bytes never arrive: a tail, a middle or all of them. */
static void lose(struct world *w, struct link *l)
{
	size_t off;

	if (!l->len)
		return;
	off = prng_chance(&w->rng, 1, 4) ? 0 : prng_below(&w->rng, l->len);
	link_lose(l, off,
		  prng_chance(&w->rng, 1, 2) ? l->len
					     : 1 + prng_size(&w->rng, l->len));
}

static void replay(struct world *w, struct link *l)
{
	link_replay(l, prng_size(&w->rng, 65536));
}

/* A migration or a broken connection: who notices differs. */
static void fault_cut(struct world *w)
{
	struct link *up = &w->link[VMC_ROLE_GUEST];
	struct link *down = &w->link[VMC_ROLE_HOST];

	world_note(w, "the link is cut");
	end_detach(w, VMC_ROLE_HOST);
	w->end[VMC_ROLE_HOST].attach_at = w->now + prng_size(&w->rng, AWAY_US);
	if (prng_chance(&w->rng, 1, 2)) {
		end_detach(w, VMC_ROLE_GUEST);
		w->end[VMC_ROLE_GUEST].attach_at =
			w->now + prng_size(&w->rng, AWAY_US);
	}
	lose(w, down);
	if (prng_chance(&w->rng, 1, 2))
		lose(w, up);
	if (prng_chance(&w->rng, 1, 3))
		replay(w, up);
	if (prng_chance(&w->rng, 1, 8))
		replay(w, down);
}

/* No end is told: bytes are missing, or come twice, or are changed. */
static void fault_hole(struct world *w)
{
	world_note(w, "bytes are lost");
	lose(w, any_link(w));
}

static void fault_again(struct world *w)
{
	world_note(w, "bytes come again");
	replay(w, any_link(w));
}

static void fault_flip(struct world *w)
{
	struct link *l = any_link(w);

	if (!l->len)
		return;
	world_note(w, "a bit flips");
	link_flip(l, prng_below(&w->rng, l->len),
		  (unsigned int)prng_below(&w->rng, 8));
}

/* A broker changes its mind: a second connection without a first end. */
static void fault_attach(struct world *w)
{
	end_attach(w, (int)prng_below(&w->rng, 2));
}

static void fault_resync(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (w->end[e].attached && !w->end[e].bye)
		end_resync(w, e);
}

static void fault_restart(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	end_restart(w, e);
	lose(w, &w->link[1 - e]);
	w->end[e].attach_at = w->now + prng_size(&w->rng, AWAY_US);
}

static void fault_bye(struct world *w)
{
	end_bye(w, (int)prng_below(&w->rng, 2));
}

void faults_strike(struct world *w)
{
	static void (*const cuts[])(struct world *) = {
		fault_cut, fault_hole, fault_again, fault_attach, fault_resync,
	};
	uint64_t dice = prng_below(&w->rng, 10);

	if (w->profile.losses && dice < 2) {
		if (dice)
			fault_restart(w);
		else
			fault_bye(w);
	} else if (w->profile.corruption && dice < 5) {
		fault_flip(w);
	} else if (w->profile.cuts) {
		cuts[prng_below(&w->rng, 5)](w);
	} else {
		return;
	}
	w->faults++;
}
