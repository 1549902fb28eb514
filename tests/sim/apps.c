/* SPDX-License-Identifier: MIT */
/* apps.c - the scripted applications on both ends */
#include "apps.h"

#include <string.h>

#include "end.h"
#include "history.h"
#include "oracle.h"

/* A slow application acts this often. */
#define SLOW_US 5000u
/* and moves at most that much. */
#define SLOW_BYTES 8192u
/* A window of one byte moves one byte in a round trip: no conversation shall
 * need more of them than that. */
#define ROUND_TRIPS_MAX 300u
/* One open in so many uses an argument that must be refused. */
#define BAD_OPEN_ONE_IN 40u

static struct conv *conv_of(struct world *w, uint64_t cookie)
{
	return &w->convs[cookie - 1];
}

/* A call on a stream that is over, though its END was not taken yet, must say
 * so and do nothing. */
static bool refused(struct world *w, struct conv *c, int e, int err,
		    const char *what)
{
	if (!err)
		return false;
	if (err != VMC_ERR_STATE || !oracle_is_ending(w, c, e))
		world_fail(w, "conv %u: end %d: %s: error %d", c->id, e, what,
			   err);
	return true;
}

static bool half_live(const struct half *h)
{
	return h->state == HALF_ASKED || h->state == HALF_OPEN;
}

static unsigned int give_reason(struct conv *c)
{
	c->given_reason = VMC_REASON_APP + c->id % 1000;
	return c->given_reason;
}

static void half_end(struct world *w, struct half *h, unsigned int reason)
{
	h->state = HALF_ENDED;
	h->reason = reason;
	h->ended_at = w->now;
	if (reason == VMC_REASON_OK)
		w->ended_ok++;
	else
		w->ended_other++;
}

/* Conversations that nothing can happen to any more leave the alive list. */
static void bury(struct world *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->n_alive; i++) {
		struct conv *c = &w->convs[w->alive[i]];

		if (half_live(&c->half[0]) || half_live(&c->half[1]))
			w->alive[kept++] = w->alive[i];
	}
	w->n_alive = kept;
}

static void dig_up(struct world *w, const struct conv *c)
{
	for (size_t i = 0; i < w->n_alive; i++)
		if (w->alive[i] == c->id)
			return;
	w->alive[w->n_alive++] = c->id;
}

/* ---- opening ---------------------------------------------------------- */

static struct conv *new_conv(struct world *w, int opener,
			     const struct script *sc)
{
	struct conv *c = &w->convs[w->n_convs];

	memset(c, 0, sizeof(*c));
	c->id = (uint32_t)w->n_convs;
	c->opener = opener;
	c->flags = sc->flags;
	c->name = sc->name;
	for (int k = 0; k < CAUSE_NUM; k++)
		c->causes[k] = w->causes[k] - w->end[opener].doubt[k];
	c->root[0] = history_root(w);
	c->root[1] = history_root(w);
	for (int i = 0; i < 2; i++) {
		int e = i ? 1 - opener : opener;
		struct half *h = &c->half[e];

		h->want = sc->want[i];
		h->reader = sc->reader[i];
		h->made = sc->slow_writer ? 0 : h->want;
		c->owner[e] = sc->owner;
		c->weight[e] = sc->weight;
	}
	return c;
}

struct conv *apps_open_script(struct world *w, int e, const struct script *sc)
{
	struct conv *c;
	struct half *h;
	struct vmc_principal who = {.kind = (uint32_t)e};
	int err;

