/* SPDX-License-Identifier: MIT */
/*
 * offsets.c - one fault at every byte offset of a script
 *
 * The script uses every frame type in both directions. It is played once, and
 * before each step the whole world is kept. For an offset of a direction the
 * world before the step that wrote that byte is taken out again, the step is
 * made, the fault is put exactly there; then everything must come to a good
 * end, new streams included.
 */
#include "offsets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "apps.h"
#include "end.h"
#include "move.h"
#include "oracle.h"
#include "session/wire.h"
#include "snapshot.h"

#define STEPS_MAX  4000u
#define FAILED_MAX 10u
#define DELAY_US   20u
#define STALL_US   500000u
#define PAUSED_US  600000000u
#define DAY_US     86400000000u
/* The longest replay, and the longest hole. */
#define SOME_BYTES 97u

static const struct budget everything = {UINT32_MAX, UINT32_MAX, UINT32_MAX,
					 UINT32_MAX};

/* ---- the script ------------------------------------------------------- */

enum action {
	ACT_OPEN, /* and both sides send, and end */
	ACT_REJECT,
	ACT_RESET,
	ACT_STOP,
	ACT_NAMES,
	ACT_UNNAME,
	ACT_STALL, /* the other side's bytes stay away: PING */
	ACT_RESYNC,
	ACT_ATTACH,
	ACT_BYE,
};

static const struct {
	enum action action;
	int end;
	bool quiet; /* waits until nothing moves */
} script[] = {
	{ACT_NAMES, 0, false},  {ACT_NAMES, 1, true},   {ACT_OPEN, 0, false},
	{ACT_REJECT, 1, false}, {ACT_OPEN, 1, false},   {ACT_REJECT, 0, false},
	{ACT_STOP, 0, true},    {ACT_RESET, 1, false},  {ACT_STOP, 1, false},
	{ACT_RESET, 0, false},  {ACT_STALL, 0, true},   {ACT_OPEN, 1, true},
	{ACT_UNNAME, 1, false}, {ACT_RESYNC, 0, false}, {ACT_STALL, 1, true},
	{ACT_OPEN, 0, true},    {ACT_UNNAME, 0, false}, {ACT_ATTACH, 1, false},
	{ACT_OPEN, 1, true},    {ACT_BYE, 0, false},    {ACT_ATTACH, 0, true},
	{ACT_OPEN, 0, true},    {ACT_BYE, 1, false},    {ACT_ATTACH, 1, true},
};

#define SCRIPT_LEN (sizeof(script) / sizeof(script[0]))

static void open_one(struct world *w, int e, enum action action)
{
	struct script sc = {.want = {300, 400}, .weight = 1};
	struct conv *c;

	/* A conversation with an even number is not rejected but reset. */
	if (action == ACT_REJECT && w->n_convs % 2 == 0)
		open_one(w, e, ACT_OPEN);
	c = apps_open_script(w, e, &sc);
	if (!c)
		return;
	if (action == ACT_REJECT)
		c->half[1 - e].plan = PLAN_RESET;
	if (action == ACT_RESET)
		c->half[e].plan = PLAN_RESET;
	if (action == ACT_STOP)
		c->half[e].plan = PLAN_STOP;
	c->half[e].plan_at = c->half[1 - e].plan_at = 100;
}

static void name_some(struct world *w, int e, bool want)
{
	struct names *names = &w->end[e].names;

	for (unsigned int i = 0; i < 2; i++) {
		unsigned int n = 2 * i + (unsigned int)e;

		if (want)
			vmc_name_advertise(w->end[e].s, world_name(n), 0);
		else
			vmc_name_withdraw(w->end[e].s, world_name(n));
		names->mine[n] = want;
		names->my_flags[n] = 0;
	}
	w->end[e].wake = true;
}

static void act(struct world *w, enum action action, int e)
{
	switch (action) {
	case ACT_NAMES:
	case ACT_UNNAME:
		name_some(w, e, action == ACT_NAMES);
		break;
	case ACT_STALL:
		w->link[1 - e].stalled_until = w->now + STALL_US;
		open_one(w, e, ACT_OPEN);
		break;
	case ACT_RESYNC:
		end_resync(w, e);
		break;
	case ACT_ATTACH:
		end_attach(w, e);
		break;
	case ACT_BYE:
		end_bye(w, e);
		break;
	case ACT_OPEN:
	case ACT_REJECT:
	case ACT_RESET:
	case ACT_STOP:
	default:
		open_one(w, e, action);
		break;
	}
}

