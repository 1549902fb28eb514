/* SPDX-License-Identifier: MIT */
/*
 * hello.c - codec of HELLO and HELLO_ACK
 *
 * Not a frame: it has to be found in a stream of which nothing is known, and
 * its layout never changes, whatever the version. New things are TLVs.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "session/wire.h"

const uint8_t hello_magic[HELLO_MAGIC_LEN] = {
	0x00, 'V', 'M',  'C',  'H',  'A',  'N',  'N',
	'E',  'L', '\r', '\n', 0x1a, '\n', 0xff, 0x00,
};

enum {
	HELLO_AT_CHECK = 16,
	HELLO_AT_BODY = 24, /* what the check covers, to the end */
};

/* Not inline: gcc 12 then believes that the room is gone after the magic. */
__attribute__((noinline)) static void
put_fixed(struct wr *w, const struct hello *h, uint16_t len)
{
	wr_bytes(w, hello_magic, HELLO_MAGIC_LEN);
	wr_u64(w, 0); /* the check, later */
	wr_u16(w, len);
	wr_u8(w, h->kind);
	wr_u8(w, h->role);
	wr_u8(w, h->version_min);
	wr_u8(w, h->version_max);
	wr_u8(w, h->verdict);
	wr_u8(w, 0);
	wr_u64(w, h->nonce);
	wr_u64(w, h->echo);
	wr_bytes(w, h->session_id, sizeof(h->session_id));
	wr_u32(w, h->epoch);
	wr_u32(w, h->attach_no);
	wr_u64(w, h->rx_next);
	wr_u64(w, h->tx_first);
	wr_u64(w, h->tx_next);
	wr_u64(w, h->rx_digest);
	wr_u64(w, h->instance);
	wr_u64(w, h->features_offered);
	wr_u64(w, h->features_required);
	wr_u32(w, h->max_frame);
	wr_u32(w, h->initial_window);
	wr_u32(w, h->max_streams);
	wr_u32(w, h->max_names);
	wr_u32(w, h->inflight_bytes);
	wr_u32(w, 0);
}

#define EXPLAIN_LEN 4u

size_t wire_put_hello(uint8_t dst[HELLO_OURS], const struct hello *h)
{
	struct wr w = wr_init(dst, HELLO_OURS);
	size_t len = HELLO_FIXED;

	if (h->explain)
		len += 4 + EXPLAIN_LEN;
	if (h->grease_type)
		len += 4 + sizeof(h->grease);
	put_fixed(&w, h, (uint16_t)len);
	if (h->explain) {
		wr_u16(&w, HELLO_TLV_EXPLAIN);
		wr_u16(&w, EXPLAIN_LEN);
		wr_u16(&w, h->explain);
		wr_u16(&w, 0);
	}
	if (h->grease_type) {
		wr_u16(&w, h->grease_type);
		wr_u16(&w, sizeof(h->grease));
		wr_u64(&w, h->grease);
	}
	le64_put(dst + HELLO_AT_CHECK,
		 hash64(dst + HELLO_AT_BODY, len - HELLO_AT_BODY));
	return len;
}

/* Once at most, and not for nothing. */
static bool get_explain(struct rd *r, uint16_t len, struct hello *ret)
{
	if (len != EXPLAIN_LEN || ret->explain)
		return false;
	ret->explain = rd_u16(r);
	return rd_u16(r) == 0 && ret->explain;
}

static bool get_tlvs(struct rd *r, struct hello *ret)
{
	for (unsigned int n = 0; r->left; n++) {
		uint16_t type = rd_u16(r);
		uint16_t len = rd_u16(r);

		if (r->bad || n == HELLO_TLVS_MAX)
			return false;
		if (type == HELLO_TLV_EXPLAIN) {
			if (!get_explain(r, len, ret))
				return false;
			continue;
		}
		if (!rd_bytes(r, len) && r->bad)
			return false;
		if (type >= HELLO_TLV_MUST)
			ret->tlv_refused = true;
		else
			ret->tlvs_ignored++;
	}
	return !r->bad;
}

static bool get_fixed(struct rd *r, struct hello *h)
{
	uint8_t reserved8;
	uint32_t reserved32;
	const uint8_t *id;

	h->kind = rd_u8(r);
	h->role = rd_u8(r);
	h->version_min = rd_u8(r);
	h->version_max = rd_u8(r);
	h->verdict = rd_u8(r);
	reserved8 = rd_u8(r);
	h->nonce = rd_u64(r);
	h->echo = rd_u64(r);
	id = rd_bytes(r, sizeof(h->session_id));
	if (id)
		memcpy(h->session_id, id, sizeof(h->session_id));
	h->epoch = rd_u32(r);
	h->attach_no = rd_u32(r);
	h->rx_next = rd_u64(r);
	h->tx_first = rd_u64(r);
	h->tx_next = rd_u64(r);
	h->rx_digest = rd_u64(r);
	h->instance = rd_u64(r);
	h->features_offered = rd_u64(r);
	h->features_required = rd_u64(r);
	h->max_frame = rd_u32(r);
	h->initial_window = rd_u32(r);
	h->max_streams = rd_u32(r);
	h->max_names = rd_u32(r);
	h->inflight_bytes = rd_u32(r);
	reserved32 = rd_u32(r);
	return !r->bad && !reserved8 && !reserved32;
}

