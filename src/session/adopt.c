/* SPDX-License-Identifier: MIT */
/*
 * adopt.c - a session in memory that another process left (continuity.md, 5.3)
 *
 * That process was of this build and is dead; it died between two turns, or
 * nobody would ask. All the same: what would lead outside the block, or round
 * in circles, is looked for before anything follows it; then comes
 * vmc_session_check(), which may take that for granted.
 */
#include <string.h>

#include "base/hash.h"
#include "session/internal.h"

uint64_t session_build(void)
{
	static const uint32_t shape[] = {
		sizeof(struct vmc_session),
		sizeof(struct slot),
		sizeof(struct account),
		sizeof(struct name_entry),
		sizeof(struct frame_meta),
		sizeof(struct unit),
		sizeof(struct reject),
		offsetof(struct vmc_session, at),
		offsetof(struct vmc_session, session_id),
		offsetof(struct vmc_session, tx_first),
		offsetof(struct vmc_session, stage),
		offsetof(struct vmc_session, rx_next),
		offsetof(struct vmc_session, next_id),
		offsetof(struct vmc_session, st),
		offsetof(struct slot, cookie),
		offsetof(struct slot, name),
	};

	return hash64(shape, sizeof(shape));
}

/* ---- lists ----------------------------------------------------------------
 */

/* How many are on it; more than @n if it is not a list. */
static uint32_t list_count(const struct link *links, const struct list *l,
			   uint32_t n)
{
	uint16_t prev = LIST_NIL;
	uint32_t count = 0;

	for (uint16_t i = l->first; i != LIST_NIL; i = links[i].next) {
		if (i >= n || links[i].prev != prev || count == n)
			return n + 1;
		prev = i;
		count++;
	}
	return prev == l->last ? count : n + 1;
}

static uint32_t linked(const struct link *links, uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += list_has(links, (uint16_t)i);
	return count;
}

/* Free slots and those on the control list share their links. */
static bool lists_fit(const struct vmc_session *s)
{
	const struct link *ctl = session_at(s, s->at.ctl);
	const struct link *evl = session_at(s, s->at.evl);
	uint32_t n = s->cfg.max_streams;

	return list_count(ctl, &s->free_slots, n) +
			       list_count(ctl, &s->ctl, n) ==
		       linked(ctl, n) &&
	       list_count(ctl, &s->free_slots, n) == n - s->n_slots_used &&
	       list_count(evl, &s->evl, n) == linked(evl, n);
}

static bool hash_fits(const struct vmc_session *s)
{
	const uint16_t *heads = session_at(s, s->at.hash);
	uint32_t count = 0;

	for (uint32_t b = 0; b < s->at.n_hash; b++) {
		for (uint16_t i = heads[b]; i != NIL;
		     i = slot_at(s, i)->hash_next) {
			if (i >= s->cfg.max_streams ||
			    count++ == s->cfg.max_streams)
				return false;
		}
	}
	return count == s->n_streams;
}

/* Chunks from @c on, at most @n; more than @n if that leads nowhere. */
static uint32_t chunks_from(const struct vmc_session *s, uint16_t c, uint32_t n)
{
	uint32_t count = 0;

	for (; c != NIL; c = pool_next(s, c)) {
		if (c >= s->at.n_chunks || count == n)
			return n + 1;
		count++;
	}
	return count;
}

/* ---- tables ---------------------------------------------------------------
 */

static bool slots_fit(const struct vmc_session *s)
{
	uint32_t all = s->at.n_chunks, used = 0;

	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		const struct slot *sl = slot_at(s, i);

		if (!(sl->bits & SL_USED))
			continue;
		if (sl->name_len > VMC_NAME_MAX || sl->q_len > s->cfg.rx_pool ||
		    sl->q_off > s->at.chunk_size)
			return false;
		used += chunks_from(s, sl->q_first, all - used);
		if (used > all)
			return false;
	}
	return used == s->chunks_used &&
	       chunks_from(s, s->free_chunk, all) == all - used;
}

