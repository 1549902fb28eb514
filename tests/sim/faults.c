/* SPDX-License-Identifier: MIT */
/* faults.c - what a link and the processes at its ends do wrong */
#include "faults.h"

#include <inttypes.h>

#include "end.h"
#include "move.h"
#include "snapshot.h"
#include "world.h"

/* The host's end of a cut link stays away at most this long. */
#define AWAY_US  3000000u
#define STALL_US 2000000u
/* A machine stands still as long; a clock jumps as far. */
#define PAUSE_US 10000000u
#define CLOCK_US 86400000000u

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
static bool lose(struct world *w, struct link *l)
{
	size_t off;

	if (!l->len)
		return false;
	off = prng_chance(&w->rng, 1, 4) ? 0 : prng_below(&w->rng, l->len);
	link_lose(l, off,
		  prng_chance(&w->rng, 1, 2) ? l->len
					     : 1 + prng_size(&w->rng, l->len));
	return true;
}

static bool replay(struct world *w, struct link *l)
{
	if (!l->history_len)
		return false;
	link_replay(l, prng_size(&w->rng, 65536));
	return true;
}

/* A migration or a broken connection: who notices differs. */
static bool fault_cut(struct world *w)
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
	return true;
}

/* No end is told: bytes are missing, or come twice, or are changed. */
static bool fault_hole(struct world *w)
{
	world_note(w, "bytes are lost");
	return lose(w, any_link(w));
}

static bool fault_suffix(struct world *w)
{
	struct link *l = any_link(w);
	size_t n = 1 + prng_below(&w->rng, l->len);

	if (!l->len)
		return false;
	world_note(w, "the last %zu bytes are lost", n);
	link_lose(l, l->len - n, n);
	return true;
}

static bool fault_middle(struct world *w)
{
	struct link *l = any_link(w);
	size_t off = prng_below(&w->rng, l->len);
	size_t n = 1 + prng_size(&w->rng, l->len);

	if (!l->len)
		return false;
	world_note(w, "%zu bytes at %zu are lost", n, off);
	link_lose(l, off, n);
	return true;
}

static bool fault_again(struct world *w)
{
	world_note(w, "bytes come again");
	return replay(w, any_link(w));
}

static bool fault_flip(struct world *w)
{
	struct link *l = any_link(w);

	if (!l->len)
		return false;
	world_note(w, "a bit flips");
	link_flip(l, prng_below(&w->rng, l->len),
		  (unsigned int)prng_below(&w->rng, 8));
	return true;
}

static bool fault_stall(struct world *w)
{
	any_link(w)->stalled_until = w->now + prng_size(&w->rng, STALL_US);
	return true;
}

static bool fault_pause(struct world *w)
{
	struct end *end = &w->end[prng_below(&w->rng, 2)];
	uint64_t us = prng_size(&w->rng, PAUSE_US);

	if (end->paused_until > w->now)
		return false;
	world_note(w, "an end stands still for %ju us", (uintmax_t)us);
	end->paused_until = w->now + us;
	/* Its clock may stand still, too. */
	if (prng_chance(&w->rng, 1, 2))
		end->slept = us;
	return true;
}

static bool fault_clock(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);
	uint64_t us = prng_size(&w->rng, CLOCK_US);

	world_note(w, "end %d: clock jumps by %ju us", e, (uintmax_t)us);
	w->end[e].ahead += us;
	w->end[e].wake = true;
	return true;
}

/* A broker changes its mind: a second connection without a first end. */
static bool fault_attach(struct world *w)
{
	end_attach(w, (int)prng_below(&w->rng, 2));
	return true;
}

static bool fault_resync(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (!w->end[e].attached || w->end[e].bye)
		return false;
	end_resync(w, e);
	return true;
}

static bool fault_remap(struct world *w)
{
	end_move(w, (int)prng_below(&w->rng, 2));
	return true;
}

static bool fault_hold(struct world *w)
{
	return move_hold(w, (int)prng_below(&w->rng, 2));
}

static bool fault_fence(struct world *w)
{
	return move_fence(w, (int)prng_below(&w->rng, 2));
}

/* What QEMU does: the way to the guest is lost, that from it comes again. */
static bool fault_move(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (!move_away(w, e))
		return false;
	if (prng_chance(&w->rng, 1, 2))
		lose(w, &w->link[e]);
	if (prng_chance(&w->rng, 1, 2))
		replay(w, &w->link[1 - e]);
	return true;
}

static bool fault_adopt(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (!move_adopt(w, e))
		return false;
	if (prng_chance(&w->rng, 1, 2))
		lose(w, &w->link[e]);
	return true;
}

/* A virtual machine came, but what was saved of it did not, or was refused. */
static bool come_without(struct world *w, unsigned int reason)
{
	struct end *host = &w->end[VMC_ROLE_HOST];

	if (!w->profile.losses)
		return false;
	end_replace(w, VMC_ROLE_HOST, reason);
	lose(w, &w->link[VMC_ROLE_GUEST]);
	host->attach_at = w->now + prng_size(&w->rng, AWAY_US);
	return true;
}

static bool fault_stateless(struct world *w)
{
	return come_without(w, VMC_REASON_MIGRATED);
}

