/* SPDX-License-Identifier: MIT */
/* oracle.c - what must be true, whatever happens */
#include "oracle.h"

#include <string.h>

#include "end.h"
#include "faults.h"

/* A stream that was quiet may go that far beyond the cap (protocol.md). */
#define FRESH_BYTES 4096u
/* Acks and the like are not acked themselves; that many may be in doubt. */
#define UNSEQUENCED_MAX 32u

/* ---- events ----------------------------------------------------------- */

bool oracle_jumped(const struct world *w, const struct conv *c)
{
	return w->causes[CAUSE_JUMP] > c->causes[CAUSE_JUMP];
}

/* What can have happened when a stream ends for @reason. */
static unsigned int causes_of(unsigned int reason)
{
	enum {
		RESTART = 1u << CAUSE_RESTART,
		BYE = 1u << CAUSE_BYE,
		GRACE = 1u << CAUSE_GRACE,
		JUMP = 1u << CAUSE_JUMP,
		STATELESS = 1u << CAUSE_STATELESS,
		REFUSED = 1u << CAUSE_REFUSED,
		NEW = RESTART | STATELESS | REFUSED,
	};

	switch (reason) {
	case VMC_REASON_ROLLBACK:
		return JUMP;
	case VMC_REASON_MIGRATED:
		/* The snapshot may have it still to say. */
		return STATELESS | JUMP;
	case VMC_REASON_CLONED:
		return REFUSED | JUMP;
	case VMC_REASON_DAEMON_LOST:
	case VMC_REASON_AGENT_LOST:
		/* The snapshot may know an older run of the other end. */
		return RESTART | JUMP;
	case VMC_REASON_SHUTDOWN:
		return BYE | JUMP;
	case VMC_REASON_SESSION_LOST:
		return NEW | BYE | GRACE | JUMP;
	default:
		return 0;
	}
}

static bool has_cause(const struct world *w, const struct conv *c,
		      unsigned int reason)
{
	unsigned int causes = causes_of(reason);

	for (unsigned int k = 0; k < CAUSE_NUM; k++)
		if ((causes >> k & 1) && w->causes[k] > c->causes[k])
			return true;
	return false;
}

/* Did anybody give a reason for this end? */
static bool is_excused(const struct world *w, const struct conv *c, int e,
		       unsigned int reason)
{
	if (reason == VMC_REASON_OK)
		return true;
	if (c->given_reason && reason == c->given_reason)
		return true;
	if (c->left_behind && reason == VMC_REASON_MIGRATED)
		return true;
	if (has_cause(w, c, reason))
		return true;
	if (e != c->opener || c->half[1 - e].state != HALF_NONE)
		return false;
	/*
	 * The peer never saw OPEN: refused by a limit of its engine, or cut
	 * off before it was in the session at all.
	 */
	return reason == VMC_REASON_LIMIT ||
	       (reason == VMC_REASON_SESSION_LOST && w->faults);
}

static void check_orderly(struct world *w, const struct conv *c, int e,
			  const struct vmc_event *ev)
{
	const struct half *me = &c->half[e], *peer = &c->half[1 - e];

	if (me->reset || me->stopped || me->peer_stops || peer->stopped)
		return;
	if (!me->fin || !peer->fin)
		world_fail(w, "conv %u: end %d: ok before both finished", c->id,
			   e);
	if (me->consumed != peer->pulled || ev->bytes_in != peer->pulled)
		world_fail(w, "conv %u: end %d: ok with %ju (%ju) of %ju bytes",
			   c->id, e, (uintmax_t)me->consumed,
			   (uintmax_t)ev->bytes_in, (uintmax_t)peer->pulled);
	if (ev->bytes_out != me->pulled)
		world_fail(w, "conv %u: end %d: ok, %ju of %ju bytes acked",
			   c->id, e, (uintmax_t)ev->bytes_out,
			   (uintmax_t)me->pulled);
}

static void check_end(struct world *w, int e, const struct vmc_event *ev)
{
	const struct conv *c = &w->convs[ev->cookie - 1];
	const struct half *me = &c->half[e], *peer = &c->half[1 - e];

	if (!is_excused(w, c, e, ev->reason))
		world_fail(w, "conv %u: end %d ended without cause: %s", c->id,
			   e, vmc_reason_name(ev->reason));
	if (oracle_jumped(w, c))
		return;
	if (ev->bytes_in > peer->pulled || ev->bytes_in < me->consumed)
		world_fail(w, "conv %u: end %d: END says %ju bytes in", c->id,
			   e, (uintmax_t)ev->bytes_in);
	if (ev->bytes_out > me->pulled)
		world_fail(w, "conv %u: end %d: END says %ju bytes out", c->id,
			   e, (uintmax_t)ev->bytes_out);
	if (ev->reason == VMC_REASON_OK)
		check_orderly(w, c, e, ev);
}

