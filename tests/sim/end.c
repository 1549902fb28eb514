/* SPDX-License-Identifier: MIT */
/* end.c - one engine and the broker's loop around it */
#include "end.h"

#include <stdlib.h>
#include <string.h>

#include "apps.h"
#include "oracle.h"

/* A peer that reads all and answers nothing is asked by a HELLO. */
#define WATCHDOG_US 2000000u
/* An engine must not be handed back its own unfinished work for ever. */
#define LOOPS_MAX 100000u

void *end_alloc(struct world *w, size_t size)
{
	void *mem;

	/* Exact size: the address sanitizer then sees a byte too many. */
	if (posix_memalign(&mem, SIM_MEM_ALIGN, size))
		abort();
	/* The engine may not rely on zeroed memory. */
	memset(mem, (int)prng_u64(&w->rng), size);
	return mem;
}

static uint32_t range32(struct world *w, uint32_t lo, uint32_t hi)
{
	return (uint32_t)prng_range(&w->rng, lo, hi);
}

static void tiny_limits(struct world *w, struct vmc_session_config *cfg)
{
	cfg->max_streams = range32(w, 1, 24);
	cfg->max_names = range32(w, 1, SIM_NAMES + 2);
	cfg->max_frame = range32(w, VMC_MIN_FRAME, VMC_MAX_FRAME);
	cfg->initial_window = range32(w, 1, 2048);
	cfg->rx_pool = cfg->max_streams * cfg->initial_window +
		       (uint32_t)prng_size(&w->rng, 100000);
	cfg->max_window =
		cfg->initial_window + (uint32_t)prng_size(&w->rng, 65536);
	cfg->inflight_bytes = 16 + (uint32_t)prng_size(&w->rng, 131072);
	/* The least that is valid is what one frame costs, and a rest. */
	cfg->inflight_charge = cfg->max_frame + 4096 + 768 + 4096 + 3584 +
			       (uint32_t)prng_size(&w->rng, 120000);
	cfg->inflight_writes = range32(w, 16, 240);
	cfg->ack_delay_us = prng_size(&w->rng, 20000);
	cfg->stall_us = range32(w, 1000, 5000000);
}

/* Small in memory, too: a snapshot is a copy of it. */
static void storm_limits(struct world *w, struct vmc_session_config *cfg)
{
	cfg->max_streams = range32(w, 1, 8);
	cfg->max_names = range32(w, 1, SIM_NAMES + 2);
	cfg->max_frame = range32(w, VMC_MIN_FRAME, 2 * VMC_MIN_FRAME);
	cfg->initial_window = range32(w, 1, 1024);
	cfg->rx_pool = cfg->max_streams * cfg->initial_window +
		       (uint32_t)prng_size(&w->rng, 8192);
	cfg->max_window =
		cfg->initial_window + (uint32_t)prng_size(&w->rng, 8192);
	cfg->inflight_bytes = 16 + (uint32_t)prng_size(&w->rng, 8192);
	cfg->inflight_charge = cfg->max_frame + 4096 + 768 + 4096 + 3584 +
			       (uint32_t)prng_size(&w->rng, 60000);
	cfg->inflight_writes = range32(w, 16, 64);
	cfg->ack_delay_us = prng_size(&w->rng, 20000);
	cfg->stall_us = range32(w, 1000, 5000000);
}

static void choose_limits(struct world *w, int e)
{
	struct vmc_session_config *cfg = &w->end[e].cfg;

	for (int tries = 0; tries < 100; tries++) {
		vmc_session_config_default(cfg, (enum vmc_role)e);
		if (w->profile.limits)
			w->profile.limits(cfg);
		else if (w->profile.storm)
			storm_limits(w, cfg);
		else if (w->profile.tiny)
			tiny_limits(w, cfg);
		cfg->instance = prng_u64(&w->rng);
		cfg->grease = (uint8_t)prng_below(&w->rng, 2);
		if (!w->profile.losses)
			cfg->grace_us = UINT64_MAX;
		else if (prng_chance(&w->rng, 1, 2))
			cfg->grace_us = prng_size(&w->rng, 10000000);
		if (vmc_session_size(cfg))
			return;
	}
	world_fail(w, "no limits are valid for end %d", e);
}

static void make_engine(struct world *w, int e)
{
	struct end *end = &w->end[e];

	end->size = vmc_session_size(&end->cfg);
	if (!end->size)
		return;
	end->mem = end_alloc(w, end->size);
	if (vmc_session_init(&end->s, end->mem, end->size, &end->cfg))
		world_fail(w, "end %d: init refused its own size", e);
	end->attached = false;
	end->up = false;
	end->watch_at = 0;
	end->frozen = end->deaf = false;
	end->bye = false;
	end->blocked = false;
	end->unit_done = 0;
	end->wake = true;
	history_branch(w, e, (struct moment){0});
}

