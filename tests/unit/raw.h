/* SPDX-License-Identifier: MIT */
/*
 * raw.h - a hand-made guest: speaks the wire of docs/protocol.md to one engine
 *
 * Writes whatever a test wants, rules or not, under checks that hold.
 */
#ifndef TESTS_UNIT_RAW_H
#define TESTS_UNIT_RAW_H

#include "pair.h"

#include "base/hash.h"
#include "session/wire.h"

#define RAW_NONCE UINT64_C(0xfeedfacecafebeef)

/* Digests that are remembered; more frames are never un-acked. */
#define RAW_DIGESTS 8192u

struct raw {
	struct vmc_session *s; /* a host */
	void *mem;
	uint64_t now;
	uint64_t tx_seed, rx_seed;
	/* before frame n, modulo the size: of the engine, and ours */
	uint64_t rx_digest[RAW_DIGESTS], tx_digest[RAW_DIGESTS];
	uint32_t n_sent;   /* in order, that is */
	uint32_t seq, ack; /* ours next; the engine's next */
	struct hello theirs;
	uint8_t out[1u << 20]; /* what the engine wrote */
	size_t out_len, out_at;
};

static inline uint64_t *raw_digest(uint64_t *of, uint32_t n)
{
	return &of[n % RAW_DIGESTS];
}

static inline void raw_init(struct raw *r, const struct vmc_session_config *cfg)
{
	struct vmc_session_config def;
	size_t size;

	memset(r, 0, sizeof(*r));
	r->now = 5000000;
	vmc_session_config_default(&def, VMC_ROLE_HOST);
	def.grease = 0;
	if (!cfg)
		cfg = &def;
	size = (vmc_session_size(cfg) + 63) & ~(size_t)63;
	r->mem = aligned_alloc(64, size);
	assert_non_null(r->mem);
	assert_int_equal(vmc_session_init(&r->s, r->mem, size, cfg), 0);
}

static inline void raw_free(struct raw *r)
{
	free(r->mem);
}

static inline void raw_bytes(struct raw *r, const void *p, size_t n)
{
	uint8_t *buf;

	assert_true(vmc_session_input(r->s, &buf) >= n);
	memcpy(buf, p, n);
	vmc_session_input_done(r->s, n, r->now);
}

/* The next event, NONE if there is none. */
static inline struct vmc_event raw_event(struct raw *r)
{
	struct vmc_event ev;

	if (!vmc_session_next_event(r->s, &ev, r->now))
		ev.type = VMC_EV_NONE;
	assert_null(vmc_session_check(r->s));
	return ev;
}

static inline void raw_collect(struct raw *r)
{
	const uint8_t *buf;
	size_t n;

	while ((n = vmc_session_output(r->s, &buf, r->now))) {
		assert_true(r->out_len + n <= sizeof(r->out));
		memcpy(r->out + r->out_len, buf, n);
		r->out_len += n;
		vmc_session_output_done(r->s, n, r->now);
	}
}

/* The next HELLO or HELLO_ACK in what the engine wrote. */
static inline bool raw_get_hello(struct raw *r, struct hello *ret)
{
	size_t len;

	raw_collect(r);
	for (; r->out_at < r->out_len; r->out_at++) {
		if (wire_get_hello(r->out + r->out_at, r->out_len - r->out_at,
				   ret, &len) != HELLO_OK)
			continue;
		r->out_at += len;
		return true;
	}
	return false;
}

/* The next frame in what the engine wrote; its payload stays in out[]. */
static inline bool raw_get(struct raw *r, struct wire_header *ret,
			   const uint8_t **ret_payload)
{
	uint64_t seed = r->rx_seed;

	raw_collect(r);
	if (r->out_len - r->out_at < WIRE_HEADER)
		return false;
	wire_peek_header(r->out + r->out_at, ret);
	assert_true(ret->ack <= r->n_sent);
	seed ^= *raw_digest(r->tx_digest, ret->ack);
	if (wire_is_sequenced(ret->type))
		seed ^= *raw_digest(r->rx_digest, r->ack);
	assert_true(wire_get_header(r->out + r->out_at, seed, ret));
	*ret_payload = r->out + r->out_at + WIRE_HEADER;
	assert_int_equal(hash64(*ret_payload, ret->len), ret->hash);
	r->out_at += WIRE_HEADER + ret->len;
	if (wire_is_sequenced(ret->type)) {
		assert_int_equal(ret->seq, r->ack++);
		*raw_digest(r->rx_digest, r->ack) =
			wire_digest(*raw_digest(r->rx_digest, r->ack - 1), ret);
	}
	return true;
}

