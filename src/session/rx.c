/* SPDX-License-Identifier: MIT */
/*
 * rx.c - bytes of the link become frames
 *
 * In state UP the input is frames, one after the other; what does not check
 * is a loss of synchronisation, never an error of the peer. In states SYNC
 * and REFUSED everything is skipped but HELLOs. A frame that checks and yet
 * breaks a rule is the peer's fault.
 */
#include <string.h>

#include "base/hash.h"
#include "session/internal.h"

static const struct frame_row rows[] = {
#define FRAME(name, type, flags, stream, min, max, handler) \
	{(type), (flags), (stream), (min), (max), (handler)},
#include "session/frames.def"
#undef FRAME
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* DATA first: it is nearly all there is. */
const struct frame_row *frame_row_of(uint8_t type)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		if (rows[i].type == type)
			return &rows[i];
	}
	return NULL;
}

void session_violation(struct vmc_session *s, unsigned int reason, uint64_t now)
{
	s->st.bad_frame++;
	vmc_session_bye(s, reason, now);
}

/* ---- the borrow ------------------------------------------------------------
 */

/* Bytes that were offered in place and not taken go to the pool. */
void rx_settle(struct vmc_session *s)
{
	struct slot *sl;

	if (!s->borrow_len)
		return;
	sl = slot_at(s, s->borrow_slot);
	pool_append(s, sl, input_at(s, s->borrow_off), s->borrow_len);
	s->borrow_len = 0;
}

void rx_clear(struct vmc_session *s)
{
	rx_settle(s);
	s->in_head = s->in_tail = 0;
	s->partial_since = NEVER;
	s->ack_frames = s->ack_bytes = 0;
	s->ack_due = NEVER;
}

bool events_pending(const struct vmc_session *s)
{
	return s->ev_down || s->ev_up || s->ev_stalled || s->ev_unstalled ||
	       s->ev_entropy || s->names_purge || !list_empty(&s->evl);
}

size_t vmc_session_input(struct vmc_session *s, uint8_t **ret_buf)
{
	uint32_t len = s->in_tail - s->in_head;

	if (!s->attached || s->asleep || events_pending(s))
		return 0;
	rx_settle(s);
	if (!len) {
		s->in_head = s->in_tail = 0;
	} else if (s->at.input_size - s->in_tail < s->cfg.max_frame) {
		memmove(input_at(s, 0), input_at(s, s->in_head), len);
		s->in_head = 0;
		s->in_tail = len;
	}
	*ret_buf = input_at(s, s->in_tail);
	return s->at.input_size - s->in_tail;
}

void vmc_session_input_done(struct vmc_session *s, size_t n, uint64_t now)
{
	if (!n || n > s->at.input_size - s->in_tail)
		return;
	s->in_tail += (uint32_t)n;
	/* As long as bytes come, a frame is not torn. */
	if (s->partial_since != NEVER)
		s->partial_since = now;
}

/* ---- scanning for HELLO
 * ------------------------------------------------------ */

/* True: something was consumed. */
static bool scan_step(struct vmc_session *s, uint64_t now)
{
	struct hello h;
	size_t len = 0;

	s->in_head += (uint32_t)wire_find_hello(input_at(s, s->in_head),
						s->in_tail - s->in_head);
	if (s->in_head == s->in_tail)
		return false;
	switch (wire_get_hello(input_at(s, s->in_head), s->in_tail - s->in_head,
			       &h, &len)) {
	case HELLO_OK:
		s->in_head += (uint32_t)len;
		on_hello(s, &h, now);
		return true;
	case HELLO_SHORT:
		return false;
	case HELLO_BAD:
	default:
		s->in_head++;
		return true;
	}
}

/* ---- frames
 * -------------------------------------------------------------------- */

static bool lost(struct vmc_session *s, uint64_t *counter, uint64_t now)
{
	(*counter)++;
	lose_sync(s, now);
	return true;
}

/* Every frame that is not payload costs a token; payload earns some. */
static bool control_allowed(struct vmc_session *s, const struct wire_header *h,
			    uint64_t now)
{
	uint32_t rate = s->cfg.control_per_s;

	if (h->type == WIRE_DATA && h->len) {
		s->control_bucket.level += CONTROL_REFUND * BUCKET_TOKEN;
		return true;
	}
	return bucket_take(&s->control_bucket, rate, rate, now);
}

static void count_for_ack(struct vmc_session *s, const struct wire_header *h,
			  uint64_t now)
{
	if (!s->ack_frames)
		s->ack_due = now + s->cfg.ack_delay_us;
	s->ack_frames++;
	s->ack_bytes += h->len;
}

static void dispatch(struct vmc_session *s, const struct rx_frame *f,
		     struct vmc_event *ev)
{
	const struct frame_row *row = frame_row_of(f->h.type);

	if (!control_allowed(s, &f->h, f->now)) {
		s->st.limit_control++;
		vmc_session_bye(s, VMC_REASON_LIMIT, f->now);
		return;
	}
	if (!row && (f->h.type & WIRE_IGNORABLE)) {
		s->st.unknown_ignored++;
		return;
	}
	if (!row || (f->h.flags & ~row->flags) || f->h.len < row->min ||
	    f->h.len > row->max || row->on_stream != (f->h.stream != 0)) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	row->handler(s, f, ev);
}

