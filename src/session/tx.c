/* SPDX-License-Identifier: MIT */
/*
 * tx.c - frames that are sent or to be sent, write units, what is in flight
 *
 * Sequenced frames lie in the ring from the first un-acked one on, in order.
 * Each belongs to a write unit, a contiguous run of whole frames of at most
 * max_frame bytes; the last unit is open (may grow) until output takes it.
 * A unit is charged what it costs in the socket between QEMU and the host
 * until all its frames are acked:
 *
 *	units   u_head ... u_send ... u_tail
 *	        written    to write
 *
 * Ack and check of a header are filled in when the unit is handed out.
 */
#include "session/internal.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"

/* Data of new units starts at cache lines. */
#define UNIT_ALIGN 64u

uint32_t tx_charge(uint32_t len)
{
	uint32_t size = 512;

	if (!len)
		return 0;
	if (len >= CHARGE_PAGE)
		return CHARGE_FIXED +
		       (len + CHARGE_PAGE - 1) / CHARGE_PAGE * CHARGE_PAGE;
	while (size < len + CHARGE_SMALL)
		size *= 2;
	return CHARGE_FIXED + size;
}

uint32_t tx_charge_total(const struct vmc_session *s)
{
	return s->inflight_charge +
	       (s->stage_sent - s->stage_proven) * STAGE_CHARGE;
}

static uint32_t writes_total(const struct vmc_session *s)
{
	return s->u_tail - s->u_head + s->stage_sent - s->stage_proven;
}

bool tx_is_idle(const struct vmc_session *s)
{
	return s->tx_first == s->tx_next;
}

/* Everything that was retained is gone: a new session begins. */
void tx_reset(struct vmc_session *s)
{
	s->tx_first = s->tx_sent = s->tx_next = s->requeued_to = 0;
	s->ring_head = s->ring_tail = 0;
	s->u_head = s->u_send = s->u_tail = 0;
	s->unit_done = 0;
	s->inflight_bytes = s->inflight_charge = 0;
	s->stalled = false;
}

/* The unit that may still grow, or NULL. */
static struct unit *open_unit(const struct vmc_session *s)
{
	uint32_t waiting = s->u_tail - s->u_send;

	if (!waiting || (waiting == 1 && s->unit_done))
		return NULL;
	return unit_at(s, s->u_tail - 1);
}

/* Contiguous room in the ring at @off, with the tail there. */
static uint32_t ring_room(const struct vmc_session *s, uint32_t off)
{
	if (tx_is_idle(s) || s->ring_tail > s->ring_head)
		return off < s->at.ring_size ? s->at.ring_size - off : 0;
	/* One byte stays free: a full ring looks unlike an empty one. */
	return s->ring_head > off ? s->ring_head - off - 1 : 0;
}

/* Where a new unit with @need bytes starts; false: no room. */
static bool ring_place(const struct vmc_session *s, uint32_t need,
		       uint32_t *ret)
{
	uint32_t off = (s->ring_tail + UNIT_ALIGN - 1) & ~(UNIT_ALIGN - 1);

	if (tx_is_idle(s))
		off = 0;
	if (ring_room(s, off) >= need) {
		*ret = off;
		return true;
	}
	if (tx_is_idle(s) || s->ring_tail <= s->ring_head ||
	    s->ring_head <= need)
		return false;
	*ret = 0;
	return true;
}

/* A place for a frame, and what it adds to the account. */
struct place {
	uint32_t off;
	uint32_t charge;
	bool append; /* to the open unit */
};

/*
 * Where would a frame with @len bytes of payload go? Data leaves something
 * of each limit to control.
 */
static bool tx_place(const struct vmc_session *s, uint32_t len, bool data,
		     struct place *ret)
{
	uint32_t need = WIRE_HEADER + len;
	uint32_t charge_cap = s->cfg.inflight_charge;
	uint32_t writes_cap = s->cfg.inflight_writes;
	uint64_t frames_cap = s->at.n_frames;
	const struct unit *u = open_unit(s);

	if (data) {
		charge_cap -= CONTROL_CHARGE;
		writes_cap -= CONTROL_WRITES;
		frames_cap -= CONTROL_FRAMES;
	}
	if (s->tx_next - s->tx_first >= frames_cap)
		return false;
	ret->append = u && u->len + need <= s->max_frame &&
		      ring_room(s, s->ring_tail) >= need;
	if (ret->append) {
		ret->off = s->ring_tail;
		ret->charge = tx_charge(u->len + need) - u->charge;
	} else {
		if (writes_total(s) >= writes_cap ||
		    !ring_place(s, need, &ret->off))
			return false;
		ret->charge = tx_charge(need);
	}
	return tx_charge_total(s) + ret->charge <= charge_cap;
}