static void check_stream_event(struct world *w, int e,
			       const struct vmc_event *ev)
{
	const struct half *me;

	if (!ev->cookie || ev->cookie > w->n_convs) {
		world_fail(w, "end %d: event %d with cookie %ju", e,
			   (int)ev->type, (uintmax_t)ev->cookie);
		return;
	}
	me = &w->convs[ev->cookie - 1].half[e];
	if (me->handle != ev->stream || me->state == HALF_ENDED)
		world_fail(w, "conv %ju: end %d: event %d for a dead handle",
			   (uintmax_t)ev->cookie - 1, e, (int)ev->type);
	else if (ev->type == VMC_EV_END)
		check_end(w, e, ev);
}

static void check_up(struct world *w, int e, const struct vmc_event *ev)
{
	if (w->end[e].up)
		world_fail(w, "end %d: UP twice", e);
	if (ev->resumed)
		return;
	for (size_t i = 0; i < w->n_alive; i++) {
		const struct conv *c = &w->convs[w->alive[i]];

		if (c->half[e].state == HALF_OPEN ||
		    c->half[e].state == HALF_ASKED)
			world_fail(w, "conv %u: outlived the session on end %d",
				   c->id, e);
	}
}

static void check_down(struct world *w, int e, const struct vmc_event *ev)
{
	if (!w->end[e].up)
		world_fail(w, "end %d: DOWN (%s) twice", e,
			   vmc_reason_name(ev->reason));
}

void oracle_event(struct world *w, int e, const struct vmc_event *ev)
{
	static void (*const checks[VMC_EV_NUM])(struct world *, int,
						const struct vmc_event *) = {
		[VMC_EV_UP] = check_up,
		[VMC_EV_DOWN] = check_down,
		[VMC_EV_ACCEPTED] = check_stream_event,
		[VMC_EV_READABLE] = check_stream_event,
		[VMC_EV_STOP] = check_stream_event,
		[VMC_EV_END] = check_stream_event,
	};

	if (ev->type <= VMC_EV_NONE || ev->type >= VMC_EV_NUM)
		world_fail(w, "end %d: event %d", e, (int)ev->type);
	else if (checks[ev->type])
		checks[ev->type](w, e, ev);
}

/* ---- after every step ------------------------------------------------- */

static void check_gauges(struct world *w, int e)
{
	const struct vmc_session_config *cfg = &w->end[e].cfg;
	struct vmc_session_stats st;

	vmc_session_get_stats(w->end[e].s, &st);
	if (st.frozen && !w->end[e].frozen)
		world_fail(w, "end %d: frozen for ever", e);
	if (st.frozen && st.frames_in != w->end[e].frozen_at)
		world_fail(w, "end %d: takes frames while frozen", e);
	if (st.inflight_bytes > cfg->inflight_bytes + FRESH_BYTES ||
	    st.inflight_charge >
		    cfg->inflight_charge + UNSEQUENCED_MAX * link_charge(32) ||
	    st.inflight_writes > cfg->inflight_writes + UNSEQUENCED_MAX)
		world_fail(w, "end %d: in flight %u bytes %u charge %u writes",
			   e, st.inflight_bytes, st.inflight_charge,
			   st.inflight_writes);
	if (st.pool_granted > cfg->rx_pool)
		world_fail(w, "end %d: pool granted %u of %u", e,
			   st.pool_granted, cfg->rx_pool);
	if (st.streams > cfg->max_streams)
		world_fail(w, "end %d: %u streams", e, st.streams);
	if ((st.state == VMC_SESSION_UP) && !w->end[e].attached)
		world_fail(w, "end %d: up without a link", e);
}

static void check_port(struct world *w)
{
	const struct link *l = &w->link[VMC_ROLE_GUEST];

	if (l->charge_peak >= LINK_SOCKET_CHARGE ||
	    l->writes_peak >= LINK_SOCKET_WRITES)
		world_fail(w, "the port was throttled: charge %zu, %zu writes",
			   l->charge_peak, l->writes_peak);
}

