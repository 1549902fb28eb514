/* SPDX-License-Identifier: MIT */
/*
 * stage.c - what is not sequenced: preamble, HELLO, ACK, PING, PONG, BYE
 *
 * Built at the moment of writing into a buffer of one unit and not retained.
 *
 * Nobody acks these units, yet they take room in the pipe. A unit is proven
 * read when a sequenced frame that was written after it is acked, or when a
 * PING that was written after it is answered. A limited number is unproven at
 * any time, and from half of it on we ask by PING. So whoever only receives
 * still never fills the pipe with acks, and acks leave room for data.
 */
#include "session/internal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

static uint32_t unproven(const struct vmc_session *s)
{
	return s->stage_sent - s->stage_proven;
}

void stage_reset(struct vmc_session *s)
{
	s->stage_kind = STAGE_NONE;
	s->stage_proven = s->stage_sent;
	s->stage_marked = false;
	s->ping_out = s->want_ping = s->want_pong = false;
	s->pong_due = NEVER;
	s->ping_wait = PING_GAP;
}

/*
 * A handshake is done: what was written has been read. The unit in hand is
 * still to go out, or its rest; it may be the answer that the peer waits for.
 */
void stage_go_up(struct vmc_session *s)
{
	bool in_hand = s->stage_kind == STAGE_BUFFER;

	stage_reset(s);
	if (!in_hand)
		return;
	s->stage_kind = STAGE_BUFFER;
	s->stage_proven--;
}

/* A full frame and control fit beside them, and half of the writes. */
static uint32_t stage_max(const struct vmc_session *s)
{
	uint32_t charge = (s->cfg.inflight_charge - CONTROL_CHARGE -
			   tx_charge(s->cfg.max_frame)) /
			  STAGE_CHARGE;
	uint32_t writes = (s->cfg.inflight_writes - CONTROL_WRITES) / 2;

	return min_u32(STAGE_MAX, min_u32(charge, writes));
}

bool stage_is_full(const struct vmc_session *s)
{
	return unproven(s) >= stage_max(s);
}

/* A few beyond the limit: two full sides would wait for each other. */
bool stage_takes_pong(const struct vmc_session *s)
{
	return unproven(s) < stage_max(s) + STAGE_EXTRA;
}

void stage_rest(struct vmc_session *s)
{
	const struct unit *u = unit_at(s, s->u_send);

	if (!s->unit_done)
		return;
	s->stage_kind = STAGE_REST;
	s->stage_ring = u->off + s->unit_done;
	s->stage_len = u->len - s->unit_done;
	s->stage_off = 0;
}

void stage_prove(struct vmc_session *s, uint64_t acked)
{
	if (!s->stage_marked || acked <= s->stage_mark_seq)
		return;
	s->stage_marked = false;
	s->stage_proven = s->stage_mark;
}

static void stage_begin(struct vmc_session *s, uint32_t len)
{
	s->stage_kind = STAGE_BUFFER;
	s->stage_len = len;
	s->stage_off = 0;
	s->stage_sent++;
	if (s->stage_marked)
		return;
	s->stage_marked = true;
	s->stage_mark = s->stage_sent;
	s->stage_mark_seq = s->tx_sent;
}

static uint32_t stage_frame(struct vmc_session *s, uint32_t at, uint8_t type,
			    const uint8_t *payload, size_t len)
{
	struct wire_header h = {
		.type = type,
		.len = (uint16_t)len,
		.hash = hash64(payload, len),
	};

	wire_put_header(s->stage + at, &h);
	wire_stamp(s->stage + at, (uint32_t)s->rx_next,
		   s->tx_seed ^ s->rx_digest);
	if (len)
		memcpy(s->stage + at + WIRE_HEADER, payload, len);
	s->ack_frames = s->ack_bytes = 0;
	s->ack_due = NEVER;
	return at + WIRE_HEADER + (uint32_t)len;
}

static void stage_preamble(struct vmc_session *s)
{
	s->want_preamble = false;
	s->dirty_pipe = false;
	s->stage_kind = STAGE_PREAMBLE;
	s->stage_len = VMC_MAX_FRAME;
	s->stage_off = 0;
	/* Its last bytes go before the HELLO, in the same unit. */
}