/* The next frame must be of this type. */
static inline struct wire_header raw_expect(struct raw *r, uint8_t type,
					    const uint8_t **ret_payload)
{
	const uint8_t *payload;
	struct wire_header h;

	assert_true(raw_get(r, &h, &payload));
	assert_int_equal(h.type, type);
	if (ret_payload)
		*ret_payload = payload;
	return h;
}

static inline void raw_frame(struct raw *r, const struct wire_header *with,
			     const void *payload)
{
	static uint8_t buf[VMC_MAX_FRAME + WIRE_HEADER];
	struct wire_header h = *with;
	uint64_t seed = r->tx_seed;

	if (payload)
		memcpy(buf + WIRE_HEADER, payload, h.len);
	h.hash = hash64(buf + WIRE_HEADER, h.len);
	wire_put_header(buf, &h);
	seed ^= *raw_digest(r->rx_digest, r->ack);
	if (wire_is_sequenced(h.type))
		seed ^= *raw_digest(r->tx_digest, r->n_sent);
	wire_stamp(buf, r->ack, seed);
	if (wire_is_sequenced(h.type) && h.seq == r->n_sent) {
		*raw_digest(r->tx_digest, r->n_sent + 1) =
			wire_digest(*raw_digest(r->tx_digest, r->n_sent), &h);
		r->n_sent++;
	}
	raw_bytes(r, buf, (size_t)WIRE_HEADER + h.len);
}

/* A frame of the next number. */
static inline void raw_send(struct raw *r, uint8_t type, uint8_t flags,
			    uint32_t stream, const void *payload, size_t len)
{
	struct wire_header h = {
		.type = type,
		.flags = flags,
		.stream = stream,
		.len = (uint16_t)len,
	};

	if (wire_is_sequenced(type))
		h.seq = r->seq++;
	raw_frame(r, &h, payload);
}

static inline struct hello raw_hello(uint8_t kind)
{
	return (struct hello){
		.kind = kind,
		.role = VMC_ROLE_GUEST,
		.version_min = 1,
		.version_max = 1,
		.nonce = RAW_NONCE,
		.instance = 7,
		.max_frame = VMC_MAX_FRAME,
		.initial_window = 1024,
		.max_streams = 256,
		.max_names = 64,
		.inflight_bytes = 131072,
	};
}

static inline void raw_say(struct raw *r, const struct hello *h)
{
	uint8_t buf[HELLO_OURS];

	raw_bytes(r, buf, wire_put_hello(buf, h));
}

static inline void raw_attach(struct raw *r)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	memset(entropy, 0x5a, sizeof(entropy));
	vmc_session_attach(r->s, entropy, r->now);
	assert_true(raw_get_hello(r, &r->theirs));
	assert_int_equal(r->theirs.kind, HELLO_KIND_HELLO);
}

static inline uint64_t raw_derive(const struct raw *r, uint64_t use)
{
	uint8_t both[16];

	for (int i = 0; i < 8; i++) {
		both[i] = (uint8_t)(r->theirs.nonce >> (8 * i));
		both[8 + i] = (uint8_t)(RAW_NONCE >> (8 * i));
	}
	return hash64_seed(both, sizeof(both), use);
}

/* Everything that both know when a session is new. */
static inline void raw_new_session(struct raw *r)
{
	r->rx_seed = raw_derive(r, 1);
	r->tx_seed = raw_derive(r, 2);
	r->rx_digest[0] = raw_derive(r, 5);
	r->tx_digest[0] = raw_derive(r, 6);
	r->seq = r->ack = r->n_sent = 0;
}

/* All the way to UP, as a guest without a session. */
static inline void raw_up(struct raw *r)
{
	struct hello ack = raw_hello(HELLO_KIND_ACK), back;

	raw_attach(r);
	ack.echo = r->theirs.nonce;
	ack.verdict = HELLO_VERDICT_UNKNOWN;
	raw_say(r, &ack);
	assert_int_equal(raw_event(r).type, VMC_EV_UP);
	raw_new_session(r);
	assert_true(raw_get_hello(r, &back));
	assert_int_equal(back.kind, HELLO_KIND_ACK);
	assert_int_equal(back.echo, RAW_NONCE);
}

/* OPEN of stream @id as a guest program. */
static inline void raw_open(struct raw *r, uint32_t id)
{
	uint8_t payload[WIRE_CONTROL_MAX];
	struct wire_open o = {
		.who = {.kind = VMC_PRINCIPAL_GUEST, .uid = 1000},
		.name_len = 3,
		.name = "a.b",
	};

	raw_send(r, WIRE_OPEN, 0, id, payload, wire_put_open(payload, &o));
}

static inline void raw_stats(const struct raw *r, struct vmc_session_stats *ret)
{
	vmc_session_get_stats(r->s, ret);
}

#endif /* TESTS_UNIT_RAW_H */