/* The frame at @off, header and payload in place, becomes part of a unit. */
static void tx_commit(struct vmc_session *s, uint32_t off, bool append,
		      const struct wire_header *h, uint16_t fin_slot)
{
	struct frame_meta *m = frame_at(s, s->tx_next);
	uint32_t need = WIRE_HEADER + h->len;
	struct unit *u;

	wire_put_header(ring_at(s, off), h);
	s->tx_digest = wire_digest(s->tx_digest, h);
	if (tx_is_idle(s))
		s->ring_head = off;
	*m = (struct frame_meta){
		.digest = s->tx_digest,
		.off = off,
		.slot = fin_slot,
		.len = h->type == WIRE_DATA ? h->len : 0,
	};
	if (!append) {
		u = unit_at(s, s->u_tail++);
		*u = (struct unit){.off = off};
	} else {
		u = unit_at(s, s->u_tail - 1);
	}
	s->tx_next++;
	u->end = s->tx_next;
	u->len += need;
	u->bytes += m->len;
	s->inflight_bytes += m->len;
	s->inflight_charge -= u->charge;
	u->charge = tx_charge(u->len);
	s->inflight_charge += u->charge;
	s->ring_tail = off + need;
	s->st.frames_out++;
}

bool tx_control(struct vmc_session *s, uint8_t type, uint8_t flags,
		uint32_t stream, const uint8_t *payload, size_t len,
		uint16_t fin_slot, uint64_t now)
{
	struct place at;
	struct wire_header h = {
		.type = type,
		.flags = flags,
		.len = (uint16_t)len,
		.stream = stream,
		.seq = (uint32_t)s->tx_next,
	};

	if (!tx_place(s, (uint32_t)len, false, &at))
		return false;
	if (tx_is_idle(s))
		s->progress_at = now;
	if (len)
		memcpy(ring_at(s, at.off) + WIRE_HEADER, payload, len);
	h.hash = hash64(payload, len);
	tx_commit(s, at.off, at.append, &h, fin_slot);
	return true;
}

/* ---- pull --------------------------------------------------------------- */

/* What the stream may put into its next frame; 0: not now. */
static uint32_t pull_len(const struct vmc_session *s, const struct slot *sl,
			 bool fresh)
{
	uint32_t cap = s->cfg.inflight_bytes;
	uint32_t want = min_u32(s->max_frame - WIRE_HEADER, cap);

	want = (uint32_t)min_u64(want, sl->tx_limit - sl->tx_off);
	if (s->inflight_bytes + want <= cap)
		return want;
	if (!fresh || sl->bulk)
		return 0;
	want = min_u32(want, FRESH_BYTES);
	return s->inflight_bytes + want <= cap + FRESH_BYTES ? want : 0;
}

/* Fill the open unit up rather than begin a new one, if it is worth it. */
static uint32_t pull_fit(const struct vmc_session *s, uint32_t len)
{
	const struct unit *u = open_unit(s);
	uint32_t room;

	if (!u || u->len + WIRE_HEADER >= s->max_frame)
		return len;
	room = s->max_frame - u->len - WIRE_HEADER;
	if (len > room && room >= FILL_MIN &&
	    ring_room(s, s->ring_tail) >= room + WIRE_HEADER)
		return room;
	return len;
}

/*
 * Whose turn it is, and how much it may send; 0: nobody may. A bulk stream that
 * ran empty for a moment is fresh again, but no sparse one: beyond the cap it
 * would go on in small pieces, and in the way of those the room is there for.
 */
static uint32_t pull_pick(struct vmc_session *s, uint16_t *ret)
{
	struct sched *sc = session_sched(s);
	uint16_t i;

	while ((i = sched_pick(sc)) != SCHED_NONE) {
		const struct slot *sl = slot_at(s, i);
		bool fresh = sched_is_fresh(sc, i);
		uint32_t len = pull_len(s, sl, fresh);

		*ret = i;
		/* OPEN and ACCEPT go first; there was no room for them. */
		if (sl->want & (WANT_OPEN | WANT_ACCEPT))
			return 0;
		if (len || !fresh || !sl->bulk)
			return len;
		sched_give_way(sc, i);
	}
	return 0;
}

bool vmc_session_pull(struct vmc_session *s, struct vmc_pull *ret, uint64_t now)
{
	struct place at;
	struct slot *sl;
	uint32_t len;
	uint16_t i;

	if (s->state != VMC_SESSION_UP || s->frozen)
		return false;
	control_build(s, now);
	len = pull_pick(s, &i);
	if (!len)
		return false;
	sl = slot_at(s, i);
	len = pull_fit(s, len);
	if (!tx_place(s, len, true, &at))
		return false;
	s->pull_slot = i;
	s->pull_off = at.off;
	s->pull_append = at.append;
	s->pull_len = len;
	*ret = (struct vmc_pull){
		.stream = slot_handle(s, sl),
		.cookie = sl->cookie,
		.buf = ring_at(s, at.off) + WIRE_HEADER,
		.len = len,
	};
	return true;
}