static bool is_legal(const struct hello *h)
{
	bool ack = h->kind == HELLO_KIND_ACK;

	if (!ack && h->kind != HELLO_KIND_HELLO)
		return false;
	if (ack != (h->verdict != HELLO_VERDICT_NONE) ||
	    h->verdict >= HELLO_VERDICT_NUM)
		return false;
	if (!h->nonce || (ack && !h->echo) || (!ack && h->echo))
		return false;
	if (h->role > VMC_ROLE_GUEST || !h->version_min ||
	    h->version_min > h->version_max)
		return false;
	if (h->tx_first > h->tx_next ||
	    h->features_required & ~h->features_offered)
		return false;
	return h->max_frame >= VMC_MIN_FRAME && h->max_streams >= 1 &&
	       h->inflight_bytes >= 1;
}

static uint32_t at_most(uint32_t v, uint32_t max)
{
	return v < max ? v : max;
}

/* HELLO never changes, but a later release may do with more than this one:
 * what it offers beyond our maxima is not used. */
static void clamp(struct hello *h)
{
	h->max_frame = at_most(h->max_frame, VMC_MAX_FRAME);
	h->initial_window = at_most(h->initial_window, VMC_MAX_WINDOW);
	h->inflight_bytes = at_most(h->inflight_bytes, VMC_MAX_INFLIGHT);
}

/* The byte of the magic that is looked at first; it is there once. */
#define MAGIC_RARE 14u

/* How many bytes of the magic end with this one, at most. */
static const uint8_t magic_upto[256] = {
	[0x00] = 1,  ['V'] = 2,   ['M'] = 3,   ['C'] = 4,  ['H'] = 5,
	['A'] = 6,   ['N'] = 8,   ['E'] = 9,   ['L'] = 10, ['\r'] = 11,
	[0x1a] = 13, ['\n'] = 14, [0xff] = 15,
};

/*
 * Where the whole magic is, or @n. A preamble's zeros are passed in steps of
 * 14; whatever the bytes are, none costs more than one look.
 */
static size_t find_magic(const uint8_t *src, size_t n)
{
	size_t i = 0;

	while (i + HELLO_MAGIC_LEN <= n) {
		size_t fits = magic_upto[src[i + MAGIC_RARE]];

		if (fits <= MAGIC_RARE)
			i += MAGIC_RARE + 1 - fits;
		else if (memcmp(src + i, hello_magic, HELLO_MAGIC_LEN) == 0)
			return i;
		else
			i++;
	}
	return n;
}

size_t wire_find_hello(const uint8_t *src, size_t n)
{
	size_t at = find_magic(src, n);

	if (at < n)
		return at;
	/* Its beginning may be the end of the bytes. */
	at = n < HELLO_MAGIC_LEN ? 0 : n - HELLO_MAGIC_LEN + 1;
	while (at < n && memcmp(src + at, hello_magic, n - at) != 0)
		at++;
	return at;
}

enum hello_result wire_get_hello(const uint8_t *src, size_t n,
				 struct hello *ret, size_t *ret_len)
{
	size_t some = n < HELLO_MAGIC_LEN ? n : HELLO_MAGIC_LEN;
	struct rd r;
	uint16_t untrusted_len;

	if (memcmp(src, hello_magic, some) != 0)
		return HELLO_BAD;
	if (n < HELLO_AT_BODY + 2)
		return HELLO_SHORT;
	untrusted_len = le16_get(src + HELLO_AT_BODY);
	if (untrusted_len < HELLO_FIXED || untrusted_len > HELLO_MAX)
		return HELLO_BAD;
	some = n < untrusted_len ? n : untrusted_len;
	/* So no byte is ever hashed for two of them. */
	if (find_magic(src + 1, some - 1) < some - 1)
		return HELLO_BAD;
	if (n < untrusted_len)
		return HELLO_SHORT;
	if (le64_get(src + HELLO_AT_CHECK) !=
	    hash64(src + HELLO_AT_BODY, (size_t)untrusted_len - HELLO_AT_BODY))
		return HELLO_BAD;
	*ret_len = untrusted_len;
	*ret = (struct hello){0};
	r = rd_init(src + HELLO_AT_BODY + 2,
		    (size_t)untrusted_len - HELLO_AT_BODY - 2);
	if (!get_fixed(&r, ret) || !get_tlvs(&r, ret) || !is_legal(ret))
		return HELLO_BAD;
	clamp(ret);
	return HELLO_OK;
}