static bool is_live(const struct half *h)
{
	return h->state == HALF_ASKED || h->state == HALF_OPEN;
}

bool oracle_is_ending(const struct world *w, const struct conv *c, int e)
{
	/* An illegal weight: a living stream minds that, a dead one itself. */
	return vmc_stream_accept(w->end[e].s, c->half[e].handle, 0, 0) ==
	       VMC_ERR_STATE;
}

static void check_half(struct world *w, const struct conv *c, int e)
{
	const struct half *me = &c->half[e], *peer = &c->half[1 - e];
	const struct vmc_session_config *cfg = &w->end[e].cfg;
	struct vmc_stream_info info;
	uint64_t out = peer->pulled - me->consumed;

	if (vmc_stream_get_info(w->end[e].s, me->handle, &info)) {
		world_fail(w, "conv %u: end %d lost its handle", c->id, e);
		return;
	}
	/* What a stopped stream discards counts as read. */
	if ((info.bytes_in != me->consumed && !me->stopped) ||
	    info.bytes_in < me->consumed || info.bytes_out != me->pulled)
		world_fail(w, "conv %u: end %d counts %ju in, %ju out", c->id,
			   e, (uintmax_t)info.bytes_in,
			   (uintmax_t)info.bytes_out);
	if (oracle_jumped(w, c))
		return;
	if (info.rx_queued > out && !me->stopped)
		world_fail(w, "conv %u: end %d has bytes that nobody sent",
			   c->id, e);
	if (me->stopped || !is_live(peer) || oracle_is_ending(w, c, e))
		return;
	if (world_mutates(w, MUTATE_CREDIT))
		out += VMC_MAX_WINDOW;
	if (out > cfg->max_window && out > cfg->initial_window)
		world_fail(w, "conv %u: end %d granted beyond its window: %ju",
			   c->id, e, (uintmax_t)out);
	if (out > (uint64_t)info.rx_window + info.rx_queued)
		world_fail(w, "conv %u: end %d gets %ju, granted %u", c->id, e,
			   (uintmax_t)out, info.rx_window);
}

static void check_convs(struct world *w)
{
	for (size_t i = 0; i < w->n_alive && !world_failed(w); i++) {
		const struct conv *c = &w->convs[w->alive[i]];

		for (int e = 0; e < 2; e++) {
			if (is_live(&c->half[e]))
				check_half(w, c, e);
			else if (c->half[e].state == HALF_NONE &&
				 !oracle_jumped(w, c) &&
				 c->half[1 - e].pulled >
					 w->end[e].cfg.initial_window)
				world_fail(w, "conv %u: sent %ju unasked",
					   c->id,
					   (uintmax_t)c->half[1 - e].pulled);
		}
	}
}

void oracle_step(struct world *w)
{
	w->steps++;
	for (int e = 0; e < 2 && !world_failed(w); e++) {
		const char *broken = vmc_session_check(w->end[e].s);

		if (broken)
			world_fail(w, "end %d: invariant: %s", e, broken);
		check_gauges(w, e);
	}
	check_port(w);
	check_convs(w);
}

/* ---- when all is quiet ------------------------------------------------ */

static void quiet_end(struct world *w, int e)
{
	struct vmc_session_stats st;

	vmc_session_get_stats(w->end[e].s, &st);
	if (st.state != VMC_SESSION_UP || !w->end[e].up)
		world_fail(w, "end %d: state %u in the calm", e, st.state);
	if (end_deadline(&w->end[e]) != SIM_NEVER)
		world_fail(w, "end %d: a timer runs though nothing waits", e);
	if (st.inflight_bytes || st.inflight_writes > UNSEQUENCED_MAX)
		world_fail(w, "end %d: %u bytes, %u writes never acked", e,
			   st.inflight_bytes, st.inflight_writes);
	if (st.streams > w->n_alive)
		world_fail(w, "end %d: %u streams, should be %zu", e,
			   st.streams, w->n_alive);
	if (!w->n_alive && st.pool_used)
		world_fail(w, "end %d: %u bytes of pool leaked", e,
			   st.pool_used);
}

/* The direction from end @from has nobody in its way. */
static bool must_be_done(const struct conv *c, int from)
{
	const struct half *tx = &c->half[from], *rx = &c->half[1 - from];

	return rx->reader != READER_NEVER && !rx->stopped && !tx->peer_stops;
}

