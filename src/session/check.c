/* SPDX-License-Identifier: MIT */
/* check.c - is every invariant of the state true? */
#include "session/internal.h"

#define CHECK(cond, text)              \
	do {                           \
		if (!(cond))           \
			return (text); \
	} while (0)

static const char *check_queue(const struct vmc_session *s,
			       const struct slot *sl, uint32_t *chunks)
{
	uint32_t n = 0;
	uint16_t last = NIL;

	for (uint16_t c = sl->q_first; c != NIL && n <= s->at.n_chunks;
	     c = pool_next(s, c)) {
		last = c;
		n++;
	}
	CHECK(last == sl->q_last, "pool: last chunk is not the last");
	CHECK((n == 0) == (sl->q_len == 0), "pool: empty queue with chunks");
	CHECK((uint64_t)n * s->at.chunk_size >= sl->q_off + sl->q_len,
	      "pool: queue longer than its chunks");
	CHECK(!n || sl->q_off < s->at.chunk_size, "pool: first chunk is used");
	*chunks += n;
	return NULL;
}

static const char *check_live(const struct vmc_session *s,
			      const struct slot *sl)
{
	uint32_t waiting = sl->q_len;

	if (s->borrow_len && s->borrow_slot == slot_index(s, sl)) {
		CHECK(!sl->q_len, "borrow: bytes wait before it");
		waiting += s->borrow_len;
	}
	CHECK(slot_by_id(s, sl->id) == sl, "slot: not found by its id");
	CHECK(sl->tx_off <= sl->tx_limit, "credit: sent beyond the limit");
	CHECK(sl->rx_read <= sl->rx_off && sl->rx_off <= sl->rx_limit,
	      "credit: received beyond the limit");
	CHECK(sl->rx_off - sl->rx_read == waiting,
	      "slot: bytes are missing or double");
	CHECK(sl->rx_limit - sl->rx_read <= credit_charge(s, sl),
	      "credit: granted more than is held");
	CHECK(sl->window >= s->cfg.initial_window &&
		      sl->window <= s->cfg.max_window,
	      "credit: window out of range");
	CHECK(!(sl->bits & SL_TX_FIN) || (sl->bits & SL_TX_END),
	      "slot: FIN before the end");
	CHECK(!(sl->bits & SL_TX_ACKED) || (sl->bits & SL_TX_FIN),
	      "slot: acked FIN that was not sent");
	return NULL;
}

static const char *check_slots(const struct vmc_session *s)
{
	const struct link *ctl = session_at(s, s->at.ctl);
	const struct link *evl = session_at(s, s->at.evl);
	uint32_t used = 0, live = 0, peers = 0, asked = 0;
	uint32_t chunks = 0, granted = 0, loans = 0, waiting = 0;

	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		const struct slot *sl = slot_at(s, i);
		const char *bad = NULL;

		if (!(sl->bits & SL_USED)) {
			granted += s->cfg.initial_window;
			CHECK(!list_has(evl, (uint16_t)i),
			      "slot: free one owes an event");
			continue;
		}
		used++;
		CHECK(!!sl->want == list_has(ctl, (uint16_t)i),
		      "slot: wants and list disagree");
		CHECK(!sl->ev || list_has(evl, (uint16_t)i),
		      "slot: events and list disagree");
		if (sl->bits & SL_ENDED) {
			CHECK(!sl->q_len, "slot: ended one holds bytes");
			CHECK(sl->ev || sl->want, "slot: ended one stays");
			granted += s->cfg.initial_window;
			continue;
		}
		live++;
		peers += !!(sl->bits & SL_PEER);
		asked += (sl->bits & (SL_PEER | SL_ACCEPTED)) == SL_PEER;
		bad = check_live(s, sl);
		if (!bad)
			bad = check_queue(s, sl, &chunks);
		if (bad)
			return bad;
		granted += credit_charge(s, sl);
		if (sched_owner(session_sched(s), (uint16_t)i) != SCHED_NONE)
			waiting += sl->q_len;
	}
	CHECK(used == s->n_slots_used, "slots: used count");
	CHECK(live == s->n_streams, "slots: stream count");
	CHECK(peers == s->n_peer_streams, "slots: count of the peer's");
	CHECK(chunks == s->chunks_used, "pool: chunk count");
	CHECK(granted == s->pool_granted, "credit: sum of grants");
	for (uint32_t i = 0; i < s->cfg.max_streams; i++)
		loans += credit_account(s, (uint16_t)i)->loans;
	for (uint32_t i = 0; i < s->cfg.max_streams; i++)
		waiting -= credit_account(s, (uint16_t)i)->waiting;
	CHECK(waiting == 0, "credit: sum of what waits");
	CHECK(loans + s->cfg.max_streams * s->cfg.initial_window == granted,
	      "credit: sum of loans");
	CHECK(granted <= s->cfg.rx_pool, "credit: more granted than there is");
	CHECK(asked == s->n_unanswered, "slots: count of unanswered");
	CHECK(asked + s->reject_tail - s->reject_head <= s->cfg.max_streams,
	      "rejects: more than the peer may cause");
	return NULL;
}