void end_init(struct world *w, int e)
{
	choose_limits(w, e);
	make_engine(w, e);
}

void end_done(struct end *end)
{
	free(end->mem);
	end->mem = NULL;
}

uint64_t end_now(const struct world *w, int e)
{
	return w->now + w->end[e].ahead;
}

/*
 * A destination greets before the state is there: an empty session, whose
 * place the loaded one takes. Not from the world's own dice: the seeds that
 * are kept stay what they were.
 *
 * Return: was that all it did?
 */
static bool greets_early(struct world *w, int e)
{
	const struct end *end = &w->end[e];
	uint64_t now = end_now(w, e);
	struct prng dice;
	uint8_t entropy[VMC_ENTROPY_LEN];
	struct vmc_session *s;
	const uint8_t *out;
	bool greeted;
	void *mem;
	size_t n;

	prng_seed(&dice, prng_mix(w->now));
	if (e != VMC_ROLE_HOST || !w->profile.successors ||
	    prng_chance(&dice, 1, 2) ||
	    posix_memalign(&mem, SIM_MEM_ALIGN, end->size))
		return false;
	if (vmc_session_init(&s, mem, end->size, &end->cfg))
		world_fail(w, "end %d: init refused its own size", e);
	prng_fill(&dice, entropy, sizeof(entropy));
	vmc_session_attach(s, entropy, now);
	while ((n = vmc_session_output(s, &out, now))) {
		n = link_write(&w->link[e], out, n, w->now, 0);
		if (n == 0)
			break; /* torn: then it has not */
		vmc_session_output_done(s, n, now);
	}
	greeted = vmc_session_is_greeting(s);
	free(mem);
	return greeted;
}

void end_attach(struct world *w, int e)
{
	struct end *end = &w->end[e];
	uint8_t entropy[VMC_ENTROPY_LEN];

	prng_fill(&w->rng, entropy, sizeof(entropy));
	world_note(w, "end %d attaches", e);
	end->slept = 0;
	end->deaf = false;
	if (greets_early(w, e))
		vmc_session_attach_greeted(end->s, entropy, end_now(w, e));
	else
		vmc_session_attach(end->s, entropy, end_now(w, e));
	end->attached = true;
	end->bye = false;
	end->blocked = false;
	end->unit_done = 0;
	end->wake = true;
}

void end_detach(struct world *w, int e)
{
	struct end *end = &w->end[e];

	if (!end->attached)
		return;
	world_note(w, "end %d detaches", e);
	end->slept = 0;
	vmc_session_detach(end->s, end_now(w, e));
	end->attached = false;
	end->blocked = false;
	end->unit_done = 0;
	end->wake = true;
}

void end_resync(struct world *w, int e)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	prng_fill(&w->rng, entropy, sizeof(entropy));
	world_note(w, "end %d resyncs", e);
	w->end[e].slept = 0;
	w->end[e].deaf = false;
	vmc_session_resync(w->end[e].s, entropy, end_now(w, e));
	w->end[e].blocked = false;
	w->end[e].unit_done = 0;
	w->end[e].wake = true;
}

void end_bye(struct world *w, int e)
{
	world_note(w, "end %d says goodbye", e);
	world_loses(w, CAUSE_BYE);
	w->end[e].slept = 0;
	w->end[e].bye = true;
	w->end[e].frozen = w->end[e].deaf = false;
	vmc_session_bye(w->end[e].s, VMC_REASON_SHUTDOWN, end_now(w, e));
	w->end[e].wake = true;
}

/* A new daemon in the place of one that is no more. */
static void begin_anew(struct world *w, int e)
{
	struct end *end = &w->end[e];
	struct names *names = &end->names;
	uint64_t instance;

	apps_abandon(w, e);
	instance = end->cfg.instance;
	end_done(end);
	end->cfg.instance = prng_mix(instance + 1);
	make_engine(w, e);
	memset(names->seen, 0, sizeof(names->seen));
	for (unsigned int i = 0; i < SIM_NAMES; i++) {
		if (!names->mine[i])
			continue;
		names->mine[i] = prng_chance(&w->rng, 1, 2) &&
				 !vmc_name_advertise(end->s, world_name(i),
						     names->my_flags[i]);
	}
}

void end_restart(struct world *w, int e)
{
	world_note(w, "end %d restarts", e);
	world_loses(w, CAUSE_RESTART);
	begin_anew(w, e);
}

void end_explain(struct world *w, int e, unsigned int reason)
{
	bool cloned = reason == VMC_REASON_CLONED;

	world_loses(w, cloned ? CAUSE_REFUSED : CAUSE_STATELESS);
	if (!world_mutates(w, MUTATE_UNEXPLAINED))
		vmc_session_explain(w->end[e].s, reason);
}

