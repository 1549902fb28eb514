/* SPDX-License-Identifier: MIT */
/* streams.c - what the application may do with a stream */
#include <string.h>

#include "session/internal.h"

int vmc_stream_open(struct vmc_session *s, vmc_stream *ret, const char *name,
		    uint32_t flags, const struct vmc_principal *who,
		    uint64_t owner, unsigned int weight, uint64_t now)
{
	size_t len = strnlen(name, VMC_NAME_MAX + 1);
	struct slot *sl;

	(void)now;
	if (!vmc_name_valid(name, len) || (flags & ~VMC_OPEN_MESSAGES) ||
	    who->kind > VMC_PRINCIPAL_GUEST || weight < 1 ||
	    weight > SCHED_WEIGHT_MAX)
		return VMC_ERR_INVAL;
	if (s->frozen)
		return VMC_ERR_STATE;
	/* Up is what the application was told of. */
	if (s->state != VMC_SESSION_UP || s->ev_up || s->ev_down)
		return VMC_ERR_NOT_UP;
	if (s->n_streams >= s->peer_streams || s->next_id > ID_MAX ||
	    !(sl = slot_new(s, s->next_id))) {
		s->st.limit_streams++;
		return VMC_ERR_LIMIT;
	}
	s->next_id += 2;
	if (flags & VMC_OPEN_MESSAGES)
		sl->bits |= SL_MESSAGES;
	sl->who = *who;
	sl->name_len = (uint8_t)len;
	memcpy(sl->name, name, len);
	sched_add(session_sched(s), slot_index(s, sl), owner, weight);
	slot_want(s, sl, WANT_OPEN);
	s->st.streams_opened++;
	*ret = slot_handle(s, sl);
	return 0;
}

/* The stream of @h if it still lives. */
static int find_live(const struct vmc_session *s, vmc_stream h,
		     struct slot **ret)
{
	struct slot *sl = slot_by_handle(s, h);

	if (!sl)
		return VMC_ERR_HANDLE;
	if (sl->bits & SL_ENDED)
		return VMC_ERR_STATE;
	*ret = sl;
	return 0;
}

/* ... and may be changed. */
static int find_mutable(const struct vmc_session *s, vmc_stream h,
			struct slot **ret)
{
	int r = find_live(s, h, ret);

	return !r && s->frozen ? VMC_ERR_STATE : r;
}

/* The same for a call that tells the peer @reason. */
static int find_live_for(const struct vmc_session *s, vmc_stream h,
			 unsigned int reason, struct slot **ret)
{
	int r = find_mutable(s, h, ret);

	return !r && reason > UINT16_MAX ? VMC_ERR_INVAL : r;
}

int vmc_stream_accept(struct vmc_session *s, vmc_stream h, uint64_t owner,
		      unsigned int weight)
{
	struct slot *sl;
	int r = find_mutable(s, h, &sl);

	if (r)
		return r;
	if (weight < 1 || weight > SCHED_WEIGHT_MAX)
		return VMC_ERR_INVAL;
	if ((sl->bits & (SL_PEER | SL_ACCEPTED)) != SL_PEER)
		return VMC_ERR_STATE;
	sl->bits |= SL_ACCEPTED;
	s->n_unanswered--;
	sched_add(session_sched(s), slot_index(s, sl), owner, weight);
	/* What came before it had an owner. */
	credit_waits(s, sl, sl->q_len);
	slot_want(s, sl, WANT_ACCEPT);
	if (sl->bits & SL_TX_END)
		slot_want(s, sl, WANT_FIN);
	slot_update_sched(s, sl);
	s->st.streams_accepted++;
	if (sl->q_len || (sl->bits & SL_RX_FIN))
		slot_event(s, sl, EVB_READABLE);
	return 0;
}

int vmc_stream_reject(struct vmc_session *s, vmc_stream h, unsigned int reason)
{
	struct slot *sl;
	int r = find_live_for(s, h, reason, &sl);

	if (r)
		return r;
	if ((sl->bits & (SL_PEER | SL_ACCEPTED)) != SL_PEER)
		return VMC_ERR_STATE;
	slot_end(s, sl, reason);
	control_reject(s, sl->id, reason);
	sl->ev = 0;
	list_remove(session_at(s, s->at.evl), &s->evl, slot_index(s, sl));
	slot_settle(s, sl);
	return 0;
}

