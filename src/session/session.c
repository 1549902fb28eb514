/* SPDX-License-Identifier: MIT */
/* session.c - birth, events, time and figures of a session */
#include <string.h>

#include "session/internal.h"

int vmc_session_init(struct vmc_session **ret, void *mem, size_t size,
		     const struct vmc_session_config *cfg)
{
	struct vmc_session *s = mem;
	size_t need = vmc_session_size(cfg);

	if (!need || size < need || (uintptr_t)mem % 64)
		return VMC_ERR_INVAL;
	memset(s, 0, sizeof(*s));
	s->build = session_build();
	s->cfg = *cfg;
	layout_compute(&s->at, cfg);
	memset(slot_at(s, 0), 0, cfg->max_streams * sizeof(struct slot));
	memset(session_at(s, s->at.hash), 0xff,
	       s->at.n_hash * sizeof(uint16_t));
	memset(name_local(s, 0), 0, cfg->max_names * sizeof(struct name_entry));
	memset(name_peer(s, 0), 0, cfg->max_names * sizeof(struct name_entry));
	link_init(session_at(s, s->at.ctl), cfg->max_streams);
	link_init(session_at(s, s->at.evl), cfg->max_streams);
	list_init(&s->free_slots);
	list_init(&s->ctl);
	list_init(&s->evl);
	for (uint32_t i = 0; i < cfg->max_streams; i++)
		list_append(session_at(s, s->at.ctl), &s->free_slots,
			    (uint16_t)i);
	sched_init(session_sched(s), cfg->max_streams, cfg->max_frame);
	memset(credit_account(s, 0), 0,
	       cfg->max_streams * sizeof(struct account));
	pool_init(s);
	s->pool_granted = cfg->max_streams * cfg->initial_window;
	s->max_frame = cfg->max_frame;
	s->pull_slot = NIL;
	s->next_id = cfg->role == VMC_ROLE_HOST ? 2 : 1;
	s->resync_at = s->hello_due = s->down_since = NEVER;
	s->partial_since = s->ack_due = s->pong_due = NEVER;
	bucket_init(&s->resync_bucket, RESYNC_BURST, 0);
	bucket_init(&s->pong_bucket, PONG_BURST, 0);
	bucket_init(&s->control_bucket, cfg->control_per_s, 0);
	for (uint32_t i = 0; i < OPEN_BUCKETS; i++)
		bucket_init(&s->open_buckets[i], cfg->opens_per_s, 0);
	*ret = s;
	return 0;
}

void vmc_session_bye(struct vmc_session *s, unsigned int reason, uint64_t now)
{
	if (s->state == VMC_SESSION_UP) {
		s->want_bye = true;
		s->bye_reason = (uint16_t)reason;
		stage_rest(s);
	}
	session_down(s, reason, now);
	session_forget(s, reason);
	s->have_nonce = false;
	if (s->attached)
		s->state = VMC_SESSION_REFUSED;
	else
		s->state = VMC_SESSION_CLOSED;
}

/* ---- events -----------------------------------------------------------------
 */

static bool slot_event_next(struct vmc_session *s, struct vmc_event *ev)
{
	static const struct {
		uint8_t bit, type;
	} order[] = {
		{EVB_ACCEPTED, VMC_EV_ACCEPTED},
		{EVB_READABLE, VMC_EV_READABLE},
		{EVB_STOP, VMC_EV_STOP},
		{EVB_END, VMC_EV_END},
	};
	uint16_t n = s->evl.first;
	struct slot *sl = slot_at(s, n);
	size_t i = 0;

	/* Whoever clears bits may leave none. */
	while (i < 4 && !(sl->ev & order[i].bit))
		i++;
	ev->type = i < 4 ? (enum vmc_event_type)order[i].type : VMC_EV_NONE;
	ev->stream = slot_handle(s, sl);
	ev->cookie = sl->cookie;
	ev->reason = ev->type == VMC_EV_STOP ? sl->stop_reason : sl->end_reason;
	ev->flags = 0;
	ev->bytes_in = sl->rx_read;
	ev->bytes_out = sl->bytes_out;
	if (i < 4)
		sl->ev &= (uint8_t)~order[i].bit;
	if (!sl->ev) {
		list_remove(session_at(s, s->at.evl), &s->evl, n);
		slot_settle(s, sl);
	}
	return ev->type != VMC_EV_NONE;
}

