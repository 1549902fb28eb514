/* SPDX-License-Identifier: MIT */
/*
 * slots.c - the table of streams
 *
 * Found by id (hash) for the peer and by handle (index, generation) for the
 * application. A slot is free again when the stream ended, END was taken and
 * RESET, if one was owed, is in the ring.
 */
#include "session/internal.h"

#include <string.h>

static uint16_t *bucket_of(const struct vmc_session *s, uint32_t id)
{
	/* Ids of one side differ by 2, so the low bits alone spread well. */
	uint32_t n = (id >> 1) ^ (id << 4);

	return (uint16_t *)session_at(s, s->at.hash) + (n & (s->at.n_hash - 1));
}

static void hash_insert(struct vmc_session *s, struct slot *sl)
{
	uint16_t *head = bucket_of(s, sl->id);

	sl->hash_next = *head;
	*head = slot_index(s, sl);
}

static void hash_remove(struct vmc_session *s, const struct slot *sl)
{
	uint16_t *at = bucket_of(s, sl->id);

	while (*at != slot_index(s, sl))
		at = &slot_at(s, *at)->hash_next;
	*at = sl->hash_next;
}

struct slot *slot_by_id(const struct vmc_session *s, uint32_t id)
{
	uint16_t i = *bucket_of(s, id);

	while (i != NIL && slot_at(s, i)->id != id)
		i = slot_at(s, i)->hash_next;
	return i == NIL ? NULL : slot_at(s, i);
}

vmc_stream slot_handle(const struct vmc_session *s, const struct slot *sl)
{
	return (uint64_t)sl->gen << 32 | slot_index(s, sl);
}

struct slot *slot_by_handle(const struct vmc_session *s, vmc_stream h)
{
	uint32_t i = (uint32_t)h;
	struct slot *sl;

	if (i >= s->cfg.max_streams)
		return NULL;
	sl = slot_at(s, i);
	return (sl->bits & SL_USED) && sl->gen == h >> 32 ? sl : NULL;
}

struct slot *slot_new(struct vmc_session *s, uint32_t id)
{
	struct link *links = session_at(s, s->at.ctl);
	uint16_t i = s->free_slots.first;
	struct slot *sl;
	uint32_t gen;

	if (i == NIL)
		return NULL;
	list_remove(links, &s->free_slots, i);
	sl = slot_at(s, i);
	gen = sl->gen + 1;
	memset(sl, 0, offsetof(struct slot, who));
	sl->gen = gen ? gen : 1;
	sl->id = id;
	sl->bits = SL_USED;
	sl->q_first = sl->q_last = NIL;
	sl->tx_limit = s->peer_window;
	credit_open(s, sl);
	hash_insert(s, sl);
	s->n_slots_used++;
	s->n_streams++;
	return sl;
}

/* Free slots are on the list of the control links: they want nothing. */
void slot_free(struct vmc_session *s, struct slot *sl)
{
	struct link *links = session_at(s, s->at.ctl);
	uint16_t i = slot_index(s, sl);

	sl->bits = 0;
	list_append(links, &s->free_slots, i);
	s->n_slots_used--;
}

void slot_event(struct vmc_session *s, struct slot *sl, unsigned int ev)
{
	struct link *links = session_at(s, s->at.evl);
	uint16_t i = slot_index(s, sl);

	sl->ev |= (uint8_t)ev;
	if (!list_has(links, i))
		list_append(links, &s->evl, i);
}

/* Free it if nobody is owed anything any more. */
void slot_settle(struct vmc_session *s, struct slot *sl)
{
	if ((sl->bits & SL_ENDED) && !sl->ev && !sl->want)
		slot_free(s, sl);
}

static void drop_input(struct vmc_session *s, struct slot *sl)
{
	if (s->borrow_len && s->borrow_slot == slot_index(s, sl))
		s->borrow_len = 0;
	pool_drop(s, sl, sl->q_len);
}

/* Off the control list, where free slots wait too. */
static void forget_wants(struct vmc_session *s, struct slot *sl)
{
	struct link *links = session_at(s, s->at.ctl);
	uint16_t i = slot_index(s, sl);

	sl->want = 0;
	if (list_has(links, i))
		list_remove(links, &s->ctl, i);
}

void slot_end(struct vmc_session *s, struct slot *sl, unsigned int reason)
{
	bool reset = sl->want & WANT_RESET;

	sl->end_reason = (uint16_t)reason;
	sl->bytes_out = sl->tx_off;
	if (!(sl->bits & SL_TX_ACKED))
		sl->bytes_out -= tx_unacked_of(s, sl->id);
	if (reason != VMC_REASON_OK)
		s->st.streams_reset++;
	drop_input(s, sl);
	credit_close(s, sl);
	hash_remove(s, sl);
	sched_remove(session_sched(s), slot_index(s, sl));
	forget_wants(s, sl);
	sl->bits |= SL_ENDED;
	/* An end in order is seen as the end of the bytes first. */
	sl->ev &= reason == VMC_REASON_OK ? EVB_READABLE : 0;
	s->n_streams--;
	if (sl->bits & SL_PEER)
		s->n_peer_streams--;
	if ((sl->bits & (SL_PEER | SL_ACCEPTED)) == SL_PEER)
		s->n_unanswered--;
	slot_event(s, sl, EVB_END);
	if (reset)
		slot_want(s, sl, WANT_RESET);
}

void slot_check_end(struct vmc_session *s, struct slot *sl)
{
	bool taken = !sl->q_len &&
		     !(s->borrow_len && s->borrow_slot == slot_index(s, sl));

	if ((sl->bits & SL_TX_ACKED) && (sl->bits & SL_RX_FIN) && taken &&
	    !(sl->bits & SL_ENDED))
		slot_end(s, sl, VMC_REASON_OK);
}

void slot_abort(struct vmc_session *s, struct slot *sl, unsigned int reason)
{
	sl->tx_reason = (uint16_t)reason;
	/* A stream of ours that the peer never heard of just ends. */
	if (!(sl->want & WANT_OPEN))
		sl->want |= WANT_RESET;
	slot_end(s, sl, reason);
}

void slot_update_sched(struct vmc_session *s, const struct slot *sl)
{
	bool may = (sl->bits & (SL_READY | SL_TX_END | SL_ENDED)) == SL_READY &&
		   (sl->bits & (SL_PEER | SL_ACCEPTED)) != SL_PEER &&
		   sl->tx_off < sl->tx_limit;

	sched_set(session_sched(s), slot_index(s, sl), may);
}

void slots_end_all(struct vmc_session *s, unsigned int reason)
{
	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		struct slot *sl = slot_at(s, i);

		if (!(sl->bits & SL_USED))
			continue;
		if (!(sl->bits & SL_ENDED)) {
			sl->want = 0;
			slot_end(s, sl, reason);
		} else {
			forget_wants(s, sl);
			slot_settle(s, sl);
		}
	}
	s->reject_head = s->reject_tail;
}