	if (w->n_convs == SIM_CONVS_MAX || w->n_alive == SIM_ALIVE_MAX)
		return NULL;
	c = new_conv(w, e, sc);
	h = &c->half[e];
	who.uid = c->id;
	who.gid = ~c->id;
	err = vmc_stream_open(w->end[e].s, &h->handle, world_name(c->name),
			      c->flags, &who, c->owner[e], c->weight[e],
			      end_now(w, e));
	if (err) {
		if (err != VMC_ERR_LIMIT && err != VMC_ERR_NOT_UP)
			world_fail(w, "end %d: open: error %d", e, err);
		return NULL;
	}
	if (!h->handle ||
	    vmc_stream_set_cookie(w->end[e].s, h->handle, c->id + 1))
		world_fail(w, "end %d: open gave a bad handle", e);
	h->state = HALF_OPEN;
	w->n_convs++;
	w->opened++;
	dig_up(w, c);
	w->end[e].wake = true;
	world_note(w, "conv %u: end %d opens %s, sends %ju, gets %ju", c->id, e,
		   world_name(c->name), (uintmax_t)h->want,
		   (uintmax_t)c->half[1 - e].want);
	return c;
}

static uint64_t random_want(struct world *w)
{
	uint64_t n;

	if (prng_chance(&w->rng, 1, 8))
		return 0;
	n = prng_size(&w->rng, w->profile.bytes_max);
	for (int e = 0; e < 2; e++) {
		uint64_t most = w->end[e].cfg.initial_window;

		if (most > w->end[e].cfg.inflight_bytes)
			most = w->end[e].cfg.inflight_bytes;
		if (n > ROUND_TRIPS_MAX * most)
			n = ROUND_TRIPS_MAX * most;
	}
	if (w->bytes_planned + n > w->profile.bytes_all)
		n %= 64;
	w->bytes_planned += n;
	return n;
}

static enum half_reader random_reader(struct world *w)
{
	uint64_t dice = prng_below(&w->rng, 12);

	if (dice < 8)
		return READER_FAST;
	return dice < 11 ? READER_SLOW : READER_NEVER;
}

static void random_plan(struct world *w, struct half *h)
{
	h->fin_late = prng_chance(&w->rng, 1, 3);
	if (!prng_chance(&w->rng, 1, 6))
		return;
	h->plan = (enum half_plan)prng_below(&w->rng, PLAN_NUM);
	h->plan_at = prng_size(&w->rng, w->profile.bytes_max);
}

/* What must be refused must be refused without any effect. */
static void bad_open(struct world *w, int e)
{
	static const char *const bad[] = {"",   ".",  "a..b",     "a/b", "..",
					  ".a", "a.", "\xc3\xa4", "a b", "a\n"};
	struct vmc_principal who = {0};
	vmc_stream h;
	unsigned int weight = prng_chance(&w->rng, 1, 2) ? 0 : 17;
	int err;

	if (prng_chance(&w->rng, 1, 2))
		err = vmc_stream_open(w->end[e].s, &h,
				      bad[prng_below(&w->rng, 10)], 0, &who, 1,
				      1, end_now(w, e));
	else
		err = vmc_stream_open(w->end[e].s, &h, "a", 0, &who, 1, weight,
				      end_now(w, e));
	if (err != VMC_ERR_INVAL && err != VMC_ERR_NOT_UP)
		world_fail(w, "end %d: a bad open gave %d", e, err);
}

void apps_open(struct world *w, int e)
{
	struct script sc = {0};
	struct conv *c;

	if (w->n_alive >= w->profile.convs_at_once || !w->end[e].up ||
	    w->end[e].frozen)
		return;
	if (prng_chance(&w->rng, 1, BAD_OPEN_ONE_IN)) {
		bad_open(w, e);
		return;
	}
	for (int i = 0; i < 2; i++) {
		sc.want[i] = random_want(w);
		sc.reader[i] = random_reader(w);
	}
	sc.weight = (unsigned int)prng_range(&w->rng, 1, 16);
	sc.owner = prng_below(&w->rng, SIM_OWNERS);
	sc.name = (unsigned int)prng_below(&w->rng, SIM_NAMES);
	sc.flags = prng_chance(&w->rng, 1, 4) ? VMC_OPEN_MESSAGES : 0;
	sc.slow_writer = prng_chance(&w->rng, 1, 3);
	c = apps_open_script(w, e, &sc);
	if (!c)
		return;
	random_plan(w, &c->half[0]);
	random_plan(w, &c->half[1]);
	c->owner[1 - e] = prng_below(&w->rng, SIM_OWNERS);
}

