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

/* Offsets; the layout never changes. */
enum {
	AT_CHECK = 16,
	AT_BODY = 24, /* what the check covers, to the end */
	AT_LENGTH = 24,
	AT_KIND = 26,
	AT_ROLE = 27,
	AT_VERSION_MIN = 28,
	AT_VERSION_MAX = 29,
	AT_VERDICT = 30,
	AT_RESERVED8 = 31,
	AT_NONCE = 32,
	AT_ECHO = 40,
	AT_SESSION = 48,
	AT_EPOCH = 64,
	AT_ATTACH_NO = 68,
	AT_RX_NEXT = 72,
	AT_TX_FIRST = 80,
	AT_TX_NEXT = 88,
	AT_RX_DIGEST = 96,
	AT_INSTANCE = 104,
	AT_OFFERED = 112,
	AT_REQUIRED = 120,
	AT_MAX_FRAME = 128,
	AT_WINDOW = 132,
	AT_STREAMS = 136,
	AT_NAMES = 140,
	AT_INFLIGHT = 144,
	AT_RESERVED32 = 148,
};

_Static_assert(AT_RESERVED32 + 4 == HELLO_FIXED, "all of it is named");

/* By offset and not field by field: after a migration under emulation each
 * branch costs 20 us, and a stream waits for this. */
static void put_fixed(uint8_t p[HELLO_FIXED], const struct hello *h,
		      uint16_t len)
{
	memcpy(p, hello_magic, HELLO_MAGIC_LEN);
	le16_put(p + AT_LENGTH, len);
	p[AT_KIND] = h->kind;
	p[AT_ROLE] = h->role;
	p[AT_VERSION_MIN] = h->version_min;
	p[AT_VERSION_MAX] = h->version_max;
	p[AT_VERDICT] = h->verdict;
	p[AT_RESERVED8] = 0;
	le64_put(p + AT_NONCE, h->nonce);
	le64_put(p + AT_ECHO, h->echo);
	memcpy(p + AT_SESSION, h->session_id, sizeof(h->session_id));
	le32_put(p + AT_EPOCH, h->epoch);
	le32_put(p + AT_ATTACH_NO, h->attach_no);
	le64_put(p + AT_RX_NEXT, h->rx_next);
	le64_put(p + AT_TX_FIRST, h->tx_first);
	le64_put(p + AT_TX_NEXT, h->tx_next);
	le64_put(p + AT_RX_DIGEST, h->rx_digest);
	le64_put(p + AT_INSTANCE, h->instance);
	le64_put(p + AT_OFFERED, h->features_offered);
	le64_put(p + AT_REQUIRED, h->features_required);
	le32_put(p + AT_MAX_FRAME, h->max_frame);
	le32_put(p + AT_WINDOW, h->initial_window);
	le32_put(p + AT_STREAMS, h->max_streams);
	le32_put(p + AT_NAMES, h->max_names);
	le32_put(p + AT_INFLIGHT, h->inflight_bytes);
	le32_put(p + AT_RESERVED32, 0);
}

#define EXPLAIN_LEN 4u

/* Return: bytes */
static size_t put_tlvs(uint8_t p[HELLO_OURS - HELLO_FIXED],
		       const struct hello *h)
{
	size_t n = 0;

	if (h->explain) {
		le16_put(p, HELLO_TLV_EXPLAIN);
		le16_put(p + 2, EXPLAIN_LEN);
		le16_put(p + 4, h->explain);
		le16_put(p + 6, 0);
		n = 4 + EXPLAIN_LEN;
	}
	if (h->grease_type) {
		le16_put(p + n, h->grease_type);
		le16_put(p + n + 2, sizeof(h->grease));
		le64_put(p + n + 4, h->grease);
		n += 4 + sizeof(h->grease);
	}
	return n;
}

size_t wire_put_hello(uint8_t dst[HELLO_OURS], const struct hello *h)
{
	size_t len = HELLO_FIXED + put_tlvs(dst + HELLO_FIXED, h);

	put_fixed(dst, h, (uint16_t)len);
	le64_put(dst + AT_CHECK, hash64(dst + AT_BODY, len - AT_BODY));
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

static bool get_fixed(const uint8_t p[HELLO_FIXED], struct hello *h)
{
	h->kind = p[AT_KIND];
	h->role = p[AT_ROLE];
	h->version_min = p[AT_VERSION_MIN];
	h->version_max = p[AT_VERSION_MAX];
	h->verdict = p[AT_VERDICT];
	h->nonce = le64_get(p + AT_NONCE);
	h->echo = le64_get(p + AT_ECHO);
	memcpy(h->session_id, p + AT_SESSION, sizeof(h->session_id));
	h->epoch = le32_get(p + AT_EPOCH);
	h->attach_no = le32_get(p + AT_ATTACH_NO);
	h->rx_next = le64_get(p + AT_RX_NEXT);
	h->tx_first = le64_get(p + AT_TX_FIRST);
	h->tx_next = le64_get(p + AT_TX_NEXT);
	h->rx_digest = le64_get(p + AT_RX_DIGEST);
	h->instance = le64_get(p + AT_INSTANCE);
	h->features_offered = le64_get(p + AT_OFFERED);
	h->features_required = le64_get(p + AT_REQUIRED);
	h->max_frame = le32_get(p + AT_MAX_FRAME);
	h->initial_window = le32_get(p + AT_WINDOW);
	h->max_streams = le32_get(p + AT_STREAMS);
	h->max_names = le32_get(p + AT_NAMES);
	h->inflight_bytes = le32_get(p + AT_INFLIGHT);
	return !p[AT_RESERVED8] && !le32_get(p + AT_RESERVED32);
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
	if (n < AT_BODY + 2)
		return HELLO_SHORT;
	untrusted_len = le16_get(src + AT_BODY);
	if (untrusted_len < HELLO_FIXED || untrusted_len > HELLO_MAX)
		return HELLO_BAD;
	some = n < untrusted_len ? n : untrusted_len;
	/* So no byte is ever hashed for two of them. */
	if (find_magic(src + 1, some - 1) < some - 1)
		return HELLO_BAD;
	if (n < untrusted_len)
		return HELLO_SHORT;
	if (le64_get(src + AT_CHECK) !=
	    hash64(src + AT_BODY, (size_t)untrusted_len - AT_BODY))
		return HELLO_BAD;
	*ret_len = untrusted_len;
	*ret = (struct hello){0};
	r = rd_init(src + HELLO_FIXED, (size_t)untrusted_len - HELLO_FIXED);
	if (!get_fixed(src, ret) || !get_tlvs(&r, ret) || !is_legal(ret))
		return HELLO_BAD;
	clamp(ret);
	return HELLO_OK;
}
