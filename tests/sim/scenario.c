/* SPDX-License-Identifier: MIT */
/*
 * scenario.c - runs with a fixed script and a measured result
 *
 * All with the shipped limits and a link of a fixed rate, so that what is
 * measured is the scheduler alone: shares, and how much of others' data a
 * sparse stream waits for.
 */
#include "scenario.h"

#include <string.h>

#include "apps.h"
#include "end.h"
#include "oracle.h"

/* About 100 MB/s, as a guest under emulation gets it. */
#define US_PER_KIB 10u
#define ROUNDS_MAX 2000000u
#define BULK       (1ull << 40)

#define BULK_STREAMS 16u
#define MANY_STREAMS 30u
#define ALL_STREAMS  200u
#define JAIN_MIN     0.98
#define OWNER_RATIO  1.1
/* 200 windows of about 1 KiB: which of them can grow is a matter of moments. */
#define JAIN_MIN_MANY 0.9
#define PINGS         200u
#define WARM_UP_US    100000u
#define MEASURE_US    1000000u
#define PING_EVERY_US 5000u
/* A service manager that is in a hurry, and a host that is stopped for long. */
#define RESTARTS         10u
#define RESTART_EVERY_US 500000u
#define LONG_STALL_US    600000000u

static const struct budget everything = {UINT32_MAX, UINT32_MAX, UINT32_MAX,
					 UINT32_MAX};

static void begin(struct world *w, uint64_t seed, unsigned int convs)
{
	memset(w, 0, sizeof(*w));
	prng_seed(&w->rng, seed);
	w->profile.convs_at_once = convs;
	w->calm = true;
	world_init(w);
	for (int e = 0; e < 2; e++) {
		w->link[e].cap = 4u << 20;
		w->link[e].delay_us = 100;
		w->link[e].jitter_us = 0;
		w->link[e].us_per_kib = US_PER_KIB;
	}
}

/* One moment of calm; false when nothing is left to do. */
static bool one_round(struct world *w)
{
	uint64_t t = SIM_NEVER;
	bool did = false;

	for (int e = 0; e < 2; e++) {
		did |= apps_serve(w, e);
		if (end_has_work(w, e))
			did |= end_run(w, e, everything);
	}
	oracle_step(w);
	if (did || world_failed(w))
		return !world_failed(w);
	for (int e = 0; e < 2; e++) {
		uint64_t l = link_next(&w->link[e], w->now);
		uint64_t d = end_deadline(&w->end[e]);

		t = l < t ? l : t;
		t = d < t ? d : t;
	}
	if (t == SIM_NEVER)
		return false;
	w->now = t;
	return true;
}

static void run_until(struct world *w, uint64_t until)
{
	for (uint64_t i = 0; w->now < until && one_round(w); i++)
		if (i == ROUNDS_MAX)
			world_fail(w, "no end in sight");
}

static struct conv *bulk(struct world *w, int from, uint64_t owner)
{
	struct script sc = {.want = {BULK, 0}, .weight = 1, .owner = owner};
	struct conv *c = apps_open_script(w, from, &sc);

	if (!c)
		world_fail(w, "could not open a stream");
	return c;
}

/* ---- shares ----------------------------------------------------------- */

static double jain(const uint64_t *x, unsigned int n)
{
	double sum = 0, squares = 0;

	for (unsigned int i = 0; i < n; i++) {
		sum += (double)x[i];
		squares += (double)x[i] * (double)x[i];
	}
	return squares > 0 ? sum * sum / (n * squares) : 0;
}