/* ---- events ----------------------------------------------------------- */

static void on_open(struct world *w, int e, const struct vmc_event *ev)
{
	struct conv *c;
	struct half *h;

	if (ev->principal.uid >= w->n_convs) {
		world_fail(w, "end %d: OPEN by nobody", e);
		return;
	}
	c = &w->convs[ev->principal.uid];
	h = &c->half[e];
	if (c->opener == e || h->state != HALF_NONE)
		world_fail(w, "conv %u: opened twice", c->id);
	if (ev->principal.gid != ~c->id ||
	    ev->principal.kind != (uint32_t)c->opener ||
	    ev->flags != c->flags || strcmp(ev->name, world_name(c->name)))
		world_fail(w, "conv %u: OPEN says something else", c->id);
	if (world_failed(w))
		return;
	h->handle = ev->stream;
	h->state = HALF_ASKED;
	h->restarted = false;
	if (vmc_stream_set_cookie(w->end[e].s, h->handle, c->id + 1))
		world_fail(w, "conv %u: OPEN with a bad handle", c->id);
	dig_up(w, c);
}

static int name_index(const char *name)
{
	for (unsigned int i = 0; i < SIM_NAMES; i++)
		if (!strcmp(name, world_name(i)))
			return (int)i;
	return -1;
}

static void on_name(struct world *w, int e, const struct vmc_event *ev)
{
	bool added = ev->type == VMC_EV_NAME_ADDED;
	struct names *names = &w->end[e].names;
	int i = name_index(ev->name);

	/* ADDED again means other flags. */
	if (i < 0 || (names->seen[i] == added &&
		      (!added || names->seen_flags[i] == ev->flags))) {
		world_fail(w, "end %d: name %s %s", e, ev->name,
			   added ? "added twice" : "removed twice");
		return;
	}
	names->seen[i] = added;
	names->seen_flags[i] = ev->flags;
}

static void half_read(struct world *w, struct conv *c, int e, uint64_t max);

static void on_readable(struct world *w, int e, const struct vmc_event *ev)
{
	struct conv *c = conv_of(w, ev->cookie);
	struct half *h = &c->half[e];

	h->readable = true;
	/* At once, from the input buffer, or later, from the pool. */
	if (h->state == HALF_OPEN && h->reader == READER_FAST && !h->stopped &&
	    !w->end[e].frozen && prng_chance(&w->rng, 1, 2))
		half_read(w, c, e, 1 + prng_size(&w->rng, 65536));
}

static void on_stop(struct world *w, int e, const struct vmc_event *ev)
{
	conv_of(w, ev->cookie)->half[e].peer_stops = true;
}

static void on_end(struct world *w, int e, const struct vmc_event *ev)
{
	struct conv *c = conv_of(w, ev->cookie);

	world_note(w, "conv %u: end %d: over: %s", c->id, e,
		   vmc_reason_name(ev->reason));
	half_end(w, &c->half[e], ev->reason);
	bury(w);
}

void apps_event(struct world *w, int e, const struct vmc_event *ev)
{
	static void (*const handlers[VMC_EV_NUM])(struct world *, int,
						  const struct vmc_event *) = {
		[VMC_EV_OPEN] = on_open,
		[VMC_EV_NAME_ADDED] = on_name,
		[VMC_EV_NAME_REMOVED] = on_name,
		[VMC_EV_READABLE] = on_readable,
		[VMC_EV_STOP] = on_stop,
		[VMC_EV_END] = on_end,
	};

	if (!world_failed(w) && handlers[ev->type])
		handlers[ev->type](w, e, ev);
}

/* ---- reading and writing ---------------------------------------------- */

/* Looks at all that waits, whatever is taken of it. */
static void check_peek(struct world *w, struct conv *c, int e,
		       const struct iovec *iov, size_t total)
{
	uint64_t off = c->half[e].consumed;
	uint32_t piece = 0;

	for (size_t left = total; left; iov++) {
		uint8_t *base = iov->iov_base;
		size_t n = iov->iov_len < left ? iov->iov_len : left;

		if (!n) {
			world_fail(w, "conv %u: peek lies about its size",
				   c->id);
			return;
		}
		if (world_mutates(w, MUTATE_FLIP))
			base[n / 2] ^= 1;
		if (world_mutates(w, MUTATE_DUP))
			off -= off ? 1 : 0;
		piece = history_look(w, c, e, piece, off, base, n);
		off += n;
		left -= n;
	}
}