/* ---- playing it ------------------------------------------------------- */

struct play {
	struct world w;
	unsigned int turn; /* whose step it is */
	unsigned int idle; /* steps in which nothing was done */
	size_t next;       /* of the script */
	bool over;
};

/* The end's turn; false if it had nothing to do. */
static bool serve(struct world *w, int e)
{
	bool did = apps_serve(w, e);

	if (!world_failed(w) && end_has_work(w, e))
		did |= end_run(w, e, everything);
	if (!world_failed(w))
		oracle_step(w);
	return did;
}

static void play_step(struct play *p)
{
	struct world *w = &p->w;
	uint64_t t;

	p->turn ^= 1;
	if (serve(w, (int)p->turn)) {
		p->idle = 0;
		return;
	}
	if (++p->idle < 2)
		return;
	p->idle = 0;
	t = world_next(w);
	if (p->next < SCRIPT_LEN &&
	    (!script[p->next].quiet || t == SIM_NEVER)) {
		act(w, script[p->next].action, script[p->next].end);
		p->next++;
	} else if (t == SIM_NEVER) {
		p->over = true;
	} else {
		w->now = t > w->now ? t : w->now + 1;
	}
}

static void small_limits(struct vmc_session_config *cfg)
{
	cfg->max_streams = 4;
	cfg->max_names = 4;
	cfg->max_frame = VMC_MIN_FRAME;
	cfg->initial_window = 128;
	cfg->max_window = 256;
	cfg->rx_pool = 2048;
	cfg->inflight_bytes = 512;
	cfg->inflight_writes = 64;
	cfg->stall_us = 100000;
	cfg->grace_us = UINT64_MAX;
	cfg->grease = 1;
}

static void begin(struct world *w, const struct offsets *o)
{
	memset(w, 0, sizeof(*w));
	prng_seed(&w->rng, o->seed);
	w->profile.storm = w->profile.successors = true;
	w->profile.limits = small_limits;
	w->profile.convs_at_once = 8;
	w->calm = true;
	world_init(w);
	for (int e = 0; e < 2; e++) {
		w->link[e].cap = 1u << 20;
		w->link[e].delay_us = DELAY_US;
		w->link[e].jitter_us = 0;
		w->link[e].us_per_kib = 0;
	}
}

/* ---- what was written ------------------------------------------------- */

struct record {
	const struct offsets *o;
	FILE *out;
	uint64_t *fault;
	struct play *at[STEPS_MAX]; /* before each step */
	unsigned int n;
	uint8_t *bytes[2];
	size_t len[2];
	uint64_t failed;
	struct play play; /* the one that is broken */
};

static void note_bytes(struct record *r, const struct world *w)
{
	for (int e = 0; e < 2; e++) {
		const struct link *l = &w->link[e];
		size_t n = (size_t)l->bytes_total - r->len[e];

		if (!n)
			continue;
		r->bytes[e] = realloc(r->bytes[e], r->len[e] + n);
		if (!r->bytes[e])
			abort();
		memcpy(r->bytes[e] + r->len[e], l->buf + l->head + l->len - n,
		       n);
		r->len[e] += n;
	}
}

static void copy_play(struct play *to, const struct play *from)
{
	checkpoint_copy(&to->w, &from->w);
	to->turn = from->turn;
	to->idle = from->idle;
	to->next = from->next;
	to->over = from->over;
}

static void record(struct record *r, struct play *p)
{
	begin(&p->w, r->o);
	while (!p->over && !world_failed(&p->w)) {
		p->w.verbose = r->o->trace;
		if (r->n == STEPS_MAX) {
			world_fail(&p->w, "the script does not end");
			break;
		}
		r->at[r->n] = calloc(1, sizeof(*r->at[0]));
		if (!r->at[r->n])
			abort();
		copy_play(r->at[r->n++], p);
		play_step(p);
		note_bytes(r, &p->w);
	}
	if (!world_failed(&p->w))
		oracle_quiet(&p->w);
}