/* Opens @n bulk streams and measures what each gets once they all run. */
static void shares(struct world *w, int from, unsigned int n,
		   uint64_t (*owner)(unsigned int), uint64_t *ret)
{
	run_until(w, w->now + 50000);
	for (unsigned int i = 0; i < n && !world_failed(w); i++)
		bulk(w, from, owner(i));
	if (world_failed(w))
		return;
	run_until(w, w->now + WARM_UP_US);
	for (unsigned int i = 0; i < n; i++)
		ret[i] = w->convs[i].half[1 - from].consumed;
	run_until(w, w->now + MEASURE_US);
	for (unsigned int i = 0; i < n; i++)
		ret[i] = w->convs[i].half[1 - from].consumed - ret[i];
}

static uint64_t own_owner(unsigned int i)
{
	return i;
}

static uint64_t one_against_all(unsigned int i)
{
	return i != 0;
}

static uint64_t sum_of(const uint64_t *x, unsigned int n)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += x[i];
	return sum;
}

static int streams_are_fair(struct world *w, int from, FILE *out)
{
	uint64_t got[BULK_STREAMS] = {0};
	double index, mbs;

	shares(w, from, BULK_STREAMS, own_owner, got);
	index = jain(got, BULK_STREAMS);
	mbs = (double)sum_of(got, BULK_STREAMS) / MEASURE_US;
	fprintf(out, "# %u streams from end %d: Jain %.4f, %.1f MB/s\n",
		BULK_STREAMS, from, index, mbs);
	return world_failed(w) || index < JAIN_MIN;
}

static int owners_are_fair(struct world *w, int from, FILE *out)
{
	uint64_t got[MANY_STREAMS + 1] = {0};
	double ratio;

	shares(w, from, MANY_STREAMS + 1, one_against_all, got);
	ratio = (double)sum_of(got + 1, MANY_STREAMS) / (double)(got[0] + 1);
	fprintf(out, "# %u streams of one owner get %.3f of another's one\n",
		MANY_STREAMS, ratio);
	return world_failed(w) || ratio > OWNER_RATIO ||
	       ratio < 1 / OWNER_RATIO;
}

static int many_streams_flow(struct world *w, int from, FILE *out)
{
	uint64_t got[ALL_STREAMS] = {0};
	unsigned int starved = 0;
	double index;

	shares(w, from, ALL_STREAMS, own_owner, got);
	for (unsigned int i = 0; i < ALL_STREAMS; i++)
		starved += !got[i];
	index = jain(got, ALL_STREAMS);
	fprintf(out, "# %u streams at once: Jain %.4f, %u starved\n",
		ALL_STREAMS, index, starved);
	return world_failed(w) || starved || index < JAIN_MIN_MANY;
}

/* ---- a sparse stream among bulk --------------------------------------- */

/* One byte more; how many of the others' bytes overtake it? */
static uint64_t ping(struct world *w, struct conv *c, int from)
{
	struct half *tx = &c->half[from], *rx = &c->half[1 - from];
	uint64_t want = rx->consumed + 1;
	uint64_t before = w->delivered;

	tx->made++;
	for (uint64_t i = 0; rx->consumed < want && one_round(w); i++)
		if (i == ROUNDS_MAX)
			world_fail(w, "a byte never arrives");
	return w->delivered - before;
}

static int sparse_is_quick(struct world *w, int from, FILE *out)
{
	uint64_t worst = 0, bound;
	struct conv *c;

	run_until(w, w->now + 50000);
	for (unsigned int i = 0; i < BULK_STREAMS - 1; i++)
		bulk(w, from, i);
	c = bulk(w, from, BULK_STREAMS);
	if (world_failed(w))
		return 1;
	c->half[from].made = 0;
	c->half[from].make_at = SIM_NEVER;
	run_until(w, w->now + WARM_UP_US);
	for (unsigned int i = 0; i < PINGS && !world_failed(w); i++) {
		uint64_t n = ping(w, c, from);

		worst = n > worst ? n : worst;
		run_until(w, w->now + PING_EVERY_US);
	}
	/* What was in the pipe, and the frame that was being built. */
	bound = w->end[from].cfg.inflight_bytes + w->end[from].cfg.max_frame;
	fprintf(out,
		"# a lone byte from end %d waits for %ju bytes, bound %ju\n",
		from, (uintmax_t)worst, (uintmax_t)bound);
	return world_failed(w) || worst > bound;
}