static void take_pieces(struct world *w, struct conv *c, int e,
			const struct iovec *iov, size_t left)
{
	uint64_t off = c->half[e].consumed;

	for (; left && !world_failed(w); iov++) {
		size_t n = iov->iov_len < left ? iov->iov_len : left;

		history_take(w, c, e, off, iov->iov_base, n);
		off += n;
		left -= n;
	}
}

static void half_read(struct world *w, struct conv *c, int e, uint64_t max)
{
	struct half *h = &c->half[e];
	struct vmc_session *s = w->end[e].s;
	struct iovec iov[4];
	long n = vmc_stream_peek(s, h->handle, iov,
				 (int)prng_range(&w->rng, 1, 4));
	struct half before = *h;
	size_t take;

	if (n < 0) {
		world_fail(w, "conv %u: end %d: peek: %ld", c->id, e, n);
		return;
	}
	check_peek(w, c, e, iov, (size_t)n);
	take = (uint64_t)n < max ? (size_t)n : (size_t)max;
	take_pieces(w, c, e, iov, take);
	if (take &&
	    refused(w, c, e, vmc_stream_consume(s, h->handle, take), "consume"))
		return;
	if (take)
		w->end[e].wake = true;
	h->consumed += take;
	if (take && world_mutates(w, MUTATE_REWIND))
		*h = before;
	if (take && world_mutates(w, MUTATE_DROP))
		h->consumed -= 1;
	w->delivered += take;
	if (take)
		h->read_us = w->now;
	if (!n)
		h->readable = false;
	if (!h->at_end && vmc_stream_at_end(s, h->handle)) {
		h->at_end = true;
		w->end[e].wake = true;
		history_end(w, c, e, h->consumed);
		if (!oracle_jumped(w, c) &&
		    h->consumed != c->half[1 - e].pulled)
			world_fail(w, "conv %u: end %d: end at %ju of %ju",
				   c->id, e, (uintmax_t)h->consumed,
				   (uintmax_t)c->half[1 - e].pulled);
	}
}

static bool wants_pull(const struct half *h)
{
	if (h->state != HALF_OPEN || h->fin || h->peer_stops || h->reset)
		return false;
	return h->made > h->pulled || (h->pulled == h->want && !h->fin_late);
}

/* Tells the engine when there is something to pull. */
static bool half_ready(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];
	int err;

	if (h->ready || !wants_pull(h))
		return false;
	err = vmc_stream_ready(w->end[e].s, h->handle);
	/* STATE: also when STOP waits to be taken. */
	if (err == VMC_ERR_STATE && !w->calm)
		return false;
	if (refused(w, c, e, err, "ready"))
		return false;
	h->ready = true;
	w->end[e].wake = true;
	return true;
}

static bool half_finish(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];
	int err;

	if (h->state != HALF_OPEN || h->fin || h->peer_stops || h->reset ||
	    h->ready || h->pulled != h->want)
		return false;
	err = vmc_stream_finish(w->end[e].s, h->handle);
	if (err == VMC_ERR_STATE && !w->calm)
		return false;
	if (refused(w, c, e, err, "finish"))
		return false;
	h->fin = true;
	history_send(w, c, e, NULL, 0, NULL);
	w->end[e].wake = true;
	return true;
}

/* What an application would send to make the peer believe in a HELLO. */
static const uint8_t *forgery(struct world *w, size_t n)
{
	const struct link *l;
	size_t from;

	if (!w->profile.storm || n < 32 || !prng_chance(&w->rng, 1, 16))
		return NULL;
	l = &w->link[prng_below(&w->rng, 2)];
	if (l->history_len < n)
		return NULL;
	from = l->history_len - n;
	w->fault[FAULT_FORGE]++;
	return link_history(l) + prng_below(&w->rng, from + 1);
}