/* Every frame type must have been there. */
static bool is_complete(struct record *r, int e)
{
	static const uint8_t types[] = {
#define FRAME(name, type, flags, stream, min, max, handler) (type),
#include "session/frames.def"
#undef FRAME
	};
	bool seen[256] = {false}, hello[3] = {false}, ok = true;
	const uint8_t *p = r->bytes[e];

	for (size_t i = 0; i + WIRE_HEADER <= r->len[e];) {
		if (p[i] == 0 && !memcmp(p + i, hello_magic, HELLO_MAGIC_LEN)) {
			hello[p[i + 26] % 3] = true;
			i += p[i + 24] | (size_t)p[i + 25] << 8;
		} else if (p[i] == 0) {
			i++;
		} else {
			seen[p[i]] = true;
			i += WIRE_HEADER + (p[i + 2] | (size_t)p[i + 3] << 8);
		}
	}
	for (size_t i = 0; i < sizeof(types); i++) {
		if (seen[types[i]])
			continue;
		fprintf(r->out, "# end %d never sends type 0x%02x\n", e,
			types[i]);
		ok = false;
	}
	if (!hello[HELLO_KIND_HELLO] || !hello[HELLO_KIND_ACK]) {
		fprintf(r->out, "# end %d says no HELLO\n", e);
		ok = false;
	}
	return ok;
}

/* ---- faults at an offset ---------------------------------------------- */

/* What lies in the link and is not read yet begins at this offset. */
static size_t unread_from(const struct link *l, uint64_t at)
{
	return (size_t)(at - (l->bytes_total - l->len));
}

/* The reader gets all before @at; what follows comes later, if at all. */
static void read_up_to(struct world *w, int from, uint64_t at)
{
	link_split(&w->link[from], unread_from(&w->link[from], at),
		   w->now + PAUSED_US);
	w->now += DELAY_US;
	serve(w, 1 - from);
	link_split(&w->link[from], 0, w->now);
}

static void lose_from(struct world *w, int from, uint64_t at)
{
	struct link *l = &w->link[from];

	link_lose(l, unread_from(l, at), l->len);
}

static void cut_both(struct record *r, struct world *w, int from, uint64_t at)
{
	lose_from(w, from, at);
	link_lose(&w->link[1 - from], 0, w->link[1 - from].len);
	end_detach(w, 0);
	end_detach(w, 1);
}

static void cut_host(struct record *r, struct world *w, int from, uint64_t at)
{
	lose_from(w, from, at);
	end_detach(w, VMC_ROLE_HOST);
}

static void cut_guest(struct record *r, struct world *w, int from, uint64_t at)
{
	lose_from(w, from, at);
	end_detach(w, VMC_ROLE_GUEST);
}

/* As a migration: host to guest is lost, guest to host comes again. */
static void cut_replay(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	lose_from(w, VMC_ROLE_HOST,
		  w->link[VMC_ROLE_HOST].bytes_total -
			  w->link[VMC_ROLE_HOST].len);
	link_replay(&w->link[VMC_ROLE_GUEST], SOME_BYTES);
	end_detach(w, VMC_ROLE_HOST);
}

static void lose_suffix(struct record *r, struct world *w, int from,
			uint64_t at)
{
	lose_from(w, from, at);
}

static void lose_middle(struct record *r, struct world *w, int from,
			uint64_t at)
{
	link_lose(&w->link[from], unread_from(&w->link[from], at),
		  (size_t)(1 + at % SOME_BYTES));
}

static void replay_part(struct record *r, struct world *w, int from,
			uint64_t at)
{
	read_up_to(w, from, at);
	link_replay(&w->link[from], (size_t)(1 + at % SOME_BYTES));
}

static void flip_bit(struct record *r, struct world *w, int from, uint64_t at)
{
	link_flip(&w->link[from], unread_from(&w->link[from], at),
		  (unsigned int)at);
}

static void pause_long(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	w->now += PAUSED_US;
}

