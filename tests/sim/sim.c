/* SPDX-License-Identifier: MIT */
/*
 * sim.c - deterministic simulation of two session engines
 *
 *	sim --seed N [--steps M] [--trace]   one run
 *	sim --runs N [--first S]             many; prints each failing seed
 *	sim --storm N [--first S]            the same, faults are the rule
 *	sim --seeds FILE                     the seeds of a file
 *	sim --scenarios                      fairness and latency
 *	sim --self-test                      does the oracle notice mistakes?
 *
 * Exit status: 0 all passed, 1 something failed, 2 wrong usage. A failure is
 * repeated exactly by its seed and number of steps.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "offsets.h"
#include "oracle.h"
#include "scenario.h"
#include "world.h"

#define STEPS_DEFAULT 1500u
#define STEPS_STORM   400u
#define TRACE_SHORT   24u
/* A mutation must be noticed in some of that many runs. */
#define SELF_TEST_RUNS 40u

struct options {
	uint64_t seed, steps, runs, first;
	const char *seeds;
	bool trace, scenarios, self_test, one, storm, offsets;
	uint64_t stride, from, at;
	const char *kind;
	enum mutation mutate;
};

static const char *const mutation_names[MUTATE_NUM] = {
	[MUTATE_NONE] = "none",
	[MUTATE_FLIP] = "flip",
	[MUTATE_DUP] = "dup",
	[MUTATE_DROP] = "drop",
	[MUTATE_LOSE_END] = "lose-end",
	[MUTATE_LOSE_NAME] = "lose-name",
	[MUTATE_FAKE_END] = "fake-end",
	[MUTATE_DEAF] = "deaf",
	[MUTATE_LATE_TIMER] = "late-timer",
	[MUTATE_CHARGE] = "charge",
	[MUTATE_CREDIT] = "credit",
};

/* What kind of run it is follows from the seed, too. */
static void choose_profile(struct world *w)
{
	struct profile *p = &w->profile;

	p->tiny = prng_chance(&w->rng, 3, 4);
	p->convs_at_once = p->tiny ? 40 : 250;
	p->bytes_max = prng_chance(&w->rng, 1, 4) ? 1u << 20 : 1u << 15;
	p->bytes_all = 3u << 20;
	p->cuts = prng_chance(&w->rng, 2, 3);
	p->corruption = p->cuts && prng_chance(&w->rng, 1, 2);
	p->losses = p->cuts && prng_chance(&w->rng, 1, 2);
}

static void choose_storm(struct world *w)
{
	struct profile *p = &w->profile;

	p->storm = true;
	p->convs_at_once = 8;
	p->lull = 8u << prng_below(&w->rng, 6);
	p->bytes_max = prng_chance(&w->rng, 1, 4) ? 16384 : 2048;
	p->bytes_all = 1u << 17;
	p->cuts = p->corruption = true;
	p->losses = prng_chance(&w->rng, 1, 2);
	p->jumps = prng_chance(&w->rng, 1, 2);
}

static void report(const struct world *w, uint64_t seed, uint64_t steps)
{
	uint64_t from = w->n_trace > TRACE_SHORT ? w->n_trace - TRACE_SHORT : 0;

	printf("FAILED: sim %s--seed %" PRIu64 " --steps %" PRIu64 ": %s\n",
	       w->profile.storm ? "--storm " : "", seed, steps, w->failure);
	for (uint64_t i = from; i < w->n_trace && !w->verbose; i++)
		printf("    %s\n", w->trace[i % SIM_TRACE]);
	fflush(stdout);
}

/* The caller calls world_done(). */
static void run_world(struct world *w, const struct options *o, uint64_t seed)
{
	uint64_t phases;

	memset(w, 0, sizeof(*w));
	prng_seed(&w->rng, seed);
	w->verbose = o->trace;
	w->mutate = o->mutate;
	if (o->storm)
		choose_storm(w);
	else
		choose_profile(w);
	if (w->mutate)
		w->mutate_in = prng_below(&w->rng, 20);
	world_init(w);
	phases = prng_range(&w->rng, 1, 4);
	for (uint64_t i = 0; i < phases && !world_failed(w); i++) {
		world_chaos(w, o->steps / phases);
		world_calm(w);
	}
}

/* Of all runs so far, by kind. */
static uint64_t fault_sum[FAULT_NUM];
static uint64_t opened, in_order, otherwise, delivered;

static bool run_seed(const struct options *o, uint64_t seed)
{
	static struct world w;
	bool failed;

	run_world(&w, o, seed);
	failed = world_failed(&w);
	if (failed)
		report(&w, seed, o->steps);
	else if (o->one)
		printf("seed %" PRIu64 ": %.3f s, %" PRIu64 " streams (%" PRIu64
		       " ok), %" PRIu64 " bytes, %u faults\n",
		       seed, (double)w.now / 1000000, w.opened, w.ended_ok / 2,
		       w.delivered, w.faults);
	for (int i = 0; i < FAULT_NUM; i++)
		fault_sum[i] += w.fault[i];
	opened += w.opened;
	in_order += w.ended_ok;
	otherwise += w.ended_other;
	delivered += w.delivered;
	world_done(&w);
	return failed;
}

static int run_many(const struct options *o)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < o->runs; i++)
		bad += run_seed(o, o->first + i);
	printf("%" PRIu64 " runs, %" PRIu64 " failed\n", o->runs, bad);
	printf("%" PRIu64 " streams, ends: %" PRIu64 " in order, %" PRIu64
	       " with a reason, %" PRIu64 " bytes delivered\n",
	       opened, in_order, otherwise, delivered);
	faults_print(fault_sum, stdout);
	return bad != 0;
}