static void pull_commit(struct vmc_session *s, struct slot *sl, uint32_t n,
			bool fin, uint64_t now)
{
	struct wire_header h = {
		.type = WIRE_DATA,
		.flags = fin ? WIRE_FIN : 0,
		.len = (uint16_t)n,
		.stream = sl->id,
		.seq = (uint32_t)s->tx_next,
		.hash = hash64(ring_at(s, s->pull_off) + WIRE_HEADER, n),
	};

	if (tx_is_idle(s))
		s->progress_at = now;
	if (fin) {
		sl->bits |= SL_TX_END | SL_TX_FIN;
		sl->fin_seq = s->tx_next;
		sl->want &= (uint8_t)~WANT_FIN;
	}
	if (n)
		sl->bulk = n >= FRESH_BYTES;
	sl->tx_off += n;
	s->st.bytes_out += n;
	tx_commit(s, s->pull_off, s->pull_append, &h,
		  fin ? s->pull_slot : (uint16_t)NIL);
	sched_charge(session_sched(s), s->pull_slot, n + SCHED_FRAME_COST);
}

void vmc_session_pull_done(struct vmc_session *s, size_t n, unsigned int flags,
			   uint64_t now)
{
	struct slot *sl;

	if (s->pull_slot == NIL)
		return;
	assert(n <= s->pull_len);
	sl = slot_at(s, s->pull_slot);
	if (!(flags & VMC_PULL_MORE) || (flags & VMC_PULL_FINISH))
		sl->bits &= (uint16_t)~SL_READY;
	if (n || (flags & VMC_PULL_FINISH))
		pull_commit(s, sl, (uint32_t)n, flags & VMC_PULL_FINISH, now);
	s->pull_slot = NIL;
	slot_update_sched(s, sl);
}

/* ---- output -------------------------------------------------------------- */

bool tx_digest_at(const struct vmc_session *s, uint32_t ack, uint64_t *ret)
{
	uint32_t n = ack - (uint32_t)s->tx_first;

	if (n > s->tx_sent - s->tx_first)
		return false;
	*ret = n ? frame_at(s, s->tx_first + n - 1)->digest
		 : s->tx_digest_first;
	return true;
}

/* Frames of the unit get the ack and the check of this attach. */
static void unit_stamp(struct vmc_session *s, const struct unit *u)
{
	uint32_t ack = (uint32_t)s->rx_next;
	uint32_t at = u->off;
	uint64_t seq = s->tx_sent;
	uint64_t before = seq == s->tx_first ? s->tx_digest_first
					     : frame_at(s, seq - 1)->digest;

	while (seq < u->end) {
		uint8_t *p = ring_at(s, at);

		wire_stamp(p, ack, s->tx_seed ^ s->rx_digest ^ before);
		before = frame_at(s, seq)->digest;
		at += WIRE_HEADER + ((uint32_t)p[2] | (uint32_t)p[3] << 8);
		seq++;
	}
	s->ack_frames = s->ack_bytes = 0;
	s->ack_due = NEVER;
}

size_t vmc_session_output(struct vmc_session *s, const uint8_t **ret_buf,
			  uint64_t now)
{
	static const uint8_t zeros[VMC_MAX_FRAME];
	const struct unit *u;

	if (!s->attached || s->asleep)
		return 0;
	if (s->stage_kind == STAGE_NONE && !s->unit_done &&
	    !stage_fill(s, now) && s->state == VMC_SESSION_UP) {
		control_build(s, now);
		if (s->u_send == s->u_tail)
			stage_fill_ack(s, now);
	}
	if (s->stage_kind != STAGE_NONE) {
		const uint8_t *base = s->stage;

		if (s->stage_kind == STAGE_PREAMBLE)
			base = zeros;
		else if (s->stage_kind == STAGE_REST)
			base = ring_at(s, s->stage_ring);
		*ret_buf = base + s->stage_off;
		return s->stage_len - s->stage_off;
	}
	if (s->state != VMC_SESSION_UP || s->u_send == s->u_tail)
		return 0;
	u = unit_at(s, s->u_send);
	if (!s->unit_done)
		unit_stamp(s, u);
	*ret_buf = ring_at(s, u->off) + s->unit_done;
	return u->len - s->unit_done;
}

static void stage_done(struct vmc_session *s, uint32_t n)
{
	s->stage_off += min_u32(n, s->stage_len - s->stage_off);
	if (s->state == VMC_SESSION_UP)
		s->dirty_pipe = true;
	if (s->stage_off < s->stage_len)
		return;
	s->stage_kind = STAGE_NONE;
	s->st.writes_out++;
}

