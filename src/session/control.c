/* SPDX-License-Identifier: MIT */
/*
 * control.c - control frames, made from what is wanted at the moment
 *
 * Nothing is queued: a slot on the control list has bits in .want, names have
 * theirs, rejects of streams that have no slot are in a small ring. A CREDIT
 * says what is true when it is built, so ten of them become one.
 */
#include "session/internal.h"

#include <assert.h>
#include <string.h>

void slot_want(struct vmc_session *s, struct slot *sl, unsigned int want)
{
	uint16_t i = slot_index(s, sl);
	struct link *links = session_at(s, s->at.ctl);

	sl->want |= (uint8_t)want;
	if (!list_has(links, i))
		list_append(links, &s->ctl, i);
}

static bool build_open(struct vmc_session *s, struct slot *sl, uint64_t now)
{
	uint8_t payload[WIRE_CONTROL_MAX];
	struct wire_open o = {
		.flags = sl->bits & SL_MESSAGES ? VMC_OPEN_MESSAGES : 0,
		.who = sl->who,
		.name_len = sl->name_len,
	};

	memcpy(o.name, sl->name, sl->name_len);
	return tx_control(s, WIRE_OPEN, 0, sl->id, payload,
			  wire_put_open(payload, &o), NIL, now);
}

static const uint8_t nothing[1];

static bool build_accept(struct vmc_session *s, struct slot *sl, uint64_t now)
{
	return tx_control(s, WIRE_ACCEPT, 0, sl->id, nothing, 0, NIL, now);
}

static bool build_credit(struct vmc_session *s, struct slot *sl, uint64_t now)
{
	uint8_t payload[WIRE_CONTROL_MAX];
	uint64_t limit = credit_due(s, sl);

	if (!limit)
		return true;
	if (!tx_control(s, WIRE_CREDIT, 0, sl->id, payload,
			wire_put_u64(payload, limit), NIL, now))
		return false;
	credit_grant(s, sl, limit);
	return true;
}

static bool build_fin(struct vmc_session *s, struct slot *sl, uint64_t now)
{
	if (sl->bits & SL_TX_FIN)
		return true;
	sl->fin_seq = s->tx_next;
	if (!tx_control(s, WIRE_DATA, WIRE_FIN, sl->id, nothing, 0,
			slot_index(s, sl), now))
		return false;
	sl->bits |= SL_TX_FIN;
	return true;
}

static bool build_reason(struct vmc_session *s, const struct slot *sl,
			 uint8_t type, uint64_t now)
{
	uint8_t payload[WIRE_CONTROL_MAX];

	return tx_control(s, type, 0, sl->id, payload,
			  wire_put_reason(payload, sl->tx_reason), NIL, now);
}

static bool build_stop(struct vmc_session *s, struct slot *sl, uint64_t now)
{
	return build_reason(s, sl, WIRE_STOP, now);
}

static bool build_reset(struct vmc_session *s, struct slot *sl, uint64_t now)
{
	return build_reason(s, sl, WIRE_RESET, now);
}

static const struct {
	uint8_t want;
	bool (*build)(struct vmc_session *s, struct slot *sl, uint64_t now);
} builders[] = {
	{WANT_OPEN, build_open},     {WANT_ACCEPT, build_accept},
	{WANT_CREDIT, build_credit}, {WANT_FIN, build_fin},
	{WANT_STOP, build_stop},     {WANT_RESET, build_reset},
};

/* All that the slot wants; false: no room, it stays on the list. */
static bool build_slot(struct vmc_session *s, struct slot *sl, uint64_t now)
{
	for (size_t i = 0; i < sizeof(builders) / sizeof(builders[0]); i++) {
		if (!(sl->want & builders[i].want))
			continue;
		if (!builders[i].build(s, sl, now))
			return false;
		sl->want &= (uint8_t)~builders[i].want;
	}
	return true;
}

struct reject *reject_at(const struct vmc_session *s, uint32_t i)
{
	return (struct reject *)session_at(s, s->at.rejects) +
	       (i & (s->at.n_rejects - 1));
}

/*
 * Never overflows: unanswered OPENs of the peer and rejects together are never
 * more than max_streams, on_open() ends the session of a peer that has more.
 */
void control_reject(struct vmc_session *s, uint32_t id, unsigned int reason)
{
	assert(s->reject_tail - s->reject_head < s->cfg.max_streams);
	*reject_at(s, s->reject_tail++) =
		(struct reject){.id = id, .reason = (uint16_t)reason};
	s->st.streams_rejected++;
}

void control_unreject(struct vmc_session *s, uint32_t id)
{
	for (uint32_t i = s->reject_head; i != s->reject_tail; i++) {
		if (reject_at(s, i)->id != id)
			continue;
		*reject_at(s, i) = *reject_at(s, s->reject_head++);
		return;
	}
}

static bool build_reject(struct vmc_session *s, uint64_t now)
{
	const struct reject *r = reject_at(s, s->reject_head);
	uint8_t payload[WIRE_CONTROL_MAX];

	if (!tx_control(s, WIRE_REJECT, 0, r->id, payload,
			wire_put_reason(payload, r->reason), NIL, now))
		return false;
	s->reject_head++;
	return true;
}

/* One frame type and payload that no version defines (protocol.md). */
static bool build_grease(struct vmc_session *s, uint64_t now)
{
	uint8_t junk[8];
	uint8_t type = (uint8_t)(WIRE_IGNORABLE | 0x70 | (s->entropy[1] & 0xf));

	memcpy(junk, &s->entropy[2], sizeof(junk));
	return tx_control(s, type, 0, 0, junk, s->entropy[1] >> 4 & 7, NIL,
			  now);
}

bool control_pending(const struct vmc_session *s)
{
	return !list_empty(&s->ctl) || s->reject_head != s->reject_tail ||
	       s->names_want || s->want_grease;
}

void control_build(struct vmc_session *s, uint64_t now)
{
	struct link *links = session_at(s, s->at.ctl);

	for (uint32_t n = 0; n < CONTROL_ROUND; n++) {
		if (!list_empty(&s->ctl)) {
			struct slot *sl = slot_at(s, s->ctl.first);

			if (!build_slot(s, sl, now))
				return;
			list_remove(links, &s->ctl, slot_index(s, sl));
			slot_settle(s, sl);
		} else if (s->reject_head != s->reject_tail) {
			if (!build_reject(s, now))
				return;
		} else if (s->names_want) {
			if (!names_build(s, now))
				return;
		} else if (s->want_grease) {
			if (!build_grease(s, now))
				return;
			s->want_grease = false;
		} else {
			return;
		}
	}
}