static bool frames_fit(const struct vmc_session *s)
{
	uint32_t room = s->at.ring_size;
	struct wire_header h;

	if (s->tx_next - s->tx_first > s->at.n_frames || s->ring_head > room ||
	    s->ring_tail > room)
		return false;
	for (uint64_t seq = s->tx_first; seq != s->tx_next; seq++) {
		const struct frame_meta *m = frame_at(s, seq);

		if (m->off > room || room - m->off < WIRE_HEADER ||
		    (m->slot != NIL && m->slot >= s->cfg.max_streams))
			return false;
		wire_peek_header(ring_at(s, m->off), &h);
		if (h.len > room - m->off - WIRE_HEADER ||
		    (m->len && m->len != h.len))
			return false;
	}
	return true;
}

static bool units_fit(const struct vmc_session *s)
{
	if (s->u_tail - s->u_head > s->at.n_units)
		return false;
	for (uint32_t i = s->u_head; i != s->u_tail; i++) {
		if (unit_at(s, i)->off > s->at.ring_size)
			return false;
	}
	return true;
}

static bool names_fit(const struct vmc_session *s)
{
	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		if (name_local(s, i)->len > VMC_NAME_MAX ||
		    name_peer(s, i)->len > VMC_NAME_MAX)
			return false;
	}
	return true;
}

static bool input_fits(const struct vmc_session *s)
{
	uint32_t size = s->at.input_size;

	return s->in_head <= s->in_tail && s->in_tail <= size &&
	       (!s->borrow_len ||
		(s->borrow_slot < s->cfg.max_streams && s->borrow_off <= size &&
		 s->borrow_len <= size - s->borrow_off));
}

static bool block_fits(const struct vmc_session *s)
{
	return s->max_frame >= VMC_MIN_FRAME &&
	       s->max_frame <= s->cfg.max_frame && lists_fit(s) &&
	       hash_fits(s) && slots_fit(s) && frames_fit(s) && units_fit(s) &&
	       names_fit(s) && input_fits(s) &&
	       s->reject_tail - s->reject_head <= s->at.n_rejects &&
	       sched_fits(session_sched(s), s->cfg.max_streams, s->max_frame);
}

/* ---- adopt ----------------------------------------------------------------
 */

/* Sizes and limits on which the block was built. */
static bool config_fits(const struct vmc_session_config *a,
			const struct vmc_session_config *b)
{
	return a->role == b->role && a->max_streams == b->max_streams &&
	       a->max_names == b->max_names && a->max_frame == b->max_frame &&
	       a->rx_pool == b->rx_pool && a->max_window == b->max_window &&
	       a->inflight_bytes == b->inflight_bytes &&
	       a->inflight_charge == b->inflight_charge &&
	       a->inflight_writes == b->inflight_writes;
}

/* The process that knew what was ready, and had been told of UP, is gone. */
static void forget_process(struct vmc_session *s, uint64_t now)
{
	vmc_session_detach(s, now);
	s->pull_slot = NIL;
	s->may_thaw = false;
	s->peer_stands = false;
	s->reported_up = false;
	s->ev_up = s->ev_down = s->ev_stalled = s->ev_unstalled = false;
	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		struct slot *sl = slot_at(s, i);

		if (!(sl->bits & SL_USED))
			continue;
		sl->bits &= (uint16_t)~SL_READY;
		slot_update_sched(s, sl);
	}
	session_raise_readable(s);
}

int vmc_session_adopt(struct vmc_session **ret, void *mem, size_t size,
		      const struct vmc_session_config *cfg, uint64_t now)
{
	struct vmc_session *s = mem;
	size_t need = vmc_session_size(cfg);
	struct layout at;
	uint32_t initial_window;
	uint64_t instance;

	if (!need || size < need || (uintptr_t)mem % 64)
		return VMC_ERR_BLOB;
	layout_compute(&at, cfg);
	if (s->build != session_build() || !config_fits(&s->cfg, cfg) ||
	    memcmp(&at, &s->at, sizeof(at)) != 0)
		return VMC_ERR_BLOB;
	if (!window_fits(cfg, s->cfg.initial_window) || !block_fits(s) ||
	    vmc_session_check(s))
		return VMC_ERR_BLOB;
	/* What the peer was told. */
	instance = s->cfg.instance;
	initial_window = s->cfg.initial_window;
	s->cfg = *cfg;
	s->cfg.instance = instance;
	s->cfg.initial_window = initial_window;
	forget_process(s, now);
	*ret = s;
	return 0;
}
