/* SPDX-License-Identifier: MIT */
/*
 * blob.h - saved states made by hand (docs/continuity.md, section 3.1)
 *
 * Written down a second time on purpose: the format is a promise to other
 * releases, and these are its numbers.
 */
#ifndef TESTS_UNIT_BLOB_H
#define TESTS_UNIT_BLOB_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

#define BLOB_MAX (2u << 20)

enum {
	S_SESSION = 1,
	S_STREAMS,
	S_RECEIVED,
	S_RETAINED,
	S_NAMES,
	S_REJECTS,
	S_NUM,
};

enum {
	B_USED = 0x0001,
	B_PEER = 0x0002,
	B_ACCEPTED = 0x0004,
	B_READY = 0x0008,
	B_TX_END = 0x0010,
	B_TX_FIN = 0x0020,
	B_TX_ACKED = 0x0040,
	B_RX_FIN = 0x0080,
	B_RX_STOP = 0x0100,
	B_ENDED = 0x0200,
	B_MESSAGES = 0x0400,
};

enum {
	W_OPEN = 0x01,
	W_ACCEPT = 0x02,
	W_CREDIT = 0x04,
	W_FIN = 0x08,
	W_STOP = 0x10,
	W_RESET = 0x20,
};

struct blob_session {
	uint8_t role, version;
	uint16_t explain;
	uint32_t epoch, attach_no, max_frame;
	uint8_t id[16];
	uint64_t features, instance, peer_instance;
	uint32_t peer_window, peer_streams, peer_names, ack_bytes_max;
	uint32_t next_id, peer_last_id;
	uint64_t rx_next, rx_digest, tx_first, tx_next;
	uint64_t tx_digest_first, tx_digest;
	uint32_t initial_window, reserved;
};

struct blob_stream {
	uint32_t id;
	uint16_t bits;
	uint8_t want, weight;
	uint16_t tx_reason, stop_reason, end_reason;
	uint8_t name_len, reserved8;
	uint32_t window, q_len;
	uint64_t owner, cookie, tx_off, tx_limit, rx_off, rx_limit, rx_read;
	uint64_t grow_from, fin_seq, bytes_out;
	uint32_t kind, uid, gid, reserved;
	const char *name;
};

struct blob {
	uint8_t *p;
	size_t len;
	size_t at; /* where the present section began */
};

static inline void blob_init(struct blob *b)
{
	b->p = malloc(BLOB_MAX);
	b->len = b->at = 0;
	if (!b->p)
		abort();
}

static inline void blob_int(struct blob *b, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->p[b->len++] = (uint8_t)(v >> (8 * i));
}

static inline void blob_bytes(struct blob *b, const void *p, size_t n)
{
	memcpy(b->p + b->len, p, n);
	b->len += n;
}

static inline void blob_begin(struct blob *b, unsigned int type)
{
	b->at = b->len;
	blob_int(b, type, 2);
	blob_int(b, 1, 2);
	blob_int(b, 0, 4);
}

static inline void blob_end(struct blob *b)
{
	le32_put(b->p + b->at + 4, (uint32_t)(b->len - b->at - 8));
	while (b->len % 8)
		blob_int(b, 0, 1);
}

static inline void blob_put_session(struct blob *b,
				    const struct blob_session *s)
{
	blob_begin(b, S_SESSION);
	blob_int(b, s->role, 1);
	blob_int(b, s->version, 1);
	blob_int(b, s->explain, 2);
	blob_int(b, s->epoch, 4);
	blob_int(b, s->attach_no, 4);
	blob_int(b, s->max_frame, 4);
	blob_bytes(b, s->id, 16);
	blob_int(b, s->features, 8);
	blob_int(b, s->instance, 8);
	blob_int(b, s->peer_instance, 8);
	blob_int(b, s->peer_window, 4);
	blob_int(b, s->peer_streams, 4);
	blob_int(b, s->peer_names, 4);
	blob_int(b, s->ack_bytes_max, 4);
	blob_int(b, s->next_id, 4);
	blob_int(b, s->peer_last_id, 4);
	blob_int(b, s->rx_next, 8);
	blob_int(b, s->rx_digest, 8);
	blob_int(b, s->tx_first, 8);
	blob_int(b, s->tx_next, 8);
	blob_int(b, s->tx_digest_first, 8);
	blob_int(b, s->tx_digest, 8);
	blob_int(b, s->initial_window, 4);
	blob_int(b, s->reserved, 4);
	blob_end(b);
}

static inline void blob_put_stream(struct blob *b, const struct blob_stream *s)
{
	blob_int(b, s->id, 4);
	blob_int(b, s->bits, 2);
	blob_int(b, s->want, 1);
	blob_int(b, s->weight, 1);
	blob_int(b, s->tx_reason, 2);
	blob_int(b, s->stop_reason, 2);
	blob_int(b, s->end_reason, 2);
	blob_int(b, s->name_len, 1);
	blob_int(b, s->reserved8, 1);
	blob_int(b, s->window, 4);
	blob_int(b, s->q_len, 4);
	blob_int(b, s->owner, 8);
	blob_int(b, s->cookie, 8);
	blob_int(b, s->tx_off, 8);
	blob_int(b, s->tx_limit, 8);
	blob_int(b, s->rx_off, 8);
	blob_int(b, s->rx_limit, 8);
	blob_int(b, s->rx_read, 8);
	blob_int(b, s->grow_from, 8);
	blob_int(b, s->fin_seq, 8);
	blob_int(b, s->bytes_out, 8);
	blob_int(b, s->kind, 4);
	blob_int(b, s->uid, 4);
	blob_int(b, s->gid, 4);
	blob_int(b, s->reserved, 4);
	if (s->name)
		blob_bytes(b, s->name, s->name_len);
}

/* Return: the history's digest after the frame. */
static inline uint64_t blob_put_frame(struct blob *b, uint64_t digest,
				      uint8_t type, uint8_t flags,
				      uint32_t stream, const void *payload,
				      uint16_t len)
{
	uint64_t hash = hash64(payload, len);
	uint8_t item[16];

	item[0] = type;
	item[1] = flags;
	le16_put(item + 2, len);
	le32_put(item + 4, stream);
	le64_put(item + 8, hash);
	blob_bytes(b, item, sizeof(item));
	blob_bytes(b, payload, len);
	return hash64_seed(item, sizeof(item), digest);
}

static inline void blob_put_name(struct blob *b, uint8_t side, uint32_t flags,
				 const char *name)
{
	size_t len = strlen(name);

	blob_int(b, side, 1);
	blob_int(b, len, 1);
	blob_int(b, 0, 2);
	blob_int(b, flags, 4);
	blob_bytes(b, name, len);
	for (; len < 64; len++)
		blob_int(b, 0, 1);
}

static inline void blob_put_reject(struct blob *b, uint32_t id, uint16_t reason)
{
	blob_int(b, id, 4);
	blob_int(b, reason, 2);
	blob_int(b, 0, 2);
}

/* The bytes of a section, NULL if it is not there. */
static inline uint8_t *blob_section(const struct blob *b, unsigned int type,
				    size_t *ret_len)
{
	size_t at = 0;

	*ret_len = 0;
	while (at + 8 <= b->len) {
		uint32_t len = le32_get(b->p + at + 4);

		if (le16_get(b->p + at) == type) {
			*ret_len = len;
			return b->p + at + 8;
		}
		at += 8 + ((len + 7u) & ~(size_t)7);
	}
	return NULL;
}

#endif /* TESTS_UNIT_BLOB_H */