void apps_pull(struct world *w, int e, const struct vmc_pull *pull)
{
	struct conv *c;
	struct half *h;
	unsigned int flags = 0;
	size_t n;

	if (w->end[e].frozen) {
		world_fail(w, "end %d: pulled while frozen", e);
		return;
	}
	if (!pull->cookie || pull->cookie > w->n_convs || !pull->len) {
		world_fail(w, "end %d: pull of nothing", e);
		return;
	}
	c = conv_of(w, pull->cookie);
	h = &c->half[e];
	if (h->handle != pull->stream || !h->ready || !wants_pull(h)) {
		world_fail(w, "conv %u: end %d: pulled, not ready", c->id, e);
		return;
	}
	n = pull->len;
	if (n > h->made - h->pulled)
		n = (size_t)(h->made - h->pulled);
	if (!w->calm && n && prng_chance(&w->rng, 1, 4))
		n = prng_below(&w->rng, n + 1);
	if (n)
		history_send(w, c, e, pull->buf, n, forgery(w, n));
	h->pulled += n;
	if (h->pulled < h->made)
		flags = VMC_PULL_MORE;
	else
		h->ready = false;
	if (h->pulled == h->want && !h->fin_late) {
		flags = VMC_PULL_FINISH;
		h->fin = true;
		history_send(w, c, e, NULL, 0, NULL);
	}
	vmc_session_pull_done(w->end[e].s, n, flags, end_now(w, e));
}

/* ---- giving up -------------------------------------------------------- */

static void half_reset(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];

	world_note(w, "conv %u: end %d resets", c->id, e);
	if (refused(w, c, e,
		    vmc_stream_reset(w->end[e].s, h->handle, give_reason(c)),
		    "reset"))
		return;
	h->reset = true;
	w->end[e].wake = true;
}

static void half_stop(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];

	world_note(w, "conv %u: end %d stops the peer", c->id, e);
	if (refused(w, c, e,
		    vmc_stream_stop(w->end[e].s, h->handle, give_reason(c)),
		    "stop"))
		return;
	h->stopped = true;
	w->end[e].wake = true;
}

static bool half_plan(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];

	if (h->plan == PLAN_ORDERLY || h->state != HALF_OPEN || h->reset ||
	    h->stopped || h->pulled + h->consumed < h->plan_at)
		return false;
	if (h->plan == PLAN_RESET)
		half_reset(w, c, e);
	else if (!h->at_end)
		half_stop(w, c, e);
	else
		return false;
	return true;
}

static void half_reject(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];

	world_note(w, "conv %u: end %d rejects", c->id, e);
	if (refused(w, c, e,
		    vmc_stream_reject(w->end[e].s, h->handle, give_reason(c)),
		    "reject"))
		return;
	h->rejected = true;
	half_end(w, h, c->given_reason);
	w->end[e].wake = true;
	bury(w);
}

/* ASKED: answers. The peer's bytes may already wait. */
static bool half_answer(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];

	if (h->state != HALF_ASKED)
		return false;
	if (h->plan == PLAN_RESET && c->id % 2) {
		half_reject(w, c, e);
		return true;
	}
	if (refused(w, c, e,
		    vmc_stream_accept(w->end[e].s, h->handle, c->owner[e],
				      c->weight[e]),
		    "accept"))
		return false;
	h->state = HALF_OPEN;
	h->readable = true;
	w->end[e].wake = true;
	return true;
}

/* ---- acting ----------------------------------------------------------- */

static bool make_bytes(struct world *w, struct half *h)
{
	if (h->state != HALF_OPEN || h->made == h->want || w->now < h->make_at)
		return false;
	h->made += 1 + prng_size(&w->rng, SLOW_BYTES);
	if (h->made > h->want)
		h->made = h->want;
	h->make_at = w->now + SLOW_US;
	return true;
}

static bool may_read(const struct world *w, const struct half *h)
{
	if (h->state != HALF_OPEN || !h->readable || h->stopped || h->reset)
		return false;
	return h->reader != READER_NEVER && w->now >= h->read_at;
}

