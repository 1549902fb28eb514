/* SPDX-License-Identifier: MIT */
/* wire.c - codec of the frames */
#include "session/wire.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

/* Offsets in the header. */
enum {
	H_TYPE = 0,
	H_FLAGS = 1,
	H_LEN = 2,
	H_STREAM = 4,
	H_SEQ = 8,
	H_ACK = 12,
	H_HASH = 16,
	H_CHECK = 24,
};

void wire_put_header(uint8_t dst[WIRE_HEADER], const struct wire_header *h)
{
	dst[H_TYPE] = h->type;
	dst[H_FLAGS] = h->flags;
	le16_put(dst + H_LEN, h->len);
	le32_put(dst + H_STREAM, h->stream);
	le32_put(dst + H_SEQ, h->seq);
	le64_put(dst + H_HASH, h->hash);
}

void wire_stamp(uint8_t dst[WIRE_HEADER], uint32_t ack, uint64_t seed)
{
	le32_put(dst + H_ACK, ack);
	le64_put(dst + H_CHECK, hash64_seed(dst, H_CHECK, seed));
}

void wire_peek_header(const uint8_t src[WIRE_HEADER], struct wire_header *ret)
{
	ret->type = src[H_TYPE];
	ret->flags = src[H_FLAGS];
	ret->len = le16_get(src + H_LEN);
	ret->stream = le32_get(src + H_STREAM);
	ret->seq = le32_get(src + H_SEQ);
	ret->ack = le32_get(src + H_ACK);
	ret->hash = le64_get(src + H_HASH);
}

bool wire_get_header(const uint8_t src[WIRE_HEADER], uint64_t seed,
		     struct wire_header *ret)
{
	if (le64_get(src + H_CHECK) != hash64_seed(src, H_CHECK, seed))
		return false;
	wire_peek_header(src, ret);
	return true;
}

uint64_t wire_digest(uint64_t digest, const struct wire_header *h)
{
	uint8_t item[16];

	item[0] = h->type;
	item[1] = h->flags;
	le16_put(item + 2, h->len);
	le32_put(item + 4, h->stream);
	le64_put(item + 8, h->hash);
	return hash64_seed(item, sizeof(item), digest);
}

/* A name is legal, or the frame is not. */
static void get_name(struct rd *r, uint8_t *ret_len, char *ret)
{
	uint8_t len = rd_u8(r);
	const uint8_t *p = rd_bytes(r, len);

	if (!p || !vmc_name_valid((const char *)p, len)) {
		r->bad = true;
		return;
	}
	memcpy(ret, p, len);
	ret[len] = '\0';
	*ret_len = len;
}

static void put_name(struct wr *w, uint8_t len, const char *name)
{
	wr_u8(w, len);
	wr_bytes(w, name, len);
}

size_t wire_put_open(uint8_t dst[WIRE_CONTROL_MAX], const struct wire_open *o)
{
	struct wr w = wr_init(dst, WIRE_CONTROL_MAX);

	wr_u32(&w, o->flags);
	wr_u32(&w, o->who.kind);
	wr_u32(&w, o->who.uid);
	wr_u32(&w, o->who.gid);
	put_name(&w, o->name_len, o->name);
	return WIRE_CONTROL_MAX - w.left;
}

bool wire_get_open(const uint8_t *src, size_t n, struct wire_open *ret)
{
	struct rd r = rd_init(src, n);

	ret->flags = rd_u32(&r);
	ret->who.kind = rd_u32(&r);
	ret->who.uid = rd_u32(&r);
	ret->who.gid = rd_u32(&r);
	get_name(&r, &ret->name_len, ret->name);
	return rd_done(&r) && !(ret->flags & ~VMC_OPEN_MESSAGES) &&
	       ret->who.kind <= VMC_PRINCIPAL_GUEST;
}

size_t wire_put_reason(uint8_t dst[WIRE_CONTROL_MAX], unsigned int reason)
{
	struct wr w = wr_init(dst, WIRE_CONTROL_MAX);

	wr_u16(&w, (uint16_t)reason);
	wr_u16(&w, 0);
	return WIRE_CONTROL_MAX - w.left;
}

bool wire_get_reason(const uint8_t *src, size_t n, uint16_t *ret)
{
	struct rd r = rd_init(src, n);

	*ret = rd_u16(&r);
	return rd_u16(&r) == 0 && rd_done(&r);
}

size_t wire_put_u64(uint8_t dst[WIRE_CONTROL_MAX], uint64_t v)
{
	le64_put(dst, v);
	return sizeof(v);
}

bool wire_get_u64(const uint8_t *src, size_t n, uint64_t *ret)
{
	struct rd r = rd_init(src, n);

	*ret = rd_u64(&r);
	return rd_done(&r);
}

size_t wire_put_advertise(uint8_t dst[WIRE_CONTROL_MAX],
			  const struct wire_name *a)
{
	struct wr w = wr_init(dst, WIRE_CONTROL_MAX);

	wr_u32(&w, a->flags);
	put_name(&w, a->name_len, a->name);
	return WIRE_CONTROL_MAX - w.left;
}

bool wire_get_advertise(const uint8_t *src, size_t n, struct wire_name *ret)
{
	struct rd r = rd_init(src, n);

	ret->flags = rd_u32(&r);
	get_name(&r, &ret->name_len, ret->name);
	return rd_done(&r) && !(ret->flags & ~VMC_NAME_MESSAGES);
}

size_t wire_put_withdraw(uint8_t dst[WIRE_CONTROL_MAX],
			 const struct wire_name *a)
{
	struct wr w = wr_init(dst, WIRE_CONTROL_MAX);

	put_name(&w, a->name_len, a->name);
	return WIRE_CONTROL_MAX - w.left;
}

bool wire_get_withdraw(const uint8_t *src, size_t n, struct wire_name *ret)
{
	struct rd r = rd_init(src, n);

	ret->flags = 0;
	get_name(&r, &ret->name_len, ret->name);
	return rd_done(&r);
}
