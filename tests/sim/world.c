/* SPDX-License-Identifier: MIT */
/* world.c - chaos and calm */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps.h"
#include "end.h"
#include "faults.h"
#include "move.h"
#include "oracle.h"
#include "snapshot.h"

/* Calm: everything must be over within this much virtual time, ... */
#define CALM_US 120000000u
/* ... without that many loops at one moment, ... */
#define SPIN_MAX 200000u
/* ... and without that many timers in a row that lead to nothing. */
#define IDLE_TICKS_MAX 1000u

static const struct budget everything = {UINT32_MAX, UINT32_MAX, UINT32_MAX,
					 UINT32_MAX};

const char *world_name(unsigned int name)
{
	static const char *const names[SIM_NAMES] = {
		"a",
		"b",
		"echo",
		"org.vmchannel.Power",
		"org.example.a",
		"org.example.b",
		"org.example.b.c",
		"A-b_c.0",
		"0",
		"x.y.z",
		"-",
		"0123456789.123456789.123456789.123456789.123456789.123456789.123",
	};

	return names[name % SIM_NAMES];
}

/* ---- what happened ---------------------------------------------------- */

void world_note(struct world *w, const char *fmt, ...)
{
	char *line = w->trace[w->n_trace++ % SIM_TRACE];
	int n = snprintf(line, SIM_TRACE_LINE, "%12.6f ",
			 (double)w->now / 1000000);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, SIM_TRACE_LINE - (size_t)n, fmt, ap);
	va_end(ap);
	if (w->verbose)
		puts(line);
}

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (world_failed(w))
		return;
	va_start(ap, fmt);
	vsnprintf(w->failure, sizeof(w->failure), fmt, ap);
	va_end(ap);
	world_note(w, "FAILED: %s", w->failure);
}

bool world_failed(const struct world *w)
{
	return w->failure[0];
}

bool world_mutates(struct world *w, enum mutation m)
{
	if (w->mutate != m || w->mutated)
		return false;
	if (w->mutate_in) {
		w->mutate_in--;
		return false;
	}
	w->mutated = true;
	world_note(w, "mutation");
	return true;
}

/* ---- making a world --------------------------------------------------- */

static void make_link(struct world *w, int from)
{
	/* The guest's port takes whole writes, the host's socket any part. */
	bool port = from == VMC_ROLE_GUEST;
	size_t cap = 4u << 20;

	if (w->profile.tiny || prng_chance(&w->rng, 1, 2))
		cap = prng_range(&w->rng, 1, 512 * 1024);
	link_init(&w->link[from], cap, port);
	w->link[from].delay_us = prng_size(&w->rng, 1000);
	w->link[from].jitter_us = prng_size(&w->rng, 500);
	w->link[from].us_per_kib = prng_size(&w->rng, 30);
}

void world_room(struct world *w)
{
	if (!w->convs)
		w->convs = calloc(SIM_CONVS_MAX, sizeof(*w->convs));
	if (!w->alive)
		w->alive = calloc(SIM_ALIVE_MAX, sizeof(*w->alive));
	if (!w->convs || !w->alive)
		abort();
}

void world_loses(struct world *w, enum cause cause)
{
	w->causes[cause]++;
	w->end[0].doubt[cause] = w->end[1].doubt[cause] = true;
}

void world_init(struct world *w)
{
	w->now = prng_range(&w->rng, 0, 1000000);
	world_room(w);
	history_init(&w->history);
	for (int e = 0; e < 2; e++) {
		make_link(w, e);
		end_init(w, e);
		if (!world_failed(w))
			end_attach(w, e);
	}
}

void world_done(struct world *w)
{
	for (int e = 0; e < 2; e++) {
		end_done(&w->end[e]);
		link_done(&w->link[e]);
	}
	history_done(&w->history);
	snapshots_done(w);
	move_left_done(w);
	free(w->convs);
	free(w->alive);
	w->convs = NULL;
	w->alive = NULL;
}

/* ---- chaos ------------------------------------------------------------ */

/* When anything happens by itself next. */
uint64_t world_next(const struct world *w)
{
	uint64_t t = SIM_NEVER;

	for (int e = 0; e < 2; e++) {
		uint64_t at[3] = {end_deadline(&w->end[e]), apps_next(w, e),
				  link_next(&w->link[1 - e], w->now)};

		if (w->mutate == MUTATE_LATE_TIMER)
			at[0] = SIM_NEVER;
		if (!w->end[e].attached || w->end[e].deaf)
			at[2] = SIM_NEVER;
		for (int i = 0; i < 3; i++)
			if (at[i] < t)
				t = at[i];
	}
	return t;
}