static void jump_clock(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	w->end[at % 2].ahead += DAY_US;
	w->end[at % 2].wake = true;
}

static void resync(struct record *r, struct world *w, int from, uint64_t at)
{
	int e = (int)(at % 2);

	read_up_to(w, from, at);
	if (w->end[e].attached && !w->end[e].bye)
		end_resync(w, e);
}

static void stateless(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	end_replace(w, VMC_ROLE_HOST,
		    at & 1 ? VMC_REASON_MIGRATED : VMC_REASON_CLONED);
}

static void adopt(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	move_adopt(w, (int)(at % 2));
}

static void restart(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	end_restart(w, (int)(at % 2));
}

static void hold(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	move_hold(w, (int)(at % 2));
}

static void fence(struct record *r, struct world *w, int from, uint64_t at)
{
	read_up_to(w, from, at);
	move_fence(w, (int)(at % 2));
}

/* A migration: the way to the guest is lost, that from it comes again. */
static void move(struct record *r, struct world *w, int from, uint64_t at)
{
	struct link *down = &w->link[VMC_ROLE_HOST];

	read_up_to(w, from, at);
	if (!move_away(w, VMC_ROLE_HOST))
		return;
	link_lose(down, 0, down->len);
	link_replay(&w->link[VMC_ROLE_GUEST], (size_t)(1 + at % SOME_BYTES));
}

/* To any step before this one. */
static void go_back(struct record *r, struct world *w, int e)
{
	unsigned int now = 0;
	uint64_t then;

	while (now + 1 < r->n && r->at[now + 1]->w.steps <= w->steps)
		now++;
	then = prng_below(&w->rng, now + 1);
	world_note(w, "end %d goes back from step %u to %ju", e, now,
		   (uintmax_t)then);
	snapshot_of(w, &r->at[then]->w, e, 0);
	snapshot_go(w, e, 0);
}

static void roll_back_writer(struct record *r, struct world *w, int from,
			     uint64_t at)
{
	read_up_to(w, from, at);
	go_back(r, w, from);
}

static void roll_back_reader(struct record *r, struct world *w, int from,
			     uint64_t at)
{
	read_up_to(w, from, at);
	go_back(r, w, 1 - from);
}

/* A copy runs for a while, then the first one comes back. */
static void clone_end(struct record *r, struct world *w, int from, uint64_t at)
{
	int e = (int)(at % 2);

	read_up_to(w, from, at);
	snapshot_take(w, e, 1);
	go_back(r, w, e);
	world_settle(w);
	if (!world_failed(w))
		snapshot_go(w, e, 1);
}

struct kind {
	const char *name;
	enum fault fault;
	void (*strike)(struct record *r, struct world *w, int from,
		       uint64_t at);
	uint64_t every; /* so many bytes, each of them with another kind */
};

/* What happens to an end and not to the bytes: where in a frame, matters less.
 */
#define SOMETIMES 3u