/* ---- a reader that sleeps --------------------------------------------- */

static int sleeper_harms_nobody(struct world *w, int from, FILE *out)
{
	uint64_t got[2], alone;
	struct conv *c;

	run_until(w, w->now + 50000);
	bulk(w, from, 0);
	run_until(w, w->now + WARM_UP_US);
	got[0] = w->delivered;
	run_until(w, w->now + MEASURE_US);
	alone = w->delivered - got[0];
	c = bulk(w, from, 1);
	if (world_failed(w))
		return 1;
	c->half[1 - from].reader = READER_NEVER;
	run_until(w, w->now + WARM_UP_US);
	got[1] = w->delivered;
	run_until(w, w->now + MEASURE_US);
	got[1] = w->delivered - got[1];
	fprintf(out, "# beside a sleeping reader: %.3f of the speed alone\n",
		(double)got[1] / (double)alone);
	return world_failed(w) || got[1] * 10 < alone * 9;
}

/* ---- a port that nobody reads ----------------------------------------- */

/* The rest of @from's link comes later than all else. */
static void stop_reading(struct world *w, int from)
{
	w->link[from].stalled_until = SIM_NEVER - 1;
}

/*
 * Full flight, then the peer stands still: a lost synchronisation, and one
 * agent after the other that knows nothing of what the last one wrote.
 */
static int restarts_never_throttle(struct world *w, int from, FILE *out)
{
	const struct link *port = &w->link[VMC_ROLE_GUEST];

	run_until(w, w->now + 50000);
	for (unsigned int i = 0; i < BULK_STREAMS; i++)
		bulk(w, from, i);
	run_until(w, w->now + WARM_UP_US);
	stop_reading(w, from);
	run_until(w, w->now + WARM_UP_US);
	end_resync(w, from);
	run_until(w, w->now + RESTART_EVERY_US);
	end_attach(w, from);
	run_until(w, w->now + RESTART_EVERY_US);
	for (unsigned int i = 0; i < RESTARTS && !world_failed(w); i++) {
		end_restart(w, from);
		end_attach(w, from);
		run_until(w, w->now + RESTART_EVERY_US);
	}
	run_until(w, w->now + LONG_STALL_US);
	fprintf(out, "# unread in the port at most: charge %zu, %zu writes\n",
		port->charge_peak, port->writes_peak);
	w->link[from].stalled_until = 0;
	run_until(w, w->now + LONG_STALL_US);
	return world_failed(w) || !w->end[0].up || !w->end[1].up;
}

/* ---- all of them ------------------------------------------------------ */

struct scenario {
	const char *name;
	int (*run)(struct world *w, int from, FILE *out);
};

int scenario_all(uint64_t seed, FILE *out)
{
	static const struct scenario all[] = {
		{"streams are fair", streams_are_fair},
		{"owners are fair", owners_are_fair},
		{"200 streams flow", many_streams_flow},
		{"a sparse stream is quick", sparse_is_quick},
		{"a sleeping reader harms nobody", sleeper_harms_nobody},
		{"restarts never throttle the port", restarts_never_throttle},
	};
	static struct world w;
	int bad = 0, n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (int from = 0; from < 2; from++) {
			int failed;

			begin(&w, seed, 2 * ALL_STREAMS);
			failed = world_failed(&w) || all[i].run(&w, from, out);
			fprintf(out, "%s %d - %s, end %d sends\n",
				failed ? "not ok" : "ok", ++n, all[i].name,
				from);
			if (world_failed(&w))
				fprintf(out, "# %s\n", w.failure);
			bad += failed;
			world_done(&w);
		}
	}
	fprintf(out, "1..%d\n", n);
	return bad;
}
