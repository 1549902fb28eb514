/* SPDX-License-Identifier: MIT */
/* load_retained.c - section RETAINED of a saved state: frames to be sent again
 */
#include <string.h>

#include "base/hash.h"
#include "session/load.h"
#include "session/saved.h"

/* While frames are read. */
struct retained {
	uint64_t seq;
	uint64_t digest;
	uint32_t off;  /* in the ring */
	uint32_t fins; /* of streams that live */
};

/* Has the frame the shape that its type asks for? */
static bool shape_valid(const struct vmc_session *s,
			const struct wire_header *h)
{
	const struct frame_row *row = frame_row_of(h->type);

	if (!wire_is_sequenced(h->type) || h->len > s->max_frame - WIRE_HEADER)
		return false;
	/* Grease, or what a newer release does not mind to lose. */
	if (!row)
		return (h->type & WIRE_IGNORABLE) && !h->stream;
	if (h->type == WIRE_DATA && !h->len && !(h->flags & WIRE_FIN))
		return false;
	return !(h->flags & ~row->flags) && h->len >= row->min &&
	       h->len <= row->max && row->on_stream == (h->stream != 0) &&
	       (!h->stream || stream_was_used(s, h->stream));
}

/* DATA of a stream that lives: before its FIN, or the FIN itself. */
static bool data_valid(const struct slot *sl, uint64_t seq, bool fin)
{
	if (sl->bits & SL_TX_ACKED)
		return false;
	if (sl->bits & SL_TX_FIN)
		return fin ? seq == sl->fin_seq : seq < sl->fin_seq;
	return !fin;
}

/* Which slot hears of its ack; false: it contradicts the stream. */
static bool get_data(const struct vmc_session *s, struct retained *t,
		     const struct wire_header *h, uint16_t *ret_slot)
{
	struct slot *sl = slot_by_id(s, h->stream);
	bool fin = h->flags & WIRE_FIN;

	*ret_slot = NIL;
	if (!sl)
		return true;
	if (!data_valid(sl, t->seq, fin))
		return false;
	/* Collected here until all frames are read. */
	sl->bytes_out += h->len;
	if (fin) {
		*ret_slot = slot_index(s, sl);
		t->fins++;
	}
	return sl->bytes_out <= sl->tx_off;
}

static int get_frame(struct vmc_session *s, struct rd *r, struct retained *t)
{
	struct wire_header h = {.seq = (uint32_t)t->seq};
	uint16_t slot = NIL;
	const uint8_t *payload;

	h.type = rd_u8(r);
	h.flags = rd_u8(r);
	h.len = rd_u16(r);
	h.stream = rd_u32(r);
	h.hash = rd_u64(r);
	payload = rd_bytes(r, h.len);
	if (!payload || !shape_valid(s, &h) || t->seq == s->tx_next ||
	    hash64(payload, h.len) != h.hash ||
	    (h.type == WIRE_DATA && !get_data(s, t, &h, &slot)))
		return VMC_ERR_BLOB;
	if (s->at.ring_size - t->off < WIRE_HEADER + h.len)
		return VMC_ERR_LIMIT;
	wire_put_header(ring_at(s, t->off), &h);
	memcpy(ring_at(s, t->off + WIRE_HEADER), payload, h.len);
	t->digest = wire_digest(t->digest, &h);
	*frame_at(s, t->seq) = (struct frame_meta){
		.digest = t->digest,
		.off = t->off,
		.slot = slot,
		.len = h.type == WIRE_DATA ? h.len : 0,
	};
	t->off += WIRE_HEADER + h.len;
	t->seq++;
	return 0;
}

/* Streams whose FIN must be among the frames. */
static uint32_t fins_missing(const struct vmc_session *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		struct slot *sl = slot_at(s, i);

		sl->bytes_out = 0;
		n += (sl->bits & (SL_TX_FIN | SL_TX_ACKED | SL_ENDED)) ==
		     SL_TX_FIN;
	}
	return n;
}

int load_retained(struct vmc_session *s, struct rd r, uint64_t now)
{
	struct retained t = {.seq = s->tx_first, .digest = s->tx_digest_first};
	int err = 0;

	while (r.left && !err)
		err = get_frame(s, &r, &t);
	if (err)
		return err;
	if (t.seq != s->tx_next || t.digest != s->tx_digest ||
	    t.fins != fins_missing(s))
		return VMC_ERR_BLOB;
	s->ring_tail = t.off;
	tx_requeue(s, now);
	return s->u_tail - s->u_head > s->at.n_units ? VMC_ERR_LIMIT : 0;
}
