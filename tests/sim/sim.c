/* SPDX-License-Identifier: MIT */
/*
 * sim.c - deterministic simulation of two session engines
 *
 *	sim [--storm] --seed N [--steps M] [--trace]   one run
 *	sim [--storm] --runs N [--first S]   many; a storm has faults at each
 *step sim --offsets [--stride N]           one fault at each byte of a script
 *	sim --offsets --seed N --kind K --from END --at BYTE [--trace]
 *	sim --seeds FILE                     all of these that are in a file
 *	sim --scenarios                      fairness and latency
 *	sim --self-test                      does the oracle notice mistakes?
 *
 * Each failure is printed as the command that repeats it exactly, and as the
 * line for tests/sim/seeds.txt, which --seeds repeats in every run of the
 *tests; with --keep FILE the line is added to that file, too. Exit status: 0
 *all passed, 1 something failed, 2 wrong usage.
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
#define SELF_TEST_RUNS 200u

struct options {
	uint64_t seed, steps, runs, first;
	const char *seeds, *keep;
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
	[MUTATE_REASON] = "reason",
	[MUTATE_UNEXPLAINED] = "unexplained",
	[MUTATE_UNFENCED] = "unfenced",
	[MUTATE_REWIND] = "rewind",
	[MUTATE_PLANT + PLANT_DROP_FRAME] = "drop-frame",
	[MUTATE_PLANT + PLANT_TAKE_TWICE] = "take-twice",
	[MUTATE_PLANT + PLANT_NO_DIGEST] = "no-digest",
	[MUTATE_PLANT + PLANT_PROMISE] = "promise",
	[MUTATE_PLANT + PLANT_LEAK] = "leak",
	[MUTATE_PLANT + PLANT_FORGET] = "forget",
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

/*
 * Half of the storms know successors. Which half takes no number from the
 * generator: so older lines of seeds.txt mean what they always meant.
 */
#define SUCCESSORS_SALT 4u

static void choose_storm(struct world *w, uint64_t seed)
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
	/* Nothing shall be an excuse for what the self-test does. */
	if (w->mutate)
		p->losses = p->jumps = false;
	if (w->mutate == MUTATE_UNEXPLAINED)
		p->losses = true;
	p->successors = w->mutate || (prng_mix(seed ^ SUCCESSORS_SALT) & 1);
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
		choose_storm(w, seed);
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

/* What failed is to be repeated from now on: a line for the list of seeds. */
static void keep(const struct options *o, const char *line)
{
	char old[256];
	FILE *f;

	printf("for tests/sim/seeds.txt: %s\n", line);
	if (!o->keep)
		return;
	f = fopen(o->keep, "a+e");
	if (!f) {
		printf("%s: %s\n", o->keep, strerror(errno));
		return;
	}
	while (fgets(old, sizeof(old), f)) {
		old[strcspn(old, "\n")] = 0;
		if (strcmp(old, line) != 0)
			continue;
		fclose(f);
		return;
	}
	fprintf(f, "%s\n", line);
	fclose(f);
	printf("noted in %s\n", o->keep);
}

static void keep_seed(const struct options *o, uint64_t seed)
{
	char line[128];

	snprintf(line, sizeof(line), "%s%" PRIu64 " %" PRIu64,
		 o->storm ? "storm " : "", seed, o->steps);
	keep(o, line);
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
	if (failed) {
		report(&w, seed, o->steps);
		keep_seed(o, seed);
	}
	if (!failed && o->one)
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

static void keep_offset(const void *data, const char *kind, unsigned int from,
			uint64_t at)
{
	const struct options *o = data;
	char line[128];

	snprintf(line, sizeof(line), "offset %" PRIu64 " %s %u %" PRIu64,
		 o->seed, kind, from, at);
	keep(o, line);
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
		.failed = keep_offset,
		.data = o,
	};
	uint64_t bad = offsets_run(&what, fault_sum, stdout);

	if (!o->kind)
		faults_print(fault_sum, stdout);
	return bad != 0;
}

/*
 * A line of the file; false: it failed. "SEED [STEPS]", "storm SEED [STEPS]"
 * or "offset SEED KIND FROM AT".
 */
static bool run_line(struct options o, const char *line)
{
	char kind[32];
	uint64_t seed;

	if (sscanf(line, "offset %" SCNu64 " %31s %" SCNu64 " %" SCNu64,
		   &o.seed, kind, &o.from, &o.at) == 4) {
		o.kind = kind;
		return run_offsets(&o) == 0;
	}
	o.storm = !strncmp(line, "storm ", 6);
	o.steps = o.storm ? STEPS_STORM : STEPS_DEFAULT;
	if (sscanf(line + (o.storm ? 6 : 0), "%" SCNu64 " %" SCNu64, &seed,
		   &o.steps) < 1) {
		printf("not understood: %s", line);
		return false;
	}
	return !run_seed(&o, seed);
}

/* # starts a comment. */
static int run_file(struct options o)
{
	FILE *f = fopen(o.seeds, "re");
	uint64_t n = 0, bad = 0;
	char line[256];

	if (!f) {
		fprintf(stderr, "sim: %s: %s\n", o.seeds, strerror(errno));
		return 2;
	}
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		n++;
		bad += !run_line(o, line);
	}
	fclose(f);
	printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", n, bad);
	return bad != 0;
}

/* ---- does the oracle notice? ------------------------------------------ */

static bool noticed(struct options o, enum mutation m)
{
	static struct world w;
	bool seen = false;

	o.mutate = m;
	o.trace = false;
	o.storm = m >= MUTATE_REASON;
	o.steps = o.storm ? STEPS_STORM : STEPS_DEFAULT;
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
	fputs("usage: sim [--storm] --seed N | [--storm] --runs N [--first S] |\n"
	      "           --offsets [--stride N | --kind K --from END --at BYTE] |\n"
	      "           --seeds FILE | --scenarios | --self-test\n"
	      "           [--steps M] [--trace] [--mutate KIND] [--keep FILE]\n",
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
		{"keep", required_argument, NULL, 'p'},
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
		else if (opt == 'p')
			o->keep = optarg;
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