void end_replace(struct world *w, int e, unsigned int reason)
{
	world_note(w, "end %d begins anew: %s", e, vmc_reason_name(reason));
	begin_anew(w, e);
	end_explain(w, e, reason);
}

void end_unplugged(struct world *w, int e)
{
	struct end *end = &w->end[e];

	end->attached = end->up = false;
	end->blocked = false;
	end->unit_done = 0;
	end->watch_at = 0;
	end->wake = true;
	end->attach_at = w->now + prng_size(&w->rng, 1000000);
	if (end->cfg.grace_us != UINT64_MAX)
		world_loses(w, CAUSE_GRACE);
}

void end_move(struct world *w, int e)
{
	struct end *end = &w->end[e];
	void *mem = end_alloc(w, end->size);

	memcpy(mem, end->mem, end->size);
	/* Nothing may look at the old place any more. */
	memset(end->mem, 0xa5, end->size);
	free(end->mem);
	end->mem = mem;
	end->s = mem;
}

/* ---- the loop --------------------------------------------------------- */

/*
 * UP may tell of a session that went on after one that nobody was told of; and
 * of a handshake that was over before the freeze.
 */
static void look_at_session(struct end *end)
{
	struct vmc_session_stats st;

	vmc_session_get_stats(end->s, &st);
	end->frozen = st.frozen;
	if (!memcmp(end->session_id, st.session_id, sizeof(st.session_id)))
		return;
	memcpy(end->session_id, st.session_id, sizeof(st.session_id));
	end->seen = (struct moment){0};
}

static void session_event(struct world *w, int e, const struct vmc_event *ev)
{
	struct end *end = &w->end[e];

	if (ev->type == VMC_EV_UP || ev->type == VMC_EV_DOWN) {
		end->up = ev->type == VMC_EV_UP;
		if (end->up)
			look_at_session(end);
		if (!end->up && end->cfg.grace_us != UINT64_MAX)
			world_loses(w, CAUSE_GRACE);
		world_note(w, "end %d is %s (%s)", e, end->up ? "up" : "down",
			   !end->up      ? vmc_reason_name(ev->reason)
			   : ev->resumed ? "resumed"
					 : "new");
	}
	if (ev->type == VMC_EV_STALLED)
		end->stalls++;
	if (ev->type == VMC_EV_STALLED && w->profile.storm)
		end->watch_at = w->now + WATCHDOG_US;
	if (ev->type == VMC_EV_UNSTALLED || ev->type == VMC_EV_DOWN)
		end->watch_at = 0;
	if (ev->type == VMC_EV_NEED_ENTROPY)
		end_resync(w, e);
}

/* The self-test's mistakes; true if the event is swallowed. */
static bool mutate_event(struct world *w, struct vmc_event *ev)
{
	if (ev->type == VMC_EV_END) {
		if (world_mutates(w, MUTATE_REASON))
			ev->reason = VMC_REASON_ROLLBACK;
		return world_mutates(w, MUTATE_LOSE_END);
	}
	if (ev->type == VMC_EV_NAME_ADDED)
		return world_mutates(w, MUTATE_LOSE_NAME);
	if (ev->type != VMC_EV_READABLE)
		return false;
	if (world_mutates(w, MUTATE_FAKE_END)) {
		ev->type = VMC_EV_END;
		ev->reason = VMC_REASON_OK;
	}
	return world_mutates(w, MUTATE_DEAF);
}

static bool take_events(struct world *w, int e, uint32_t max)
{
	struct vmc_event ev;
	bool any = false;

	for (uint32_t i = 0; i < max; i++) {
		if (i == LOOPS_MAX)
			world_fail(w, "end %d: events without end", e);
		if (world_failed(w) ||
		    !vmc_session_next_event(w->end[e].s, &ev, end_now(w, e)))
			break;
		any = true;
		if (mutate_event(w, &ev))
			continue;
		oracle_event(w, e, &ev);
		session_event(w, e, &ev);
		apps_event(w, e, &ev);
	}
	return any;
}

void end_events(struct world *w, int e)
{
	take_events(w, e, UINT32_MAX);
}

/* One read of the link; 0 when nothing came or there is no room for it. */
static size_t take_input(struct world *w, int e)
{
	struct link *l = &w->link[1 - e];
	size_t room, n = link_readable(l, w->now);
	uint8_t *buf;

	if (!w->end[e].attached || !n)
		return 0;
	room = vmc_session_input(w->end[e].s, &buf);
	if (n > room)
		n = room;
	/* A read returns what it likes. */
	if (n > 1 && prng_chance(&w->rng, 1, 3))
		n = 1 + prng_size(&w->rng, n - 1);
	n = link_read(l, buf, n, w->now);
	if (n)
		vmc_session_input_done(w->end[e].s, n, end_now(w, e));
	return n;
}

