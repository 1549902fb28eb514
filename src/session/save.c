/* SPDX-License-Identifier: MIT */
/*
 * save.c - a frozen session as bytes (docs/continuity.md, section 3)
 *
 * Equal states give equal bytes: streams in the order of their ids, and what
 * means nothing in a state is written as 0. What is of one attach (nonces,
 * seeds, the stage, unparsed input, timers) is left out: a new handshake
 * follows.
 */
#include "base/bytes.h"
#include "session/internal.h"
#include "session/saved.h"

static uint8_t *section_begin(struct wr *w, enum saved_type type)
{
	uint8_t *head = wr_room(w, SAVED_HEADER_LEN);

	if (head) {
		le16_put(head, (uint16_t)type);
		le16_put(head + 2, SAVED_MUST);
	}
	return head;
}

static void section_end(struct wr *w, uint8_t *head)
{
	size_t len;

	if (w->bad)
		return;
	len = (size_t)(w->p - head) - SAVED_HEADER_LEN;
	if (!len) {
		w->p = head;
		w->left += SAVED_HEADER_LEN;
		return;
	}
	le32_put(head + 4, (uint32_t)len);
	while (len++ % SAVED_ALIGN)
		wr_u8(w, 0);
}

static void put_session(const struct vmc_session *s, struct wr *w)
{
	wr_u8(w, (uint8_t)s->cfg.role);
	wr_u8(w, (uint8_t)s->version);
	wr_u16(w, s->explain);
	wr_u32(w, s->epoch);
	wr_u32(w, s->attach_no);
	wr_u32(w, s->max_frame);
	wr_bytes(w, s->session_id, sizeof(s->session_id));
	wr_u64(w, s->features);
	wr_u64(w, s->cfg.instance);
	wr_u64(w, s->peer_instance);
	wr_u32(w, s->peer_window);
	wr_u32(w, s->peer_streams);
	wr_u32(w, s->peer_names);
	wr_u32(w, s->ack_bytes_max);
	wr_u32(w, s->next_id);
	wr_u32(w, s->peer_last_id);
	wr_u64(w, s->rx_next);
	wr_u64(w, s->rx_digest);
	wr_u64(w, s->tx_first);
	wr_u64(w, s->tx_next);
	wr_u64(w, s->tx_digest_first);
	wr_u64(w, s->tx_digest);
	wr_u32(w, s->cfg.initial_window);
	wr_u32(w, 0);
}

/* ---- streams ------------------------------------------------------------ */

struct order {
	uint32_t n;
	uint16_t slot[VMC_MAX_STREAMS];
};

/* Slots in use by id; mostly they are nearly so. */
static void order_slots(const struct vmc_session *s, struct order *ret)
{
	ret->n = 0;
	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		uint32_t k = ret->n;

		if (!(slot_at(s, i)->bits & SL_USED))
			continue;
		while (k &&
		       slot_at(s, ret->slot[k - 1])->id > slot_at(s, i)->id) {
			ret->slot[k] = ret->slot[k - 1];
			k--;
		}
		ret->slot[k] = (uint16_t)i;
		ret->n++;
	}
}

/* Of a stream that is over, only the RESET that it owes still matters. */
static void put_ended(const struct slot *sl, struct wr *w)
{
	wr_u32(w, sl->id);
	wr_u16(w, sl->bits & (SL_USED | SL_ENDED | SL_PEER));
	wr_u8(w, sl->want);
	wr_u8(w, 0);
	wr_u16(w, sl->tx_reason);
	for (uint32_t n = 10; n < SAVED_STREAM_LEN; n += 2)
		wr_u16(w, 0);
}

static void put_live(const struct vmc_session *s, const struct slot *sl,
		     struct wr *w)
{
	const struct sched *sc = session_sched(s);
	uint16_t i = slot_index(s, sl);
	bool open = sl->want & WANT_OPEN;
	bool fin = (sl->bits & (SL_TX_FIN | SL_TX_ACKED)) == SL_TX_FIN;
	static const struct vmc_principal nobody;
	const struct vmc_principal *who = open ? &sl->who : &nobody;

	wr_u32(w, sl->id);
	wr_u16(w, sl->bits & (uint16_t)~SL_READY);
	wr_u8(w, sl->want);
	wr_u8(w, (uint8_t)sched_weight(sc, i));
	wr_u16(w, sl->tx_reason);
	wr_u16(w, sl->stop_reason);
	wr_u16(w, 0);
	wr_u8(w, open ? sl->name_len : 0);
	wr_u8(w, 0);
	wr_u32(w, sl->window);
	wr_u32(w, sl->q_len);
	wr_u64(w, sched_key(sc, i));
	wr_u64(w, sl->cookie);
	wr_u64(w, sl->tx_off);
	wr_u64(w, sl->tx_limit);
	wr_u64(w, sl->rx_off);
	wr_u64(w, sl->rx_limit);
	wr_u64(w, sl->rx_read);
	wr_u64(w, sl->grow_from);
	wr_u64(w, fin ? sl->fin_seq : 0);
	wr_u64(w, 0);
	wr_u32(w, who->kind);
	wr_u32(w, who->uid);
	wr_u32(w, who->gid);
	wr_u32(w, 0);
	if (open)
		wr_bytes(w, sl->name, sl->name_len);
}