static const char *check_units(const struct vmc_session *s)
{
	uint32_t bytes = 0, charge = 0;
	uint64_t end = 0;

	CHECK(s->u_send - s->u_head <= s->u_tail - s->u_head,
	      "units: out of order");
	CHECK(s->u_tail - s->u_head <= s->at.n_units, "units: too many");
	for (uint32_t i = s->u_head; i != s->u_tail; i++) {
		const struct unit *u = unit_at(s, i);

		CHECK(u->len && u->len <= s->max_frame, "units: length");
		CHECK(u->charge == tx_charge(u->len), "units: charge");
		CHECK(u->end > end && u->end <= s->tx_next, "units: frames");
		CHECK(u->off + u->len <= s->at.ring_size, "units: place");
		end = u->end;
		bytes += u->bytes;
		charge += u->charge;
	}
	CHECK(s->u_head == s->u_tail ? tx_is_idle(s) : end == s->tx_next,
	      "units: last frame");
	CHECK(bytes == s->inflight_bytes, "flight: bytes");
	CHECK(charge == s->inflight_charge, "flight: charge");
	return NULL;
}

static const char *check_tx(const struct vmc_session *s)
{
	CHECK(s->tx_first <= s->tx_sent && s->tx_sent <= s->tx_next,
	      "tx: frame numbers out of order");
	CHECK(s->tx_next - s->tx_first <= s->at.n_frames,
	      "tx: too many frames");
	CHECK(s->ring_tail <= s->at.ring_size, "tx: tail outside the ring");
	CHECK(s->stage_sent - s->stage_proven <= STAGE_MAX + STAGE_EXTRA ||
		      s->state != VMC_SESSION_UP,
	      "stage: too much is unread");
	CHECK(s->stage_off <= s->stage_len, "stage: beyond its end");
	for (uint64_t n = s->tx_first; n < s->tx_next; n++) {
		const struct frame_meta *m = frame_at(s, n);
		const struct frame_meta *next = frame_at(s, n + 1);

		CHECK(m->off + WIRE_HEADER + m->len <= s->at.ring_size,
		      "tx: frame outside the ring");
		CHECK(n + 1 == s->tx_next || next->off < m->off ||
			      next->off >= m->off + WIRE_HEADER + m->len,
		      "tx: frames overlap");
	}
	/* The caps bind what is in the pipe, not what a resume found. */
	if (s->state != VMC_SESSION_UP || s->tx_first < s->requeued_to)
		return NULL;
	CHECK(s->inflight_bytes <= s->cfg.inflight_bytes + FRESH_BYTES,
	      "flight: more bytes than allowed");
	CHECK(s->inflight_charge <= s->cfg.inflight_charge,
	      "flight: more charge than allowed");
	CHECK(s->u_tail - s->u_head <= s->cfg.inflight_writes,
	      "flight: more writes than allowed");
	return NULL;
}

static const char *check_names(const struct vmc_session *s)
{
	uint32_t local = 0, known = 0, peer = 0;
	bool waits = false, gone = false;

	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		const struct name_entry *e = name_local(s, i);

		local += (e->bits & (NAME_USED | NAME_GONE)) == NAME_USED;
		known += !!(e->bits & NAME_KNOWN);
		waits |= !!(e->bits & NAME_WANT);
		gone |= !!(e->bits & NAME_GONE);
		peer += !!(name_peer(s, i)->bits & NAME_USED);
	}
	CHECK(s->names_want || !gone, "names: a withdrawal is forgotten");
	CHECK(s->names_want || !waits || known >= s->peer_names,
	      "names: one waits unnoticed");
	CHECK(local == s->n_names_local, "names: count of ours");
	CHECK(known == s->n_names_known, "names: count of those told");
	CHECK(peer == s->n_names_peer, "names: count of the peer's");
	return NULL;
}

static const char *check_session(const struct vmc_session *s)
{
	CHECK(s->state < VMC_SESSION_STATE_NUM, "session: state");
	CHECK(s->state != VMC_SESSION_UP || (s->attached && s->has_session),
	      "session: up without a link or session");
	CHECK((s->state == VMC_SESSION_CLOSED ||
	       s->state == VMC_SESSION_DETACHED) == !s->attached,
	      "session: state and link disagree");
	CHECK(s->frozen || !(s->asleep || s->may_thaw),
	      "frozen: asleep, but not frozen");
	CHECK(!s->frozen || s->asleep || s->state != VMC_SESSION_UP,
	      "frozen: up by a handshake, yet frozen");
	CHECK(s->has_session || !s->n_streams, "session: none, but streams");
	CHECK(s->in_head <= s->in_tail && s->in_tail <= s->at.input_size,
	      "input: out of order");
	CHECK(!s->borrow_len ||
		      (s->borrow_off + s->borrow_len <= s->in_head &&
		       !(slot_at(s, s->borrow_slot)->bits & SL_ENDED)),
	      "borrow: not behind the parser");
	return NULL;
}

const char *vmc_session_check(const struct vmc_session *s)
{
	static const char *(*const checks[])(const struct vmc_session *s) = {
		check_session, check_slots, check_units, check_tx, check_names,
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		const char *bad = checks[i](s);

		if (bad)
			return bad;
	}
	return sched_check(session_sched(s));
}