/* One seed a line, "SEED [STEPS]"; # starts a comment. */
static int run_file(struct options o)
{
	FILE *f = fopen(o.seeds, "re");
	uint64_t steps = o.steps, n = 0, bad = 0;
	char line[256];

	if (!f) {
		fprintf(stderr, "sim: %s: %s\n", o.seeds, strerror(errno));
		return 2;
	}
	while (fgets(line, sizeof(line), f)) {
		uint64_t seed;

		o.steps = steps;
		if (line[0] == '#' ||
		    sscanf(line, "%" SCNu64 " %" SCNu64, &seed, &o.steps) < 1)
			continue;
		n++;
		bad += run_seed(&o, seed);
	}
	fclose(f);
	printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", n, bad);
	return bad != 0;
}

static int run_offsets(const struct options *o)
{
	struct offsets what = {
		.seed = o->seed,
		.stride = o->stride,
		.kind = o->kind,
		.from = (unsigned int)o->from,
		.at = o->at,
		.trace = o->trace,
		.mutate = o->mutate,
	};
	uint64_t bad = offsets_run(&what, fault_sum, stdout);

	faults_print(fault_sum, stdout);
	return bad != 0;
}

/* ---- does the oracle notice? ------------------------------------------ */

static bool noticed(struct options o, enum mutation m)
{
	static struct world w;
	bool seen = false;

	o.mutate = m;
	o.trace = false;
	for (uint64_t i = 0; i < SELF_TEST_RUNS && !seen; i++) {
		run_world(&w, &o, o.first + i);
		seen = world_failed(&w);
		if (seen)
			printf("# %s: %s\n", mutation_names[m], w.failure);
		world_done(&w);
	}
	return seen;
}

static int self_test(const struct options *o)
{
	int bad = 0;

	printf("1..%d\n", MUTATE_NUM - 1);
	for (int m = MUTATE_NONE + 1; m < MUTATE_NUM; m++) {
		bool ok = noticed(*o, (enum mutation)m);

		printf("%s %d - the oracle notices %s\n", ok ? "ok" : "not ok",
		       m, mutation_names[m]);
		bad += !ok;
	}
	return bad != 0;
}

/* ---- options ---------------------------------------------------------- */

static int usage(void)
{
	fputs("usage: sim --seed N | --runs N [--first S] | --seeds FILE |"
	      " --scenarios | --self-test\n"
	      "           [--steps M] [--trace] [--mutate KIND]\n",
	      stderr);
	return 2;
}

static bool parse_number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return !errno && end != text && !*end;
}

static bool parse_mutation(const char *text, enum mutation *ret)
{
	for (int m = 0; m < MUTATE_NUM; m++) {
		if (strcmp(text, mutation_names[m]) != 0)
			continue;
		*ret = (enum mutation)m;
		return true;
	}
	return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option opts[] = {
		{"seed", required_argument, NULL, 's'},
		{"steps", required_argument, NULL, 'n'},
		{"runs", required_argument, NULL, 'r'},
		{"first", required_argument, NULL, 'f'},
		{"seeds", required_argument, NULL, 'l'},
		{"mutate", required_argument, NULL, 'm'},
		{"trace", no_argument, NULL, 't'},
		{"storm", no_argument, NULL, 'w'},
		{"offsets", no_argument, NULL, 'o'},
		{"stride", required_argument, NULL, 'd'},
		{"kind", required_argument, NULL, 'k'},
		{"from", required_argument, NULL, 'e'},
		{"at", required_argument, NULL, 'a'},
		{"scenarios", no_argument, NULL, 'c'},
		{"self-test", no_argument, NULL, 'x'},
		{0},
	};
	bool good = true;
	int opt;

	while (good && (opt = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		o->one |= opt == 's';
		o->trace |= opt == 't';
		o->storm |= opt == 'w';
		o->offsets |= opt == 'o';
		if (opt == 'k')
			o->kind = optarg;
		o->scenarios |= opt == 'c';
		o->self_test |= opt == 'x';
		if (opt == 'l')
			o->seeds = optarg;
		else if (opt == 's')
			good = parse_number(optarg, &o->seed);
		else if (opt == 'n')
			good = parse_number(optarg, &o->steps);
		else if (opt == 'r')
			good = parse_number(optarg, &o->runs);
		else if (opt == 'f')
			good = parse_number(optarg, &o->first);
		else if (opt == 'd')
			good = parse_number(optarg, &o->stride) && o->stride;
		else if (opt == 'e')
			good = parse_number(optarg, &o->from);
		else if (opt == 'a')
			good = parse_number(optarg, &o->at);
		else if (opt == 'm')
			good = parse_mutation(optarg, &o->mutate);
		else
			good = opt != '?';
	}
	return good && optind == argc;
}

int main(int argc, char **argv)
{
	struct options o = {.first = 1, .stride = 1};

	if (!parse(argc, argv, &o))
		return usage();
	if (!o.steps)
		o.steps = o.storm ? STEPS_STORM : STEPS_DEFAULT;
	if (o.self_test)
		return self_test(&o);
	if (o.offsets)
		return run_offsets(&o);
	if (o.scenarios)
		return scenario_all(o.first, stdout) != 0;
	if (o.seeds)
		return run_file(o);
	if (o.runs)
		return run_many(&o);
	if (o.one)
		return run_seed(&o, o.seed);
	return usage();
}