static const struct kind kinds[] = {
	{"cut-both", FAULT_CUT, cut_both, 1},
	{"cut-host", FAULT_CUT, cut_host, 1},
	{"cut-guest", FAULT_CUT, cut_guest, 1},
	{"cut-replay", FAULT_CUT, cut_replay, 1},
	{"suffix", FAULT_SUFFIX, lose_suffix, 1},
	{"middle", FAULT_MIDDLE, lose_middle, 1},
	{"replay", FAULT_REPLAY, replay_part, 1},
	{"flip", FAULT_FLIP, flip_bit, 1},
	{"pause", FAULT_PAUSE, pause_long, 1},
	{"clock", FAULT_CLOCK, jump_clock, SOMETIMES},
	{"resync", FAULT_RESYNC, resync, SOMETIMES},
	{"restart", FAULT_RESTART, restart, SOMETIMES},
	{"hold", FAULT_HOLD, hold, SOMETIMES},
	{"fence", FAULT_FENCE, fence, SOMETIMES},
	{"adopt", FAULT_ADOPT, adopt, SOMETIMES},
	{"stateless", FAULT_STATELESS, stateless, SOMETIMES},
	{"move", FAULT_MOVE, move, 1},
	{"rollback-writer", FAULT_ROLLBACK, roll_back_writer, 1},
	{"rollback-reader", FAULT_ROLLBACK, roll_back_reader, 1},
	{"clone", FAULT_CLONE, clone_end, 1},
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void report(struct record *r, const struct kind *k, int from,
		   uint64_t at)
{
	const struct world *w = &r->play.w;
	uint64_t i = w->n_trace > 16 ? w->n_trace - 16 : 0;

	fprintf(r->out,
		"FAILED: sim --offsets --seed %" PRIu64
		" --kind %s --from %d --at %" PRIu64 ": %s\n",
		r->o->seed, k->name, from, at, w->failure);
	for (; i < w->n_trace; i++)
		fprintf(r->out, "    %s\n", w->trace[i % SIM_TRACE]);
	fflush(r->out);
	r->o->failed(r->o->data, k->name, (unsigned int)from, at);
	r->failed++;
}

/* @step wrote the byte at @at. */
static void strike(struct record *r, unsigned int step, const struct kind *k,
		   int from, uint64_t at)
{
	struct world *w = &r->play.w;

	copy_play(&r->play, r->at[step]);
	w->verbose = r->o->trace;
	play_step(&r->play);
	prng_seed(&w->rng, r->o->seed ^ prng_mix(at * 2 + (uint64_t)from));
	world_note(w, "%s at byte %ju from end %d", k->name, (uintmax_t)at,
		   from);
	if (!world_failed(w))
		k->strike(r, w, from, at);
	if (!world_failed(w))
		world_settle(w);
	r->fault[k->fault]++;
	if (world_failed(w))
		report(r, k, from, at);
}

static bool is_wanted(const struct record *r, const struct kind *k, int from,
		      uint64_t at)
{
	const struct offsets *o = r->o;
	const uint8_t *p = r->bytes[from];

	if (o->kind)
		return !strcmp(o->kind, k->name) && o->at == at &&
		       o->from == (unsigned int)from;
	if ((at + o->seed) % o->stride)
		return false;
	if ((at / o->stride + (uint64_t)(k - kinds)) % k->every)
		return false;
	/* Zeros of a preamble are alike: one kind of fault for each. */
	if (at && !p[at] && !p[at - 1] && at + 1 < r->len[from] && !p[at + 1] &&
	    at + 40 < r->len[from] && !p[at + 40])
		return k == &kinds[at / o->stride % N_KINDS];
	return true;
}

static void break_step(struct record *r, unsigned int step, int from)
{
	uint64_t at = r->at[step]->w.link[from].bytes_total;
	uint64_t end = step + 1 < r->n
			       ? r->at[step + 1]->w.link[from].bytes_total
			       : r->len[from];

	for (; at < end; at++)
		for (size_t k = 0; k < N_KINDS; k++)
			if (r->failed < FAILED_MAX &&
			    is_wanted(r, &kinds[k], from, at))
				strike(r, step, &kinds[k], from, at);
}

static void free_all(struct record *r)
{
	for (unsigned int i = 0; i < r->n; i++) {
		world_done(&r->at[i]->w);
		free(r->at[i]);
	}
	free(r->bytes[0]);
	free(r->bytes[1]);
	world_done(&r->play.w);
}

uint64_t offsets_run(const struct offsets *o, uint64_t fault[FAULT_NUM],
		     FILE *out)
{
	struct record *r = calloc(1, sizeof(*r));
	uint64_t failed;

	if (!r)
		abort();
	r->o = o;
	r->out = out;
	r->fault = fault;
	record(r, &r->play);
	if (world_failed(&r->play.w)) {
		fprintf(out, "FAILED: the script itself: %s\n",
			r->play.w.failure);
		r->failed++;
	} else {
		fprintf(out, "# script: %u steps, %zu and %zu bytes\n", r->n,
			r->len[0], r->len[1]);
		r->failed += !is_complete(r, 0);
		r->failed += !is_complete(r, 1);
		for (unsigned int i = 0; i < r->n; i++)
			for (int e = 0; e < 2; e++)
				break_step(r, i, e);
	}
	failed = r->failed;
	free_all(r);
	free(r);
	return failed;
}