void vmc_session_output_done(struct vmc_session *s, size_t n, uint64_t now)
{
	const struct unit *u;
	uint32_t end;

	(void)now;
	if (!n)
		return;
	if (s->stage_kind != STAGE_NONE) {
		stage_done(s, (uint32_t)n);
		return;
	}
	if (s->u_send == s->u_tail)
		return;
	u = unit_at(s, s->u_send);
	assert(n <= u->len - s->unit_done);
	s->dirty_pipe = true;
	s->unit_done += (uint32_t)n;
	/* The peer may ack what it got whole, though the unit is not out. */
	while (s->tx_sent < u->end) {
		end = s->tx_sent + 1 < u->end ? frame_at(s, s->tx_sent + 1)->off
					      : u->off + u->len;
		if (end - u->off > s->unit_done)
			break;
		s->tx_sent++;
	}
	if (s->unit_done < u->len)
		return;
	s->unit_done = 0;
	s->u_send++;
	s->st.writes_out++;
}

/* ---- acks ---------------------------------------------------------------- */

static void frame_acked(struct vmc_session *s, uint64_t seq)
{
	const struct frame_meta *m = frame_at(s, seq);
	struct slot *sl;

	s->tx_digest_first = m->digest;
	if (m->slot == NIL)
		return;
	sl = slot_at(s, m->slot);
	if (!(sl->bits & SL_TX_FIN) || sl->fin_seq != seq ||
	    (sl->bits & SL_ENDED))
		return;
	sl->bits |= SL_TX_ACKED;
	slot_check_end(s, sl);
}

/* Everything before frame number @to has arrived. */
void tx_acked_to(struct vmc_session *s, uint64_t to)
{
	const struct unit *u;

	while (s->tx_first < to)
		frame_acked(s, s->tx_first++);
	while (s->u_head != s->u_send &&
	       (u = unit_at(s, s->u_head))->end <= to) {
		s->inflight_bytes -= u->bytes;
		s->inflight_charge -= u->charge;
		s->u_head++;
	}
	if (tx_is_idle(s))
		s->ring_head = s->ring_tail = 0;
	else
		s->ring_head = frame_at(s, s->tx_first)->off;
}

bool tx_acked(struct vmc_session *s, uint32_t ack, uint64_t now)
{
	uint32_t n = ack - (uint32_t)s->tx_first;

	if (!n)
		return true;
	if (n > s->tx_sent - s->tx_first)
		return false;
	/* Acks of what we sent are no flood (rx.c). */
	s->control_bucket.level += CONTROL_REFUND * BUCKET_TOKEN * n;
	tx_acked_to(s, s->tx_first + n);
	stage_prove(s, s->tx_first);
	s->progress_at = now;
	s->ping_wait = PING_GAP;
	if (s->stalled) {
		s->stalled = false;
		if (s->ev_stalled)
			s->ev_stalled = false;
		else
			s->ev_unstalled = true;
	}
	return true;
}

/*
 * Units are formed anew from the frames that are left: acked frames may have
 * split one, and max_frame may be smaller than it was.
 */
void tx_requeue(struct vmc_session *s, uint64_t now)
{
	uint64_t seq;

	s->u_head = s->u_send = s->u_tail = 0;
	s->unit_done = 0;
	s->inflight_bytes = s->inflight_charge = 0;
	s->tx_sent = s->tx_first;
	s->requeued_to = s->tx_next;
	s->progress_at = now;
	s->stalled = false;
	for (seq = s->tx_first; seq < s->tx_next; seq++) {
		const struct frame_meta *m = frame_at(s, seq);
		const uint8_t *p = ring_at(s, m->off);
		uint32_t len =
			WIRE_HEADER + ((uint32_t)p[2] | (uint32_t)p[3] << 8);
		struct unit *u = open_unit(s);

		if (!u || u->off + u->len != m->off ||
		    u->len + len > s->max_frame) {
			u = unit_at(s, s->u_tail++);
			*u = (struct unit){.off = m->off};
		}
		u->end = seq + 1;
		u->len += len;
		u->bytes += m->len;
		s->inflight_bytes += m->len;
		s->inflight_charge -= u->charge;
		u->charge = tx_charge(u->len);
		s->inflight_charge += u->charge;
		s->st.retransmitted++;
	}
}

uint32_t tx_unacked_of(const struct vmc_session *s, uint32_t stream)
{
	uint32_t n = 0;

	for (uint64_t seq = s->tx_first; seq < s->tx_next; seq++) {
		const struct frame_meta *m = frame_at(s, seq);
		const uint8_t *p = ring_at(s, m->off);

		if (m->len &&
		    ((uint32_t)p[4] | (uint32_t)p[5] << 8 |
		     (uint32_t)p[6] << 16 | (uint32_t)p[7] << 24) == stream)
			n += m->len;
	}
	return n;
}