int vmc_stream_set_cookie(struct vmc_session *s, vmc_stream h, uint64_t cookie)
{
	struct slot *sl = slot_by_handle(s, h);

	if (!sl)
		return VMC_ERR_HANDLE;
	sl->cookie = cookie;
	return 0;
}

static bool has_borrow(const struct vmc_session *s, const struct slot *sl)
{
	return s->borrow_len && s->borrow_slot == slot_index(s, sl);
}

long vmc_stream_peek(struct vmc_session *s, vmc_stream h, struct iovec *ret_iov,
		     int n_iov)
{
	struct slot *sl = slot_by_handle(s, h);
	uint32_t off, left, size = s->at.chunk_size;
	long total = 0;
	uint16_t c;

	if (!sl)
		return VMC_ERR_HANDLE;
	if (s->frozen)
		return VMC_ERR_STATE;
	if (n_iov < 1)
		return 0;
	if (has_borrow(s, sl)) {
		*ret_iov = (struct iovec){input_at(s, s->borrow_off),
					  s->borrow_len};
		return (long)s->borrow_len;
	}
	off = sl->q_off;
	left = sl->q_len;
	for (c = sl->q_first; left && n_iov; n_iov--, ret_iov++) {
		uint32_t some = min_u32(left, size - off);

		*ret_iov = (struct iovec){pool_chunk(s, c) + off, some};
		total += some;
		left -= some;
		off = 0;
		c = pool_next(s, c);
	}
	return total;
}

int vmc_stream_consume(struct vmc_session *s, vmc_stream h, size_t n)
{
	struct slot *sl;
	int r = find_mutable(s, h, &sl);

	if (r)
		return r;
	if (has_borrow(s, sl)) {
		if (n > s->borrow_len)
			return VMC_ERR_INVAL;
		s->borrow_off += (uint32_t)n;
		s->borrow_len -= (uint32_t)n;
	} else {
		if (n > sl->q_len)
			return VMC_ERR_INVAL;
		pool_drop(s, sl, (uint32_t)n);
	}
	credit_consumed(s, sl, (uint32_t)n);
	slot_check_end(s, sl);
	return 0;
}

bool vmc_stream_at_end(const struct vmc_session *s, vmc_stream h)
{
	const struct slot *sl = slot_by_handle(s, h);

	/* Bytes that an abort dropped were not consumed. */
	return sl && (sl->bits & SL_RX_FIN) && sl->rx_read == sl->rx_off;
}

int vmc_stream_ready(struct vmc_session *s, vmc_stream h)
{
	struct slot *sl;
	int r = find_live(s, h, &sl);

	if (r)
		return r;
	if (sl->bits & SL_TX_END)
		return VMC_ERR_STATE;
	sl->bits |= SL_READY;
	slot_update_sched(s, sl);
	return 0;
}

/* Our side is over: FIN when there is room, but never before ACCEPT. */
static void finish(struct vmc_session *s, struct slot *sl)
{
	sl->bits |= SL_TX_END;
	sl->bits &= (uint16_t)~SL_READY;
	slot_update_sched(s, sl);
	if (!(sl->bits & SL_TX_FIN) &&
	    (sl->bits & (SL_PEER | SL_ACCEPTED)) != SL_PEER)
		slot_want(s, sl, WANT_FIN);
}

int vmc_stream_finish(struct vmc_session *s, vmc_stream h)
{
	struct slot *sl;
	int r = find_mutable(s, h, &sl);

	if (r)
		return r;
	if ((sl->bits & SL_TX_END) ||
	    (sl->bits & (SL_PEER | SL_ACCEPTED)) == SL_PEER)
		return VMC_ERR_STATE;
	finish(s, sl);
	return 0;
}

int vmc_stream_stop(struct vmc_session *s, vmc_stream h, unsigned int reason)
{
	struct slot *sl;
	int r = find_live_for(s, h, reason, &sl);

	if (r)
		return r;
	if (sl->bits & SL_RX_STOP)
		return VMC_ERR_STATE;
	sl->bits |= SL_RX_STOP;
	sl->tx_reason = (uint16_t)reason;
	sl->ev &= (uint8_t)~EVB_READABLE;
	if (has_borrow(s, sl)) {
		credit_consumed(s, sl, s->borrow_len);
		s->borrow_len = 0;
	}
	credit_consumed(s, sl, sl->q_len);
	pool_drop(s, sl, sl->q_len);
	if (!(sl->bits & SL_RX_FIN))
		slot_want(s, sl, WANT_STOP);
	slot_check_end(s, sl);
	return 0;
}