_Static_assert(WIRE_HEADER + 2 * HELLO_OURS <= STAGE_UNIT,
	       "HELLO and HELLO_ACK go in one unit");

static uint32_t stage_hello(struct vmc_session *s, uint32_t at, uint8_t kind)
{
	struct hello h;

	hello_make(s, &h, kind);
	return at + (uint32_t)wire_put_hello(s->stage + at, &h);
}

/* A torn frame of the guest may wait for its time-out instead; and a host
 * whose HELLO is here looks for ours and for nothing else. */
static bool needs_preamble(const struct vmc_session *s)
{
	return s->want_preamble && (s->cfg.role == VMC_ROLE_HOST ||
				    (!s->peer_seeks && pipe_has_room(s)));
}

/* A HELLO, the answer to one, or both in one unit. */
static bool stage_handshake(struct vmc_session *s, uint64_t now)
{
	uint32_t at = 0;

	if (!s->have_nonce || !(s->want_hello || s->want_answer))
		return false;
	if (needs_preamble(s)) {
		stage_preamble(s);
		return true;
	}
	s->want_preamble = false;
	if (!s->hello_tries) {
		memset(s->stage, 0, WIRE_HEADER);
		at = WIRE_HEADER;
	}
	s->hello_tries++;
	if (s->want_hello)
		at = stage_hello(s, at, HELLO_KIND_HELLO);
	if (s->want_answer) {
		at = stage_hello(s, at, HELLO_KIND_ACK);
		s->answered = true;
	}
	s->want_hello = s->want_answer = false;
	s->hello_due = now + s->hello_wait;
	stage_begin(s, at);
	return true;
}

static bool stage_bye(struct vmc_session *s)
{
	uint8_t payload[WIRE_CONTROL_MAX];
	size_t len;

	if (!s->want_bye)
		return false;
	s->want_bye = false;
	len = wire_put_reason(payload, s->bye_reason);
	stage_begin(s, stage_frame(s, 0, WIRE_BYE, payload, len));
	return true;
}

static bool stage_pings(struct vmc_session *s, uint64_t now)
{
	uint8_t payload[WIRE_CONTROL_MAX];
	uint32_t at = 0;

	if (unproven(s) >= max_u32(stage_max(s) / 2, STAGE_MIN) && !s->ping_out)
		s->want_ping = true;
	if (s->pong_due <= now) {
		s->pong_due = NEVER;
		s->want_pong = true;
	}
	if (s->want_pong && stage_takes_pong(s)) {
		s->want_pong = false;
		at = stage_frame(s, at, WIRE_PONG, payload,
				 wire_put_u64(payload, s->pong_token));
	}
	if (s->want_ping) {
		s->want_ping = false;
		s->ping_out = true;
		s->ping_at = now;
		s->ping_seq = s->tx_sent;
		s->ping_token++;
		s->stage_ping = s->stage_sent + 1;
		at = stage_frame(s, at, WIRE_PING, payload,
				 wire_put_u64(payload, s->ping_token));
	}
	if (at)
		stage_begin(s, at);
	return at > 0;
}

/* stage_fill() - what goes before all frames of the ring */
bool stage_fill(struct vmc_session *s, uint64_t now)
{
	if (s->state == VMC_SESSION_REFUSED && stage_bye(s))
		return true;
	if (stage_handshake(s, now))
		return true;
	return s->state == VMC_SESSION_UP && stage_pings(s, now);
}

static bool ack_is_due(const struct vmc_session *s, uint64_t now)
{
	return s->ack_frames &&
	       (s->ack_frames >= ACK_FRAMES ||
		s->ack_bytes >= s->ack_bytes_max || now >= s->ack_due);
}

/* stage_fill_ack() - an ACK alone, when nothing else would carry it */
bool stage_fill_ack(struct vmc_session *s, uint64_t now)
{
	static const uint8_t payload[1];

	if (!ack_is_due(s, now) || stage_is_full(s))
		return false;
	s->st.acks_out++;
	stage_begin(s, stage_frame(s, 0, WIRE_ACK, payload, 0));
	return true;
}