static void pass_time(struct world *w)
{
	uint64_t t;

	switch (prng_below(&w->rng, 8)) {
	case 0:
		w->now += prng_size(&w->rng, 1000000);
		break;
	case 1:
	case 2:
		w->now += prng_below(&w->rng, 200);
		break;
	default:
		t = world_next(w);
		if (t != SIM_NEVER && t > w->now)
			w->now = t;
		break;
	}
}

static void run_some(struct world *w, int e)
{
	struct budget b = {
		(uint32_t)prng_below(&w->rng, 4),
		(uint32_t)prng_below(&w->rng, 6),
		(uint32_t)prng_below(&w->rng, 4),
		(uint32_t)prng_below(&w->rng, 4),
	};

	end_run(w, e, b);
	w->end[e].wake = true; /* for the rest */
}

/* An end that is away comes back. */
static void come_back(struct world *w, int e)
{
	if (!w->end[e].attached && w->now >= w->end[e].attach_at)
		end_attach(w, e);
	else if (w->end[e].bye && prng_chance(&w->rng, 1, 8))
		end_attach(w, e);
}

/* Whoever stood still goes on. */
static void wake_up(struct world *w, int e)
{
	struct end *end = &w->end[e];

	if (!end->paused_until || w->now < end->paused_until)
		return;
	end->ahead -= end->slept;
	end->paused_until = end->slept = 0;
	end->wake = true;
}

/* The next thing that happens by itself, ends that are away included. */
static bool pass_to_next(struct world *w)
{
	uint64_t t = world_next(w);

	for (int e = 0; e < 2; e++) {
		const struct end *end = &w->end[e];

		if (!end->attached && end->attach_at > w->now &&
		    end->attach_at < t)
			t = end->attach_at;
		if (end->paused_until > w->now && end->paused_until < t)
			t = end->paused_until;
	}
	if (t == SIM_NEVER)
		return false;
	w->now = t > w->now ? t : w->now + 1;
	return true;
}

/* Between two faults: what honest brokers do, for some rounds. */
static void lull(struct world *w, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds && !world_failed(w); i++) {
		bool did = false;

		for (int e = 0; e < 2 && !world_failed(w); e++) {
			wake_up(w, e);
			if (w->now < w->end[e].paused_until)
				continue;
			come_back(w, e);
			did |= apps_serve(w, e);
			if (end_has_work(w, e))
				did |= end_run(w, e, everything);
			oracle_step(w);
		}
		if (!did && !pass_to_next(w))
			break;
	}
}

/* Applications that act, or an end that does only a part of its work. */
static void stir(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (w->now < w->end[e].paused_until)
		return;
	if (prng_chance(&w->rng, 1, 8))
		apps_names(w, e);
	else if (prng_chance(&w->rng, 1, 2))
		apps_open(w, e);
	else if (prng_chance(&w->rng, 1, 2))
		apps_poke(w, e);
	else
		run_some(w, e);
}

/* The self-test's mistakes in an engine, when one is ripe for it. */
static void plant_something(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (w->mutated || !plant_put((enum plant)(w->mutate - MUTATE_PLANT),
				     w->end[e].s, w->end[1 - e].s))
		return;
	w->mutated = true;
	w->end[e].wake = true;
	world_note(w, "mutation");
}

static void storm_step(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);

	if (prng_chance(&w->rng, 1, 2))
		lull(w, prng_size(&w->rng, w->profile.lull));
	if (w->mutate >= MUTATE_PLANT)
		plant_something(w);
	stir(w);
	move_left(w, e);
	if (w->profile.jumps && prng_chance(&w->rng, 1, 8))
		snapshot_take(w, e,
			      (unsigned int)prng_below(&w->rng, SIM_SNAPS));
	if (prng_chance(&w->rng, 1, 32))
		faults_weather(w);
	if (prng_chance(&w->rng, 3, 4))
		faults_storm(w);
}