static bool fault_refused(struct world *w)
{
	return come_without(w, VMC_REASON_CLONED);
}

static bool fault_restart(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (!w->profile.losses)
		return false;
	end_restart(w, e);
	lose(w, &w->link[1 - e]);
	w->end[e].attach_at = w->now + prng_size(&w->rng, AWAY_US);
	return true;
}

static bool fault_bye(struct world *w)
{
	if (!w->profile.losses)
		return false;
	end_bye(w, (int)prng_below(&w->rng, 2));
	return true;
}

/* An end goes to a snapshot, of its past or of another present. */
static bool jump(struct world *w, int e, unsigned int place)
{
	if (!w->profile.jumps || !snapshot_has(w, e, place))
		return false;
	snapshot_go(w, e, place);
	if (prng_chance(&w->rng, 1, 2))
		lose(w, any_link(w));
	return true;
}

static bool fault_rollback(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);
	unsigned int place = (unsigned int)prng_below(&w->rng, SIM_SNAPS);

	if (!jump(w, e, place))
		return false;
	world_note(w, "end %d goes back to snapshot %u", e, place);
	return true;
}

static bool fault_clone(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);
	unsigned int place = (unsigned int)prng_below(&w->rng, SIM_SNAPS);

	if (!w->profile.jumps || !snapshot_has(w, e, place))
		return false;
	world_note(w, "end %d is put aside for %u", e, place);
	snapshot_swap(w, e, place);
	return true;
}

void faults_strike(struct world *w)
{
	static const struct {
		enum fault kind;
		bool (*strike)(struct world *);
	} cuts[] = {
		{FAULT_CUT, fault_cut},       {FAULT_MIDDLE, fault_hole},
		{FAULT_REPLAY, fault_again},  {FAULT_ATTACH, fault_attach},
		{FAULT_RESYNC, fault_resync},
	};
	uint64_t dice = prng_below(&w->rng, 10);

	if (w->profile.losses && dice < 2) {
		if (dice)
			w->fault[FAULT_RESTART] += fault_restart(w);
		else
			w->fault[FAULT_BYE] += fault_bye(w);
	} else if (w->profile.corruption && dice < 5) {
		w->fault[FAULT_FLIP] += fault_flip(w);
	} else if (w->profile.cuts) {
		dice = prng_below(&w->rng, 5);
		w->fault[cuts[dice].kind] += cuts[dice].strike(w);
	} else {
		return;
	}
	w->faults++;
}

struct storm_fault {
	enum fault kind;
	unsigned int weight;
	bool (*strike)(struct world *);
};

/* @all: weights sum up to @sum */
static void strike_one(struct world *w, const struct storm_fault *all,
		       unsigned int sum)
{
	uint64_t dice = prng_below(&w->rng, sum);
	size_t i = 0;

	while (dice >= all[i].weight)
		dice -= all[i++].weight;
	if (!all[i].strike(w))
		return;
	w->fault[all[i].kind]++;
	w->faults++;
}

void faults_storm(struct world *w)
{
	static const struct storm_fault successors[] = {
		{FAULT_MOVE, 6, fault_move},
		{FAULT_ADOPT, 6, fault_adopt},
		{FAULT_STATELESS, 2, fault_stateless},
		{FAULT_REFUSED, 2, fault_refused},
	};
	static const struct storm_fault all[] = {
		{FAULT_CUT, 8, fault_cut},
		{FAULT_SUFFIX, 10, fault_suffix},
		{FAULT_MIDDLE, 10, fault_middle},
		{FAULT_REPLAY, 10, fault_again},
		{FAULT_FLIP, 10, fault_flip},
		{FAULT_STALL, 8, fault_stall},
		{FAULT_PAUSE, 8, fault_pause},
		{FAULT_CLOCK, 4, fault_clock},
		{FAULT_ATTACH, 4, fault_attach},
		{FAULT_RESYNC, 4, fault_resync},
		{FAULT_REMAP, 1, fault_remap},
		{FAULT_HOLD, 2, fault_hold},
		{FAULT_FENCE, 3, fault_fence},
		{FAULT_MOVE, 4, fault_move},
		{FAULT_RESTART, 2, fault_restart},
		{FAULT_BYE, 2, fault_bye},
		{FAULT_ROLLBACK, 6, fault_rollback},
		{FAULT_CLONE, 4, fault_clone},
	};

	if (w->profile.successors && prng_chance(&w->rng, 1, 8))
		strike_one(w, successors, 16);
	else
		strike_one(w, all, 100);
}

void faults_print(const uint64_t count[FAULT_NUM], FILE *out)
{
	static const char *const words[FAULT_NUM] = {
#define X(name, word, text) [FAULT_##name] = (word),
		SIM_FAULTS(X)
#undef X
	};
	uint64_t sum = 0;
	const char *sep = ": ";

	for (int i = 0; i < FAULT_NUM; i++)
		sum += count[i];
	fprintf(out, "%" PRIu64 " faults", sum);
	for (int i = 0; i < FAULT_NUM; i++) {
		if (!count[i])
			continue;
		fprintf(out, "%s%" PRIu64 " %s", sep, count[i], words[i]);
		sep = ", ";
	}
	fputs("\n", out);
}