static bool serve_reader(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];
	uint64_t max = SIM_NEVER;

	if (!may_read(w, h))
		return false;
	if (h->reader == READER_SLOW) {
		h->read_at = w->now + SLOW_US;
		max = 1 + prng_size(&w->rng, SLOW_BYTES);
	}
	half_read(w, c, e, max);
	return true;
}

/* The calm's second part: whoever holds a stream open lets go. */
static void let_go(struct world *w, struct conv *c, int e)
{
	struct half *h = &c->half[e];

	if (h->reader != READER_NEVER || h->state != HALF_OPEN || h->stopped ||
	    h->reset)
		return;
	switch (prng_below(&w->rng, 3)) {
	case 0:
		half_reset(w, c, e);
		break;
	case 1:
		half_stop(w, c, e);
		break;
	default:
		h->reader = READER_FAST;
		h->readable = true;
		break;
	}
}

static bool half_serve(struct world *w, struct conv *c, int e)
{
	bool did = half_answer(w, c, e);

	if (w->quit_readers)
		let_go(w, c, e);
	did |= half_plan(w, c, e);
	did |= make_bytes(w, &c->half[e]);
	did |= half_ready(w, c, e);
	if (c->half[e].fin_late)
		did |= half_finish(w, c, e);
	did |= serve_reader(w, c, e);
	return did;
}

bool apps_serve(struct world *w, int e)
{
	bool did = false;

	for (size_t i = w->n_alive;
	     i-- && !world_failed(w) && !w->end[e].frozen;)
		if (i < w->n_alive)
			did |= half_serve(w, &w->convs[w->alive[i]], e);
	return did;
}

uint64_t apps_next(const struct world *w, int e)
{
	uint64_t t = SIM_NEVER;

	for (size_t i = 0; i < w->n_alive && !w->end[e].frozen; i++) {
		const struct half *h = &w->convs[w->alive[i]].half[e];

		if (h->state != HALF_OPEN)
			continue;
		if (h->made < h->want && h->make_at < t)
			t = h->make_at;
		if (h->reader == READER_SLOW && h->readable && !h->stopped &&
		    !h->reset && h->read_at < t)
			t = h->read_at;
	}
	return t;
}

static void poke_reader(struct world *w, struct conv *c, int e)
{
	const struct half *h = &c->half[e];

	/* Also when nothing is there: that must be harmless. */
	if (h->state == HALF_OPEN && !h->stopped && !h->reset &&
	    h->reader != READER_NEVER)
		half_read(w, c, e, prng_size(&w->rng, 65536));
}

void apps_poke(struct world *w, int e)
{
	struct conv *c;

	if (!w->n_alive || w->end[e].frozen)
		return;
	c = &w->convs[w->alive[prng_below(&w->rng, w->n_alive)]];
	switch (prng_below(&w->rng, 6)) {
	case 0:
		half_answer(w, c, e);
		break;
	case 1:
		make_bytes(w, &c->half[e]);
		half_ready(w, c, e);
		break;
	case 2:
		poke_reader(w, c, e);
		break;
	case 3:
		half_plan(w, c, e);
		break;
	default:
		half_serve(w, c, e);
		break;
	}
}

void apps_names(struct world *w, int e)
{
	struct names *names = &w->end[e].names;
	unsigned int i = (unsigned int)prng_below(&w->rng, SIM_NAMES);
	uint32_t flags = prng_chance(&w->rng, 1, 3) ? VMC_NAME_MESSAGES : 0;
	bool had = names->mine[i];
	int err, want;

	if (prng_chance(&w->rng, had ? 3 : 1, 4)) {
		err = vmc_name_withdraw(w->end[e].s, world_name(i));
		want = had ? 0 : VMC_ERR_NOT_FOUND;
		names->mine[i] = false;
	} else {
		err = vmc_name_advertise(w->end[e].s, world_name(i), flags);
		want = had ? VMC_ERR_EXISTS : 0;
		if (err == VMC_ERR_LIMIT && !had)
			want = err;
		if (!err) {
			names->mine[i] = true;
			names->my_flags[i] = flags;
		}
	}
	if (err != want)
		world_fail(w, "end %d: name %s: %d instead of %d", e,
			   world_name(i), err, want);
	w->end[e].wake = true;
}