static bool take_all_input(struct world *w, int e, struct budget budget)
{
	bool any = take_events(w, e, budget.events);

	for (uint32_t i = 0; i < budget.input && !world_failed(w); i++) {
		size_t n = take_input(w, e);
		bool events = take_events(w, e, budget.events);

		any |= n || events;
		if (n || events)
			continue;
		if (budget.events == UINT32_MAX && w->end[e].attached &&
		    !w->end[e].deaf && link_readable(&w->link[1 - e], w->now))
			world_fail(w, "end %d: no room for input, no events",
				   e);
		break;
	}
	return any;
}

static bool run_pulls(struct world *w, int e, uint32_t max)
{
	struct vmc_pull pull;
	uint32_t n;

	for (n = 0; n < max; n++) {
		if (n == LOOPS_MAX)
			world_fail(w, "end %d: pulls without end", e);
		if (world_failed(w) ||
		    !vmc_session_pull(w->end[e].s, &pull, end_now(w, e)))
			break;
		apps_pull(w, e, &pull);
	}
	return n > 0;
}

static void check_unit(struct world *w, int e, size_t n)
{
	if (n > VMC_MAX_FRAME)
		world_fail(w, "end %d: a write unit of %zu bytes", e, n);
}

static bool run_output(struct world *w, int e, uint32_t max)
{
	struct end *end = &w->end[e];
	struct link *l = &w->link[e];
	const uint8_t *buf;
	bool any = false;

	for (uint32_t i = 0; i < max && end->attached; i++) {
		size_t n = vmc_session_output(end->s, &buf, end_now(w, e));
		size_t want = n, took;

		end->blocked = false;
		if (!n)
			break;
		if (i == LOOPS_MAX)
			world_fail(w, "end %d: output without end", e);
		check_unit(w, e, n);
		if (!l->whole_writes && prng_chance(&w->rng, 1, 8))
			want = 1 + prng_below(&w->rng, n);
		took = link_write(l, buf, want, w->now,
				  prng_below(&w->rng, l->jitter_us + 1));
		if (took && world_mutates(w, MUTATE_CHARGE))
			l->charge_peak += LINK_SOCKET_CHARGE;
		vmc_session_output_done(end->s, took, end_now(w, e));
		any |= took > 0;
		if (took < want) {
			end->blocked = true;
			end->blocked_by = n - took;
			break;
		}
	}
	return any;
}

static uint64_t engine_deadline(const struct end *end)
{
	uint64_t t = vmc_session_deadline(end->s);
	int64_t at = (int64_t)(t - end->ahead);

	if (t == SIM_NEVER)
		return t;
	return at < 0 ? 0 : (uint64_t)at;
}

uint64_t end_deadline(const struct end *end)
{
	uint64_t t = engine_deadline(end);

	return end->watch_at && end->watch_at < t ? end->watch_at : t;
}

/* continuity.md, section 9: only when the peer has read everything. */
static void run_watchdog(struct world *w, int e)
{
	struct end *end = &w->end[e];

	if (!end->watch_at || end->watch_at > w->now)
		return;
	end->watch_at = w->now + WATCHDOG_US;
	if (end->up && end->attached && !w->link[e].len)
		end_resync(w, e);
}

static bool run_timer(struct world *w, int e)
{
	struct end *end = &w->end[e];

	if (w->mutate == MUTATE_LATE_TIMER || end_deadline(end) > w->now)
		return false;
	end->ticks++;
	run_watchdog(w, e);
	vmc_session_tick(end->s, end_now(w, e));
	return true;
}

bool end_run(struct world *w, int e, struct budget budget)
{
	bool moved, any;

	if (w->now < w->end[e].paused_until)
		return false;
	w->end[e].wake = false;
	any = take_all_input(w, e, budget);
	if (run_timer(w, e))
		any |= take_events(w, e, budget.events);
	do {
		moved = run_pulls(w, e, budget.pulls);
		moved |= run_output(w, e, budget.outputs);
		moved |= take_events(w, e, budget.events);
		any |= moved;
	} while (moved && budget.outputs == UINT32_MAX && !world_failed(w));
	return any;
}

bool end_has_work(const struct world *w, int e)
{
	const struct end *end = &w->end[e];

	if (w->now < end->paused_until)
		return false;
	if (end->wake)
		return true;
	if (end->attached && !end->deaf &&
	    link_readable(&w->link[1 - e], w->now))
		return true;
	if (end->attached && end->blocked &&
	    link_can_write(&w->link[e], end->blocked_by))
		return true;
	return w->mutate != MUTATE_LATE_TIMER && end_deadline(end) <= w->now;
}