/* Takes a flag of the session. */
static bool session_event(struct vmc_event *ev, bool *flag,
			  enum vmc_event_type type)
{
	if (!*flag)
		return false;
	*flag = false;
	ev->type = type;
	ev->stream = 0;
	ev->cookie = 0;
	ev->reason = VMC_REASON_OK;
	ev->flags = 0;
	return true;
}

static bool pending_event(struct vmc_session *s, struct vmc_event *ev)
{
	if (session_event(ev, &s->ev_down, VMC_EV_DOWN)) {
		ev->reason = s->down_reason;
		s->reported_up = false;
		return true;
	}
	while (!list_empty(&s->evl)) {
		if (slot_event_next(s, ev))
			return true;
	}
	if (s->names_purge && names_purge_next(s, ev))
		return true;
	if (session_event(ev, &s->ev_up, VMC_EV_UP)) {
		ev->resumed = s->up_resumed;
		s->reported_up = true;
		return true;
	}
	return session_event(ev, &s->ev_stalled, VMC_EV_STALLED) ||
	       session_event(ev, &s->ev_unstalled, VMC_EV_UNSTALLED) ||
	       session_event(ev, &s->ev_entropy, VMC_EV_NEED_ENTROPY);
}

bool vmc_session_next_event(struct vmc_session *s, struct vmc_event *ret,
			    uint64_t now)
{
	rx_settle(s);
	ret->type = VMC_EV_NONE;
	do {
		if (pending_event(s, ret))
			return true;
		if (!rx_step(s, ret, now))
			return false;
	} while (ret->type == VMC_EV_NONE);
	return true;
}

/* ---- time
 * --------------------------------------------------------------------- */

/* Something was built and is not acked. */
static bool waits_for_ack(const struct vmc_session *s)
{
	return s->state == VMC_SESSION_UP && !tx_is_idle(s);
}

static uint64_t stall_deadline(const struct vmc_session *s)
{
	if (!waits_for_ack(s))
		return NEVER;
	if (!s->stalled)
		return s->progress_at + s->cfg.stall_us;
	return s->want_ping ? NEVER : s->ping_at + s->ping_wait;
}

uint64_t vmc_session_deadline(const struct vmc_session *s)
{
	uint64_t t;

	if (s->asleep)
		return NEVER;
	t = handshake_deadline(s);
	if (!s->attached)
		return t;
	if (s->partial_since != NEVER)
		t = min_u64(t, s->partial_since + s->cfg.partial_us);
	if (s->state != VMC_SESSION_UP)
		return t;
	t = min_u64(t, stall_deadline(s));
	/* What waits for the link to take it carries the ack, too. */
	if (s->stage_kind != STAGE_NONE || s->u_send != s->u_tail)
		return t;
	if (!stage_is_full(s))
		t = min_u64(t, s->ack_due);
	return stage_takes_pong(s) ? min_u64(t, s->pong_due) : t;
}

void vmc_session_tick(struct vmc_session *s, uint64_t now)
{
	if (s->asleep)
		return;
	handshake_tick(s, now);
	if (!s->attached)
		return;
	if (s->partial_since != NEVER &&
	    now - s->partial_since >= s->cfg.partial_us)
		rx_partial_timeout(s, now);
	if (now < stall_deadline(s))
		return;
	if (!s->stalled) {
		s->stalled = true;
		s->ev_stalled = true;
		s->st.stalls++;
	}
	if (s->ping_at && now - s->ping_at < s->ping_wait)
		return;
	s->want_ping = true;
	s->ping_wait = min_u64(2 * s->ping_wait, PING_GAP_MAX);
}

/* ---- figures
 * -------------------------------------------------------------------- */

void vmc_session_get_stats(const struct vmc_session *s,
			   struct vmc_session_stats *ret)
{
	*ret = s->st;
	ret->state = s->state;
	ret->streams = s->n_streams;
	ret->names_local = s->n_names_local;
	ret->names_peer = s->n_names_peer;
	ret->inflight_bytes = s->inflight_bytes;
	ret->inflight_charge = tx_charge_total(s);
	ret->inflight_writes =
		s->u_tail - s->u_head + s->stage_sent - s->stage_proven;
	ret->pool_granted = s->pool_granted;
	ret->pool_used = s->chunks_used * s->at.chunk_size;
	ret->max_frame = s->max_frame;
	ret->version = s->state == VMC_SESSION_UP ? s->version : 0;
	ret->features = s->features;
	ret->peer_instance = s->peer_instance;
	memcpy(ret->session_id, s->session_id, sizeof(ret->session_id));
	ret->epoch = s->epoch;
	ret->attach_no = s->attach_no;
	ret->frozen = s->frozen;
}