static void chaos_step(struct world *w)
{
	int e = (int)prng_below(&w->rng, 2);
	uint64_t dice = prng_below(&w->rng, 100);

	come_back(w, e);
	if (dice < 30)
		end_run(w, e, everything);
	else if (dice < 45)
		run_some(w, e);
	else if (dice < 65)
		apps_poke(w, e);
	else if (dice < 73)
		apps_open(w, e);
	else if (dice < 76)
		apps_names(w, e);
	else if (dice < 94)
		pass_time(w);
	else if (dice < 97)
		faults_weather(w);
	else if (dice < 99)
		faults_strike(w);
	else
		end_move(w, e);
}

void world_chaos(struct world *w, uint64_t steps)
{
	w->calm = false;
	w->quit_readers = false;
	for (uint64_t i = 0; i < steps && !world_failed(w); i++) {
		if (w->profile.storm)
			storm_step(w);
		else
			chaos_step(w);
		if (!world_failed(w))
			oracle_step(w);
	}
}

/* ---- calm ------------------------------------------------------------- */

static bool run_woken(struct world *w, int e)
{
	bool by_timer = end_deadline(&w->end[e]) <= w->now;
	bool moved;

	if (!end_has_work(w, e))
		return false;
	moved = end_run(w, e, everything);
	if (moved)
		w->end[e].idle_ticks = 0;
	else if (by_timer && ++w->end[e].idle_ticks > IDLE_TICKS_MAX)
		world_fail(w, "end %d: its timer rings for nothing", e);
	return true;
}

static bool calm_round(struct world *w)
{
	bool did = false;

	for (int e = 0; e < 2; e++)
		did |= apps_serve(w, e);
	for (int e = 0; e < 2 && !world_failed(w); e++)
		did |= run_woken(w, e);
	if (!world_failed(w))
		oracle_step(w);
	return did;
}

static void until_quiet(struct world *w)
{
	uint64_t until = w->now + CALM_US;
	uint64_t t, spins = 0;

	while (!world_failed(w)) {
		if (calm_round(w)) {
			if (++spins > SPIN_MAX)
				world_fail(w, "no rest at one moment");
			continue;
		}
		t = world_next(w);
		if (t == SIM_NEVER)
			break;
		if (t > until)
			world_fail(w, "not over after %u s", CALM_US / 1000000);
		spins = t > w->now ? 0 : spins + 1;
		if (spins > SPIN_MAX)
			world_fail(w, "no rest at one moment");
		w->now = t;
	}
}

static void clear_sky(struct world *w, int e)
{
	struct link *l = &w->link[e];

	w->end[e].paused_until = w->end[e].paused_until ? 1 : 0;
	wake_up(w, e);
	l->stalled_until = 0;
	l->delay_us = prng_size(&w->rng, 1000);
	l->jitter_us = prng_size(&w->rng, 100);
	l->us_per_kib = prng_size(&w->rng, 30);
	if (!w->end[e].attached || w->end[e].bye)
		end_attach(w, e);
	/* A real broker has finished what it began. */
	w->end[e].wake = true;
}

/*
 * A machine that went to a snapshot is found out by the next byte, if it is
 * one that differs: so there is one. And whatever happened, a new stream works.
 */
static void probe(struct world *w, int e)
{
	struct script sc = {.want = {1, 1}, .weight = 1};
	uint32_t id = (uint32_t)w->n_convs;

	if (world_failed(w) || !apps_open_script(w, e, &sc))
		return;
	until_quiet(w);
	if (world_failed(w) || !w->convs[id].half[e].reason)
		return;
	/* It was the one that found out, or the table is full. */
	if (!apps_open_script(w, e, &sc))
		return;
	until_quiet(w);
	if (w->convs[id + 1].half[e].reason &&
	    w->convs[id + 1].half[e].reason != VMC_REASON_LIMIT)
		world_fail(w, "end %d: no new stream: %s", e,
			   vmc_reason_name(w->convs[id + 1].half[e].reason));
}

static void quiet(struct world *w)
{
	until_quiet(w);
	for (int e = 0; e < 2 && w->profile.storm; e++)
		probe(w, e);
	if (!world_failed(w))
		oracle_quiet(w);
}

void world_settle(struct world *w)
{
	for (int e = 0; e < 2; e++)
		clear_sky(w, e);
	quiet(w);
}

void world_calm(struct world *w)
{
	if (world_failed(w))
		return;
	world_note(w, "calm");
	w->calm = true;
	for (int e = 0; e < 2; e++)
		clear_sky(w, e);
	quiet(w);
	w->quit_readers = true;
	quiet(w);
	for (int e = 0; e < 2; e++)
		memset(w->end[e].doubt, 0, sizeof(w->end[e].doubt));
}
