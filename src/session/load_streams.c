/* SPDX-License-Identifier: MIT */
/* load_streams.c - sections STREAMS and RECEIVED of a saved state */
#include <string.h>

#include "session/load.h"
#include "session/saved.h"

#define BITS_KNOWN                                                 \
	(SL_USED | SL_PEER | SL_ACCEPTED | SL_TX_END | SL_TX_FIN | \
	 SL_TX_ACKED | SL_RX_FIN | SL_RX_STOP | SL_ENDED | SL_MESSAGES)
#define WANT_KNOWN                                                      \
	(WANT_OPEN | WANT_ACCEPT | WANT_CREDIT | WANT_FIN | WANT_STOP | \
	 WANT_RESET)

struct record {
	uint32_t id, window, q_len, reserved;
	uint16_t bits, tx_reason, stop_reason, end_reason;
	uint8_t want, weight, name_len, reserved8;
	uint64_t owner, cookie, tx_off, tx_limit, rx_off, rx_limit, rx_read;
	uint64_t grow_from, fin_seq, bytes_out;
	struct vmc_principal who;
	const uint8_t *name;
};

static bool get_record(struct rd *r, struct record *ret)
{
	ret->id = rd_u32(r);
	ret->bits = rd_u16(r);
	ret->want = rd_u8(r);
	ret->weight = rd_u8(r);
	ret->tx_reason = rd_u16(r);
	ret->stop_reason = rd_u16(r);
	ret->end_reason = rd_u16(r);
	ret->name_len = rd_u8(r);
	ret->reserved8 = rd_u8(r);
	ret->window = rd_u32(r);
	ret->q_len = rd_u32(r);
	ret->owner = rd_u64(r);
	ret->cookie = rd_u64(r);
	ret->tx_off = rd_u64(r);
	ret->tx_limit = rd_u64(r);
	ret->rx_off = rd_u64(r);
	ret->rx_limit = rd_u64(r);
	ret->rx_read = rd_u64(r);
	ret->grow_from = rd_u64(r);
	ret->fin_seq = rd_u64(r);
	ret->bytes_out = rd_u64(r);
	ret->who.kind = rd_u32(r);
	ret->who.uid = rd_u32(r);
	ret->who.gid = rd_u32(r);
	ret->reserved = rd_u32(r);
	ret->name = rd_bytes(r, ret->name_len);
	return !r->bad && !ret->reserved && !ret->reserved8;
}

/* Either all bits of @then, or not all of @when. */
static bool implies(unsigned int bits, unsigned int when, unsigned int then)
{
	return (bits & when) != when || (bits & then) == then;
}

static bool id_valid(const struct vmc_session *s, const struct record *c,
		     uint32_t last_id)
{
	bool ours = (c->id & 1) == (s->next_id & 1);

	return c->id > last_id && stream_was_used(s, c->id) &&
	       ours == !(c->bits & SL_PEER);
}

/* Only what a RESET needs is there. */
static bool ended_valid(const struct record *c)
{
	return !(c->bits & ~(unsigned int)(SL_USED | SL_ENDED | SL_PEER)) &&
	       c->want == WANT_RESET && !c->weight && !c->stop_reason &&
	       !c->end_reason && !c->name_len && !c->window && !c->q_len &&
	       !c->owner && !c->cookie && !c->tx_off && !c->tx_limit &&
	       !c->rx_off && !c->rx_limit && !c->rx_read && !c->grow_from &&
	       !c->fin_seq && !c->bytes_out && !c->who.kind && !c->who.uid &&
	       !c->who.gid;
}

static bool bits_valid(const struct record *c)
{
	unsigned int b = c->bits, w = c->want;
	bool asked = (b & (SL_PEER | SL_ACCEPTED)) == SL_PEER;

	return !(b & ~(unsigned int)BITS_KNOWN) &&
	       !(w & ~(unsigned int)WANT_KNOWN) && !(w & WANT_RESET) &&
	       implies(b, SL_TX_FIN, SL_TX_END) &&
	       implies(b, SL_TX_ACKED, SL_TX_FIN) &&
	       (!(w & WANT_OPEN) || !(b & SL_PEER)) &&
	       (!(w & WANT_ACCEPT) || (b & SL_PEER)) &&
	       (!(w & WANT_STOP) || (b & SL_RX_STOP)) &&
	       (!(w & WANT_FIN) ||
		(b & (SL_TX_END | SL_TX_FIN)) == SL_TX_END) &&
	       (!asked || !(w & (WANT_ACCEPT | WANT_FIN)));
}

/* Nobody is an owner before the answer. */
static bool owner_valid(const struct record *c)
{
	if ((c->bits & (SL_PEER | SL_ACCEPTED)) == SL_PEER)
		return !c->weight && !c->owner;
	return c->weight >= 1 && c->weight <= SCHED_WEIGHT_MAX;
}