void apps_abandon(struct world *w, int e)
{
	for (size_t i = 0; i < w->n_alive; i++) {
		struct half *h = &w->convs[w->alive[i]].half[e];

		if (!half_live(h))
			continue;
		h->restarted = true;
		half_end(w, h, VMC_REASON_DAEMON_LOST);
	}
	bury(w);
}

/* A conversation that the snapshot does not know; its script stays. */
static void forget_half(struct half *h)
{
	*h = (struct half){
		.reader = h->reader,
		.plan = h->plan,
		.plan_at = h->plan_at,
		.fin_late = h->fin_late,
		.want = h->want,
		.restarted = true,
	};
}

void apps_restore(struct world *w, int e, const struct half *half, size_t n)
{
	for (size_t i = 0; i < w->n_convs; i++) {
		struct conv *c = &w->convs[i];

		if (i < n)
			c->half[e] = half[i];
		else
			forget_half(&c->half[e]);
		if (half_live(&c->half[0]) || half_live(&c->half[1]))
			dig_up(w, c);
	}
	bury(w);
}

/* READY is not in a saved state, and READABLE is said again. */
static void moved_half(struct half *h, vmc_stream handle)
{
	h->handle = handle;
	h->ready = h->readable = false;
}

void apps_adopted(struct world *w, int e)
{
	for (size_t i = 0; i < w->n_alive; i++) {
		struct half *h = &w->convs[w->alive[i]].half[e];

		if (half_live(h))
			moved_half(h, h->handle);
	}
}

/* What the new host's daemon says of a program that stayed on the old one. */
static void leave_one(struct world *w, struct conv *c, int e)
{
	struct vmc_session *s = w->end[e].s;
	struct half *h = &c->half[e];
	unsigned int reason = VMC_REASON_MIGRATED;

	world_note(w, "conv %u: end %d is left behind", c->id, e);
	c->left_behind = true;
	if (h->state == HALF_ASKED) {
		if (refused(w, c, e, vmc_stream_reject(s, h->handle, reason),
			    "reject"))
			return;
		h->rejected = true;
		half_end(w, h, reason);
	} else if (!refused(w, c, e, vmc_stream_reset(s, h->handle, reason),
			    "reset")) {
		h->reset = true;
	}
}

void apps_leave(struct world *w, int e)
{
	for (size_t i = 0; i < w->n_alive && !world_failed(w); i++) {
		struct conv *c = &w->convs[w->alive[i]];

		if (half_live(&c->half[e]) && prng_chance(&w->rng, 1, 4))
			leave_one(w, c, e);
	}
	bury(w);
	w->end[e].wake = true;
}

void apps_moved(struct world *w, int e)
{
	struct vmc_session *s = w->end[e].s;
	struct names *names = &w->end[e].names;
	uint32_t pos = 0, n = 0, live = 0;
	uint64_t cookie;
	vmc_stream h;

	while (vmc_stream_next(s, &pos, &h, &cookie)) {
		n++;
		if (!cookie || cookie > w->n_convs ||
		    !half_live(&conv_of(w, cookie)->half[e])) {
			world_fail(w, "end %d: a dead stream moved", e);
			return;
		}
		moved_half(&conv_of(w, cookie)->half[e], h);
	}
	for (size_t i = 0; i < w->n_alive; i++)
		live += half_live(&w->convs[w->alive[i]].half[e]);
	if (n != live)
		world_fail(w, "end %d: %u of %u streams moved", e, n, live);
	for (unsigned int i = 0; i < SIM_NAMES; i++)
		if (names->mine[i] &&
		    vmc_name_advertise(s, world_name(i), names->my_flags[i]))
			world_fail(w, "end %d: name %s did not move", e,
				   world_name(i));
}
