/* SPDX-License-Identifier: MIT */
/*
 * wire.h - the codec: bytes <-> structs in which every value is legal
 *
 * Knows layouts and ranges of docs/protocol.md; knows no state.
 */
#ifndef SESSION_WIRE_H
#define SESSION_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmchannel/session.h>

#define WIRE_VERSION     1u
#define WIRE_HEADER      32u
#define WIRE_PAYLOAD_MAX (VMC_MAX_FRAME - WIRE_HEADER)
#define WIRE_FIN         0x01u /* DATA: no more bytes follow */

#define WIRE_IGNORABLE 0x80u
#define WIRE_SEQUENCED 0x10u /* (type & 0x7f) >= this */

/* Longest payload of a frame other than DATA. */
#define WIRE_CONTROL_MAX 81u

enum wire_type {
#define FRAME(name, type, flags, stream, min, max, handler) \
	WIRE_##name = (type),
#include "session/frames.def"
#undef FRAME
};

struct wire_header {
	uint8_t type, flags;
	uint16_t len; /* of the payload */
	uint32_t stream;
	uint32_t seq, ack;
	uint64_t hash; /* of the payload */
};

static inline bool wire_is_sequenced(uint8_t type)
{
	return (type & 0x7fu) >= WIRE_SEQUENCED;
}

/* wire_put_header() - everything but ack and check, see wire_stamp() */
void wire_put_header(uint8_t dst[WIRE_HEADER], const struct wire_header *h);
/* wire_stamp() - fill in what depends on the moment and the attach */
void wire_stamp(uint8_t dst[WIRE_HEADER], uint32_t ack, uint64_t seed);
/* wire_peek_header() - nothing is checked: it may not be one at all */
void wire_peek_header(const uint8_t src[WIRE_HEADER], struct wire_header *ret);
/* wire_get_header() - false: the check fails under @seed */
bool wire_get_header(const uint8_t src[WIRE_HEADER], uint64_t seed,
		     struct wire_header *ret);
/* wire_digest() - the history digest after one more frame */
uint64_t wire_digest(uint64_t digest, const struct wire_header *h);

/* Payloads. Encoders return the length; decoders false if it is not legal. */

struct wire_open {
	uint32_t flags;
	struct vmc_principal who;
	uint8_t name_len;
	char name[VMC_NAME_MAX + 1];
};

struct wire_name {
	uint32_t flags;
	uint8_t name_len;
	char name[VMC_NAME_MAX + 1];
};

size_t wire_put_open(uint8_t dst[WIRE_CONTROL_MAX], const struct wire_open *o);
bool wire_get_open(const uint8_t *src, size_t n, struct wire_open *ret);
size_t wire_put_reason(uint8_t dst[WIRE_CONTROL_MAX], unsigned int reason);
bool wire_get_reason(const uint8_t *src, size_t n, uint16_t *ret);
size_t wire_put_u64(uint8_t dst[WIRE_CONTROL_MAX], uint64_t v);
bool wire_get_u64(const uint8_t *src, size_t n, uint64_t *ret);
size_t wire_put_advertise(uint8_t dst[WIRE_CONTROL_MAX],
			  const struct wire_name *a);
bool wire_get_advertise(const uint8_t *src, size_t n, struct wire_name *ret);
size_t wire_put_withdraw(uint8_t dst[WIRE_CONTROL_MAX],
			 const struct wire_name *a);
bool wire_get_withdraw(const uint8_t *src, size_t n, struct wire_name *ret);

/* ---- HELLO ------------------------------------------------------------- */

#define HELLO_MAGIC_LEN 16u
#define HELLO_FIXED     152u
#define HELLO_MAX       1024u
/* The longest that this version sends. */
#define HELLO_OURS     (HELLO_FIXED + 12u + 8u)
#define HELLO_TLVS_MAX 32u     /* TLVs in one HELLO */
#define HELLO_TLV_MUST 0x8000u /* from here on: unknown = refuse */
/* The TLV that version 1 knows: u16 reason, u16 0. */
#define HELLO_TLV_EXPLAIN 1u
/* After a cut the peer's parser may wait for this much of a torn frame. */
#define HELLO_PREAMBLE (VMC_MAX_FRAME + WIRE_HEADER)

extern const uint8_t hello_magic[HELLO_MAGIC_LEN];

enum hello_kind {
	HELLO_KIND_HELLO = 1,
	HELLO_KIND_ACK = 2, /* echoes the peer's nonce, carries a verdict */
};

/* What the sender of a HELLO_ACK says about resuming. */
enum hello_verdict {
	HELLO_VERDICT_NONE = 0,     /* in a HELLO */
	HELLO_VERDICT_RESUME = 1,   /* I can go on */
	HELLO_VERDICT_UNKNOWN = 2,  /* I do not know that session */
	HELLO_VERDICT_ROLLBACK = 3, /* counters or history do not fit */
	HELLO_VERDICT_REFUSED = 4,  /* no common version or feature */
	HELLO_VERDICT_NUM
};

struct hello {
	uint8_t kind, role, version_min, version_max, verdict;
	uint64_t nonce, echo;
	uint8_t session_id[16];
	uint32_t epoch, attach_no;
	uint64_t rx_next, tx_first, tx_next, rx_digest;
	uint64_t instance;
	uint64_t features_offered, features_required;
	uint32_t max_frame, initial_window, max_streams, max_names;
	uint32_t inflight_bytes;
	/* Why the other's streams end should a new session begin; enum
	 * vmc_reason, 0: not said. */
	uint16_t explain;
	/* from the TLVs, receiving */
	uint32_t tlvs_ignored;
	bool tlv_refused; /* a mandatory one that we do not know */
	/* TLV to send, 0: none */
	uint16_t grease_type;
	uint64_t grease;
};

size_t wire_put_hello(uint8_t dst[HELLO_OURS], const struct hello *h);

/* Where in @src the next HELLO may begin; @n if nowhere. */
size_t wire_find_hello(const uint8_t *src, size_t n);

enum hello_result {
	HELLO_OK,
	HELLO_SHORT, /* could be one, needs more bytes */
	HELLO_BAD,
};
/* @ret_len: its length in bytes, when HELLO_OK */
enum hello_result wire_get_hello(const uint8_t *src, size_t n,
				 struct hello *ret, size_t *ret_len);

#endif /* SESSION_WIRE_H */
