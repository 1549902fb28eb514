/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - the one door to foreign bytes
 *
 * A reader and a writer over a byte string, little-endian. Both keep a sticky
 * error: read or write all fields, then ask once. Lengths are compared, never
 * pointers.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTES_LE(bits, x) (x)
#else
#define BYTES_LE(bits, x) __builtin_bswap##bits(x)
#endif

static inline uint16_t le16_get(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return BYTES_LE(16, v);
}

static inline uint32_t le32_get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return BYTES_LE(32, v);
}

static inline uint64_t le64_get(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return BYTES_LE(64, v);
}

static inline void le16_put(uint8_t *p, uint16_t v)
{
	v = BYTES_LE(16, v);
	memcpy(p, &v, sizeof(v));
}

static inline void le32_put(uint8_t *p, uint32_t v)
{
	v = BYTES_LE(32, v);
	memcpy(p, &v, sizeof(v));
}

static inline void le64_put(uint8_t *p, uint64_t v)
{
	v = BYTES_LE(64, v);
	memcpy(p, &v, sizeof(v));
}

/* struct rd - what is left of a byte string; @bad is sticky */
struct rd {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct rd rd_init(const uint8_t *p, size_t n)
{
	return (struct rd){.p = p, .left = n};
}

/* rd_bytes() - the next @n bytes, borrowed; NULL if there are fewer */
static inline const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > r->left) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

static inline uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p ? *p : 0;
}

static inline uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p ? le16_get(p) : 0;
}

static inline uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	return p ? le32_get(p) : 0;
}

static inline uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 8);

	return p ? le64_get(p) : 0;
}

/* rd_done() - was everything there, and is nothing left over? */
static inline bool rd_done(const struct rd *r)
{
	return !r->bad && r->left == 0;
}

/* struct wr - room that is left in a buffer of ours; @bad is sticky */
struct wr {
	uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct wr wr_init(uint8_t *p, size_t n)
{
	return (struct wr){.p = p, .left = n};
}

/* wr_room() - the next @n bytes to be filled; NULL if there are fewer */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
	uint8_t *p = w->p;

	if (w->bad || n > w->left) {
		w->bad = true;
		return NULL;
	}
	w->p += n;
	w->left -= n;
	return p;
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_room(w, 1);

	if (p)
		*p = v;
}

static inline void wr_u16(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_room(w, 2);

	if (p)
		le16_put(p, v);
}

static inline void wr_u32(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_room(w, 4);

	if (p)
		le32_put(p, v);
}

static inline void wr_u64(struct wr *w, uint64_t v)
{
	uint8_t *p = wr_room(w, 8);

	if (p)
		le64_put(p, v);
}

static inline void wr_bytes(struct wr *w, const void *src, size_t n)
{
	uint8_t *p = wr_room(w, n);

	if (p && n)
		memcpy(p, src, n);
}

#endif /* BASE_BYTES_H */