/* Sequenced frames come in order and without a gap, or sync is lost. */
static bool sequence_ok(struct vmc_session *s, const struct wire_header *h,
			uint64_t now)
{
	if (!wire_is_sequenced(h->type))
		return h->seq == 0;
	if (h->seq != (uint32_t)s->rx_next)
		return false;
	s->rx_next++;
	s->rx_digest = wire_digest(s->rx_digest, h);
	s->st.frames_in++;
	count_for_ack(s, h, now);
	return true;
}

/* No frame begins with 0: the peer begins anew, or says HELLO again. */
static bool zero_step(struct vmc_session *s, uint64_t now)
{
	struct hello h;
	size_t len = 0;

	switch (wire_get_hello(input_at(s, s->in_head), s->in_tail - s->in_head,
			       &h, &len)) {
	case HELLO_OK:
		s->in_head += (uint32_t)len;
		on_hello(s, &h, now);
		return true;
	case HELLO_SHORT:
		return false;
	case HELLO_BAD:
	default:
		lose_sync(s, now);
		return true;
	}
}

/* A header that is the peer's, of this attach and of our history. */
static bool get_header(const struct vmc_session *s, const uint8_t *p,
		       struct wire_header *ret)
{
	uint64_t digest;

	wire_peek_header(p, ret);
	if (!tx_digest_at(s, ret->ack, &digest))
		return false;
	if (wire_is_sequenced(ret->type))
		digest ^= s->rx_digest;
	return wire_get_header(p, s->rx_seed ^ digest, ret);
}

static bool frame_step(struct vmc_session *s, struct vmc_event *ev,
		       uint64_t now)
{
	const uint8_t *p = input_at(s, s->in_head);
	uint32_t len = s->in_tail - s->in_head;
	struct rx_frame f = {.payload = p + WIRE_HEADER, .now = now};

	if (len && *p == 0)
		return zero_step(s, now);
	if (len < WIRE_HEADER)
		return false;
	if (!get_header(s, p, &f.h)) {
		s->in_head++;
		return lost(s, &s->st.bad_header, now);
	}
	if (f.h.len > s->max_frame - WIRE_HEADER) {
		session_violation(s, VMC_REASON_PROTOCOL, now);
		return true;
	}
	if (len - WIRE_HEADER < f.h.len)
		return false;
	s->in_head += WIRE_HEADER + f.h.len;
	if (hash64(f.payload, f.h.len) != f.h.hash)
		return lost(s, &s->st.bad_payload, now);
	if (!tx_acked(s, f.h.ack, now) || !sequence_ok(s, &f.h, now))
		return lost(s, &s->st.bad_sequence, now);
	explain_done(s);
	dispatch(s, &f, ev);
	return true;
}

bool rx_step(struct vmc_session *s, struct vmc_event *ev, uint64_t now)
{
	bool moved = false;

	if (s->asleep)
		return false;
	if (s->in_head != s->in_tail) {
		if (s->state == VMC_SESSION_UP)
			moved = frame_step(s, ev, now);
		else
			moved = scan_step(s, now);
	}
	if (s->in_head == s->in_tail)
		s->partial_since = NEVER;
	else if (moved || s->partial_since == NEVER)
		s->partial_since = now;
	return moved;
}

/* A torn frame did not complete: the rest was lost on the way. */
void rx_partial_timeout(struct vmc_session *s, uint64_t now)
{
	s->partial_since = NEVER;
	if (s->in_head != s->in_tail)
		s->in_head++;
	s->st.partial_timeout++;
	if (s->state == VMC_SESSION_UP)
		lose_sync(s, now);
}

/* ---- frames of the link
 * ---------------------------------------------------------- */

void on_ack(struct vmc_session *s, const struct rx_frame *f,
	    struct vmc_event *ev)
{
	(void)f;
	(void)ev;
	s->st.acks_in++;
}

void on_ping(struct vmc_session *s, const struct rx_frame *f,
	     struct vmc_event *ev)
{
	(void)ev;
	s->st.pings_in++;
	if (!wire_get_u64(f->payload, f->h.len, &s->pong_token))
		return;
	if (s->want_pong || s->pong_due != NEVER) {
		s->st.limit_pings++;
		return;
	}
	if (bucket_take(&s->pong_bucket, PONG_PER_S, PONG_BURST, f->now))
		s->want_pong = true;
	else
		s->pong_due = f->now + PONG_LATER;
}

void on_pong(struct vmc_session *s, const struct rx_frame *f,
	     struct vmc_event *ev)
{
	uint64_t token;

	(void)ev;
	if (!wire_get_u64(f->payload, f->h.len, &token) || !s->ping_out ||
	    token != s->ping_token)
		return;
	s->ping_out = false;
	/* All that went before the PING was read; what is not acked by now
	 * was lost on the way. */
	if (s->tx_first < s->ping_seq) {
		s->st.bad_sequence++;
		lose_sync(s, f->now);
		return;
	}
	if (s->stage_marked && (int32_t)(s->stage_mark - s->stage_ping) <= 0)
		s->stage_marked = false;
	if ((int32_t)(s->stage_ping - s->stage_proven) > 0)
		s->stage_proven = s->stage_ping;
}

void on_bye(struct vmc_session *s, const struct rx_frame *f,
	    struct vmc_event *ev)
{
	uint16_t reason;

	(void)ev;
	if (!wire_get_reason(f->payload, f->h.len, &reason)) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	session_down(s, reason, f->now);
	session_forget(s, reason);
	s->state = VMC_SESSION_REFUSED;
}