static bool open_valid(const struct record *c)
{
	if (!(c->want & WANT_OPEN))
		return !c->name_len && !c->who.kind && !c->who.uid &&
		       !c->who.gid;
	return vmc_name_valid((const char *)c->name, c->name_len) &&
	       c->who.kind <= VMC_PRINCIPAL_GUEST;
}

static bool offsets_valid(const struct vmc_session *s, const struct record *c)
{
	bool fin = (c->bits & (SL_TX_FIN | SL_TX_ACKED)) == SL_TX_FIN;

	return c->tx_off <= c->tx_limit && c->tx_limit <= LOAD_NUMBER_MAX &&
	       c->tx_limit - c->tx_off <= VMC_MAX_POOL &&
	       c->rx_read <= c->rx_off && c->rx_off <= c->rx_limit &&
	       c->rx_limit <= LOAD_NUMBER_MAX &&
	       c->rx_limit - c->rx_read <= VMC_MAX_POOL &&
	       c->q_len == c->rx_off - c->rx_read &&
	       (!(c->bits & SL_RX_STOP) || !c->q_len) &&
	       c->grow_from <= c->rx_read && c->window >= 1 &&
	       c->window <= VMC_MAX_WINDOW &&
	       (fin ? c->fin_seq >= s->tx_first && c->fin_seq < s->tx_next
		    : !c->fin_seq);
}

static bool live_valid(const struct vmc_session *s, const struct record *c)
{
	return bits_valid(c) && owner_valid(c) && open_valid(c) &&
	       offsets_valid(s, c) && !c->end_reason && !c->bytes_out;
}

static void restore_ended(struct vmc_session *s, struct slot *sl,
			  const struct record *c)
{
	sl->tx_reason = c->tx_reason;
	sl->want = c->want;
	/* There are no frames yet to be looked through. */
	sl->bits |= SL_TX_ACKED;
	slot_end(s, sl, VMC_REASON_OK);
	sl->bits = c->bits;
	/* The application has heard of its end. */
	sl->ev = 0;
	list_remove(session_at(s, s->at.evl), &s->evl, slot_index(s, sl));
}

static int restore_live(struct vmc_session *s, struct slot *sl,
			const struct record *c, const uint8_t *queue)
{
	bool asked = (c->bits & (SL_PEER | SL_ACCEPTED)) == SL_PEER;

	sl->bits = c->bits;
	sl->tx_reason = c->tx_reason;
	sl->stop_reason = c->stop_reason;
	sl->cookie = c->cookie;
	sl->tx_off = c->tx_off;
	sl->tx_limit = c->tx_limit;
	sl->rx_off = c->rx_off;
	sl->rx_limit = c->rx_limit;
	sl->rx_read = c->rx_read;
	sl->grow_from = c->grow_from;
	sl->fin_seq = c->fin_seq;
	sl->name_len = c->name_len;
	sl->who = c->who;
	if (c->name_len)
		memcpy(sl->name, c->name, c->name_len);
	s->n_peer_streams += !!(c->bits & SL_PEER);
	s->n_unanswered += asked;
	if (!asked)
		sched_add(session_sched(s), slot_index(s, sl), c->owner,
			  c->weight);
	if (!credit_restore(s, sl, c->window))
		return VMC_ERR_LIMIT;
	if (c->q_len)
		pool_append(s, sl, queue, c->q_len);
	if (c->want)
		slot_want(s, sl, c->want);
	return 0;
}

static int load_stream(struct vmc_session *s, const struct record *c,
		       struct rd *received)
{
	bool ended = c->bits & SL_ENDED;
	const uint8_t *queue;
	struct slot *sl;

	if (!(c->bits & SL_USED) ||
	    !(ended ? ended_valid(c) : live_valid(s, c)))
		return VMC_ERR_BLOB;
	queue = rd_bytes(received, c->q_len);
	if (!queue && c->q_len)
		return VMC_ERR_BLOB;
	sl = slot_new(s, c->id);
	if (!sl)
		return VMC_ERR_LIMIT;
	if (!ended)
		return restore_live(s, sl, c, queue);
	restore_ended(s, sl, c);
	return 0;
}

int load_streams(struct vmc_session *s, struct rd streams, struct rd received)
{
	uint32_t last_id = 0;
	struct record c;
	int err = 0;

	while (streams.left && !err) {
		if (!get_record(&streams, &c) || !id_valid(s, &c, last_id))
			return VMC_ERR_BLOB;
		last_id = c.id;
		err = load_stream(s, &c, &received);
	}
	if (err)
		return err;
	return rd_done(&received) ? 0 : VMC_ERR_BLOB;
}