static void put_streams(const struct vmc_session *s, const struct order *o,
			struct wr *w)
{
	for (uint32_t i = 0; i < o->n; i++) {
		const struct slot *sl = slot_at(s, o->slot[i]);

		if (sl->bits & SL_ENDED)
			put_ended(sl, w);
		else
			put_live(s, sl, w);
	}
}

static void put_queue(const struct vmc_session *s, const struct slot *sl,
		      struct wr *w)
{
	uint32_t off = sl->q_off, left = sl->q_len;

	for (uint16_t c = sl->q_first; left; c = pool_next(s, c)) {
		uint32_t some = min_u32(left, s->at.chunk_size - off);

		wr_bytes(w, pool_chunk(s, c) + off, some);
		left -= some;
		off = 0;
	}
}

static void put_received(const struct vmc_session *s, const struct order *o,
			 struct wr *w)
{
	for (uint32_t i = 0; i < o->n; i++)
		put_queue(s, slot_at(s, o->slot[i]), w);
}

/* ---- the rest ----------------------------------------------------------- */

static void put_retained(const struct vmc_session *s, struct wr *w)
{
	struct wire_header h;

	for (uint64_t seq = s->tx_first; seq < s->tx_next; seq++) {
		const uint8_t *p = ring_at(s, frame_at(s, seq)->off);

		wire_peek_header(p, &h);
		wr_u8(w, h.type);
		wr_u8(w, h.flags);
		wr_u16(w, h.len);
		wr_u32(w, h.stream);
		wr_u64(w, h.hash);
		wr_bytes(w, p + WIRE_HEADER, h.len);
	}
}

static void put_name(const struct name_entry *e, enum saved_side side,
		     struct wr *w)
{
	wr_u8(w, (uint8_t)side);
	wr_u8(w, e->len);
	wr_u16(w, 0);
	wr_u32(w, e->flags);
	wr_bytes(w, e->name, e->len);
	for (uint32_t n = e->len; n < VMC_NAME_MAX; n++)
		wr_u8(w, 0);
}

static void put_names(const struct vmc_session *s, struct wr *w)
{
	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		const struct name_entry *e = name_local(s, i);

		if (e->bits & NAME_KNOWN)
			put_name(e, SAVED_NAME_OURS, w);
	}
	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		const struct name_entry *e = name_peer(s, i);

		if (e->bits & NAME_USED)
			put_name(e, SAVED_NAME_PEERS, w);
	}
}

static void put_rejects(const struct vmc_session *s, struct wr *w)
{
	for (uint32_t i = s->reject_head; i != s->reject_tail; i++) {
		const struct reject *r = reject_at(s, i);

		wr_u32(w, r->id);
		wr_u16(w, r->reason);
		wr_u16(w, 0);
	}
}

long vmc_session_save(const struct vmc_session *s, uint8_t *buf, size_t size)
{
	struct wr w = wr_init(buf, size);
	struct order o;
	uint8_t *at;

	if (!s->frozen || events_pending(s))
		return VMC_ERR_STATE;
	if (!s->has_session)
		return 0;
	order_slots(s, &o);
	at = section_begin(&w, SAVED_SESSION);
	put_session(s, &w);
	section_end(&w, at);
	at = section_begin(&w, SAVED_STREAMS);
	put_streams(s, &o, &w);
	section_end(&w, at);
	at = section_begin(&w, SAVED_RECEIVED);
	put_received(s, &o, &w);
	section_end(&w, at);
	at = section_begin(&w, SAVED_RETAINED);
	put_retained(s, &w);
	section_end(&w, at);
	at = section_begin(&w, SAVED_NAMES);
	put_names(s, &w);
	section_end(&w, at);
	at = section_begin(&w, SAVED_REJECTS);
	put_rejects(s, &w);
	section_end(&w, at);
	return w.bad ? VMC_ERR_SPACE : (long)(size - w.left);
}

size_t vmc_session_save_max(const struct vmc_session_config *cfg)
{
	struct layout l;

	if (!config_valid(cfg))
		return 0;
	layout_compute(&l, cfg);
	return (size_t)SAVED_MAX(cfg->max_streams, cfg->rx_pool, l.ring_size,
				 cfg->max_names);
}

bool vmc_stream_next(const struct vmc_session *s, uint32_t *pos,
		     vmc_stream *ret, uint64_t *ret_cookie)
{
	while (*pos < s->cfg.max_streams) {
		const struct slot *sl = slot_at(s, (*pos)++);

		if ((sl->bits & (SL_USED | SL_ENDED)) != SL_USED)
			continue;
		*ret = slot_handle(s, sl);
		*ret_cookie = sl->cookie;
		return true;
	}
	return false;
}