int vmc_stream_reset(struct vmc_session *s, vmc_stream h, unsigned int reason)
{
	struct slot *sl;
	int r = find_live_for(s, h, reason, &sl);

	if (r)
		return r;
	slot_abort(s, sl, reason);
	return 0;
}

int vmc_stream_get_info(const struct vmc_session *s, vmc_stream h,
			struct vmc_stream_info *ret)
{
	const struct slot *sl = slot_by_handle(s, h);

	if (!sl)
		return VMC_ERR_HANDLE;
	*ret = (struct vmc_stream_info){
		.id = sl->id,
		.opened_by_peer = sl->bits & SL_PEER,
		.accepted = sl->bits & SL_ACCEPTED,
		.tx_finished = sl->bits & SL_TX_END,
		.rx_finished = sl->bits & SL_RX_FIN,
		.bytes_in = sl->rx_read,
		.bytes_out = sl->tx_off,
		.tx_credit = (uint32_t)min_u64(sl->tx_limit - sl->tx_off,
					       UINT32_MAX),
		.rx_queued =
			sl->q_len + (has_borrow(s, sl) ? s->borrow_len : 0),
		.rx_window = (uint32_t)(sl->rx_limit - sl->rx_read),
	};
	return 0;
}

/* ---- frames of the peer ---------------------------------------------------
 */

bool stream_was_used(const struct vmc_session *s, uint32_t id)
{
	bool ours = (id & 1) == (s->next_id & 1);

	return ours ? id < s->next_id : id <= s->peer_last_id;
}

/* The living stream that a frame is for; ended ones are past and ignored. */
static struct slot *target(struct vmc_session *s, const struct rx_frame *f)
{
	struct slot *sl = slot_by_id(s, f->h.stream);

	if (!sl && !stream_was_used(s, f->h.stream))
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
	return sl;
}

/* The peer broke a rule of one stream; that stream is what it loses. */
static void stream_violation(struct vmc_session *s, struct slot *sl)
{
	s->st.bad_frame++;
	slot_abort(s, sl, VMC_REASON_PROTOCOL);
}

/* May this owner open one more this second? */
static bool open_allowed(struct vmc_session *s, const struct vmc_principal *who,
			 uint64_t now)
{
	uint32_t h = (who->uid ^ who->uid >> 16 ^ who->kind << 3) * 0x9e3779b1u;

	return bucket_take(&s->open_buckets[h >> 28], s->cfg.opens_per_s,
			   s->cfg.opens_per_s, now);
}

void on_open(struct vmc_session *s, const struct rx_frame *f,
	     struct vmc_event *ev)
{
	uint32_t id = f->h.stream;
	struct wire_open o;
	struct slot *sl;

	if (!wire_get_open(f->payload, f->h.len, &o) ||
	    (id & 1) == (s->next_id & 1) || id <= s->peer_last_id ||
	    id > ID_MAX ||
	    s->reject_tail - s->reject_head + s->n_unanswered >=
		    s->cfg.max_streams) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	s->peer_last_id = id;
	if (!open_allowed(s, &o.who, f->now)) {
		s->st.limit_opens++;
		control_reject(s, id, VMC_REASON_LIMIT);
		return;
	}
	/* The peer cannot take the whole table. */
	sl = s->n_peer_streams <
			     s->cfg.max_streams - s->cfg.max_streams / OWN_PART
		     ? slot_new(s, id)
		     : NULL;
	if (!sl) {
		s->st.limit_streams++;
		control_reject(s, id, VMC_REASON_LIMIT);
		return;
	}
	sl->bits |= SL_PEER;
	s->n_peer_streams++;
	s->n_unanswered++;
	if (o.flags & VMC_OPEN_MESSAGES)
		sl->bits |= SL_MESSAGES;
	ev->type = VMC_EV_OPEN;
	ev->stream = slot_handle(s, sl);
	ev->cookie = 0;
	ev->flags = o.flags;
	ev->principal = o.who;
	memcpy(ev->name, o.name, (size_t)o.name_len + 1);
}