/* All that @me sent is acked, so it is done; the peer has yet to read it. */
static bool waits_for_reader(const struct half *me, const struct half *peer)
{
	return me->state == HALF_ENDED && me->reason == VMC_REASON_OK &&
	       peer->reader == READER_NEVER;
}

static void note_half(struct world *w, const struct conv *c, int e)
{
	const struct half *h = &c->half[e];
	struct vmc_stream_info info = {0};

	vmc_stream_get_info(w->end[e].s, h->handle, &info);
	world_note(
		w,
		"  end %d: state %d reader %d pulled %ju/%ju ready %d fin %d "
		"consumed %ju end %d, stop %d/%d",
		e, (int)h->state, (int)h->reader, (uintmax_t)h->pulled,
		(uintmax_t)h->want, h->ready, h->fin, (uintmax_t)h->consumed,
		h->at_end, h->stopped, h->peer_stops);
	world_note(w, "    credit %u queued %u window %u fin tx %d rx %d",
		   info.tx_credit, info.rx_queued, info.rx_window,
		   info.tx_finished, info.rx_finished);
}

static void quiet_conv(struct world *w, const struct conv *c)
{
	bool held = false;

	for (int e = 0; e < 2; e++) {
		const struct half *me = &c->half[e], *peer = &c->half[1 - e];

		if (me->reader == READER_NEVER && is_live(me) && !me->stopped)
			held = true;
		else if (!is_live(me) && !waits_for_reader(me, peer))
			world_fail(w, "conv %u lives on end %d only", c->id,
				   1 - e);
		else if (is_live(me) && must_be_done(c, 1 - e) &&
			 (me->consumed != peer->want || !me->at_end))
			world_fail(w, "conv %u: end %d waits at %ju of %ju",
				   c->id, e, (uintmax_t)me->consumed,
				   (uintmax_t)peer->want);
	}
	if (!held || w->quit_readers)
		world_fail(w, "conv %u does not end", c->id);
	for (int e = 0; e < 2 && world_failed(w); e++)
		note_half(w, c, e);
}

static void quiet_names(struct world *w, int e)
{
	const struct names *me = &w->end[e].names;
	const struct names *peer = &w->end[1 - e].names;
	uint32_t flags, pos = 0, n = 0, known = 0, offered = 0;
	const char *name;

	for (unsigned int i = 0; i < SIM_NAMES; i++) {
		known += me->seen[i];
		offered += peer->mine[i];
		if (me->seen[i] && !peer->mine[i])
			world_fail(w, "end %d believes in %s", e,
				   world_name(i));
		if (me->seen[i] && peer->mine[i] &&
		    me->seen_flags[i] != peer->my_flags[i])
			world_fail(w, "end %d: wrong flags of %s", e,
				   world_name(i));
	}
	if (known != offered && offered <= w->end[e].cfg.max_names)
		world_fail(w, "end %d knows %u of %u names", e, known, offered);
	while (vmc_name_next(w->end[e].s, &pos, &name, &flags))
		n++;
	if (n != known)
		world_fail(w, "end %d lists %u names, told of %u", e, n, known);
}

/* Both directions of everything that ended in order were complete. */
static void quiet_ended(struct world *w, const struct conv *c)
{
	for (int e = 0; e < 2; e++) {
		const struct half *me = &c->half[e], *peer = &c->half[1 - e];

		if (me->state != HALF_ENDED || peer->state != HALF_ENDED)
			continue;
		if (me->rejected || me->restarted || peer->restarted ||
		    oracle_jumped(w, c))
			continue;
		if (me->reason || peer->reason || me->stopped ||
		    peer->peer_stops)
			continue;
		if (me->consumed != peer->pulled)
			world_fail(w, "conv %u ended ok with %ju of %ju bytes",
				   c->id, (uintmax_t)me->consumed,
				   (uintmax_t)peer->pulled);
	}
}

void oracle_quiet(struct world *w)
{
	for (int e = 0; e < 2; e++) {
		quiet_end(w, e);
		quiet_names(w, e);
	}
	for (size_t i = 0; i < w->n_alive && !world_failed(w); i++)
		quiet_conv(w, &w->convs[w->alive[i]]);
	for (size_t i = 0; i < w->n_convs; i++)
		quiet_ended(w, &w->convs[i]);
}