void on_accept(struct vmc_session *s, const struct rx_frame *f,
	       struct vmc_event *ev)
{
	struct slot *sl = target(s, f);

	(void)ev;
	if (!sl)
		return;
	if (sl->bits & (SL_PEER | SL_ACCEPTED)) {
		stream_violation(s, sl);
		return;
	}
	sl->bits |= SL_ACCEPTED;
	slot_event(s, sl, EVB_ACCEPTED);
}

void on_reject(struct vmc_session *s, const struct rx_frame *f,
	       struct vmc_event *ev)
{
	struct slot *sl = target(s, f);
	uint16_t reason;

	(void)ev;
	if (!wire_get_reason(f->payload, f->h.len, &reason)) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	if (!sl)
		return;
	if (sl->bits & (SL_PEER | SL_ACCEPTED)) {
		stream_violation(s, sl);
		return;
	}
	slot_end(s, sl, reason);
}

/* Bytes of a living stream: borrowed if nothing waits before them. */
static void data_arrived(struct vmc_session *s, struct slot *sl,
			 const struct rx_frame *f)
{
	uint32_t n = f->h.len;

	sl->rx_off += n;
	s->st.bytes_in += n;
	if (sl->bits & SL_RX_STOP) {
		credit_consumed(s, sl, n);
		return;
	}
	if (!n)
		return;
	if (sl->q_len || (sl->bits & (SL_PEER | SL_ACCEPTED)) == SL_PEER) {
		pool_append(s, sl, f->payload, n);
		return;
	}
	s->borrow_slot = slot_index(s, sl);
	s->borrow_off = (uint32_t)(f->payload - input_at(s, 0));
	s->borrow_len = n;
	slot_event(s, sl, EVB_READABLE);
}

void on_data(struct vmc_session *s, const struct rx_frame *f,
	     struct vmc_event *ev)
{
	struct slot *sl = target(s, f);
	bool fin = f->h.flags & WIRE_FIN;

	(void)ev;
	if (!sl)
		return;
	if ((!f->h.len && !fin) || (sl->bits & SL_RX_FIN)) {
		stream_violation(s, sl);
		return;
	}
	if (f->h.len > sl->rx_limit - sl->rx_off) {
		s->st.limit_credit++;
		stream_violation(s, sl);
		return;
	}
	data_arrived(s, sl, f);
	if (!fin)
		return;
	sl->bits |= SL_RX_FIN;
	if (!sl->q_len && !(sl->bits & SL_RX_STOP) &&
	    (sl->bits & (SL_PEER | SL_ACCEPTED)) != SL_PEER)
		slot_event(s, sl, EVB_READABLE);
	slot_check_end(s, sl);
}

void on_credit(struct vmc_session *s, const struct rx_frame *f,
	       struct vmc_event *ev)
{
	struct slot *sl = target(s, f);
	uint64_t limit;

	(void)ev;
	if (!sl || !wire_get_u64(f->payload, f->h.len, &limit))
		return;
	/* Sequenced, so it can only grow; nobody may promise an overflow. */
	if (limit <= sl->tx_limit || limit - sl->tx_off > VMC_MAX_POOL) {
		stream_violation(s, sl);
		return;
	}
	sl->tx_limit = limit;
	slot_update_sched(s, sl);
}

void on_stop(struct vmc_session *s, const struct rx_frame *f,
	     struct vmc_event *ev)
{
	struct slot *sl = target(s, f);
	uint16_t reason;

	(void)ev;
	if (!wire_get_reason(f->payload, f->h.len, &reason)) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	if (!sl || (sl->bits & SL_TX_END))
		return;
	sl->stop_reason = reason;
	finish(s, sl);
	slot_event(s, sl, EVB_STOP);
}

void on_reset(struct vmc_session *s, const struct rx_frame *f,
	      struct vmc_event *ev)
{
	struct slot *sl = target(s, f);
	uint16_t reason;

	(void)ev;
	if (!wire_get_reason(f->payload, f->h.len, &reason)) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	if (sl)
		slot_end(s, sl, reason);
	else
		control_unreject(s, f->h.stream);
}
