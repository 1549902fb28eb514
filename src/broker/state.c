/* SPDX-License-Identifier: MIT */
/*
 * state.c - the container of a saved state: header, hash, table of sections
 */
#include "broker/state.h"

#include <ctype.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

#define STATE_MAGIC "VMCSTATE"
/* The hash covers all that follows it. */
#define HASH_OFF   16u
#define HASH_FROM  24u
#define ENGINE_END STATE_BROKER /* types below are the engine's */

static const char *const result_names[STATE_RESULT_NUM] = {
	[STATE_OK] = "ok",         [STATE_NONE] = "nothing",
	[STATE_BAD] = "malformed", [STATE_FUTURE] = "newer-version",
	[STATE_LIMIT] = "limit",   [STATE_CLONED] = "cloned",
	[STATE_BUSY] = "busy",
};

const char *state_result_name(enum state_result r)
{
	return result_names[r];
}

void state_put_header(uint8_t *buf, const struct state_header *h)
{
	struct wr w = wr_init(buf, STATE_HEADER_LEN);

	wr_bytes(&w, STATE_MAGIC, strlen(STATE_MAGIC));
	wr_u16(&w, STATE_VERSION);
	wr_u16(&w, STATE_VERSION); /* the oldest that reads it */
	wr_u32(&w, (uint32_t)h->len);
	wr_u64(&w, 0);
	wr_u32(&w, h->kind);
	wr_u32(&w, h->n_sections);
	wr_bytes(&w, h->save_id, STATE_ID_LEN);
	wr_bytes(&w, h->uuid, STATE_ID_LEN);
	wr_u64(&w, h->time_us);
	wr_u64(&w, 0);
	le64_put(buf + HASH_OFF, hash64(buf + HASH_FROM, h->len - HASH_FROM));
}

void state_nothing(uint8_t ret[STATE_HEADER_LEN])
{
	const struct state_header h = {
		.kind = STATE_NOTHING,
		.len = STATE_HEADER_LEN,
	};

	state_put_header(ret, &h);
}

enum state_result state_get_header(struct state_header *ret,
				   const uint8_t *blob, size_t len)
{
	struct rd r = rd_init(blob, len);
	uint16_t reader;
	const uint8_t *magic, *save_id, *uuid;
	uint32_t total, kind;

	if (len < STATE_HEADER_LEN || len > STATE_MAX)
		return STATE_BAD;
	magic = rd_bytes(&r, strlen(STATE_MAGIC));
	if (!magic || memcmp(magic, STATE_MAGIC, strlen(STATE_MAGIC)) != 0)
		return STATE_BAD;
	rd_u16(&r); /* who wrote it: for people */
	reader = rd_u16(&r);
	if (reader > STATE_VERSION)
		return STATE_FUTURE;
	total = rd_u32(&r);
	rd_u64(&r); /* hash */
	kind = rd_u32(&r);
	*ret = (struct state_header){.len = total};
	ret->n_sections = rd_u32(&r);
	save_id = rd_bytes(&r, STATE_ID_LEN);
	uuid = rd_bytes(&r, STATE_ID_LEN);
	ret->time_us = rd_u64(&r);
	if (!save_id || !uuid || reader == 0 || total != len ||
	    kind >= STATE_KIND_NUM || ret->n_sections > STATE_SECTIONS_MAX ||
	    rd_u64(&r) != 0)
		return STATE_BAD;
	memcpy(ret->save_id, save_id, STATE_ID_LEN);
	memcpy(ret->uuid, uuid, STATE_ID_LEN);
	ret->kind = (enum state_kind)kind;
	if (kind != STATE_NOTHING)
		return STATE_OK;
	return len == STATE_HEADER_LEN && ret->n_sections == 0 ? STATE_NONE
							       : STATE_BAD;
}

/* A section ends where a multiple of 8 does; what is between is zero. */
static bool skip_padding(struct rd *r, uint32_t len)
{
	size_t n = -(size_t)len & 7u;
	const uint8_t *p = rd_bytes(r, n);

	for (size_t i = 0; p && i < n; i++) {
		if (p[i] != 0)
			return false;
	}
	return p != NULL;
}

static enum state_result read_section(struct rd *r, struct state_section *ret,
				      unsigned int after)
{
	ret->type = rd_u16(r);
	ret->flags = rd_u16(r);
	ret->len = rd_u32(r);
	ret->data = rd_bytes(r, ret->len);
	if (r->bad || ret->type <= after ||
	    (ret->flags & ~STATE_SECTION_MUST) != 0 ||
	    !skip_padding(r, ret->len))
		return STATE_BAD;
	if (ret->type > STATE_SECTION_LAST && (ret->flags & STATE_SECTION_MUST))
		return STATE_FUTURE;
	return STATE_OK;
}

static enum state_result read_sections(struct state *s, struct rd *r)
{
	size_t whole = r->left;
	unsigned int after = 0;

	s->engine = r->p;
	for (uint32_t i = 0; i < s->header.n_sections; i++) {
		enum state_result res = read_section(r, &s->sections[i], after);

		if (res != STATE_OK)
			return res;
		after = s->sections[i].type;
		if (after < ENGINE_END)
			s->engine_len = whole - r->left;
	}
	return rd_done(r) ? STATE_OK : STATE_BAD;
}

enum state_result state_parse(struct state *ret, const uint8_t *blob,
			      size_t len)
{
	enum state_result res = state_get_header(&ret->header, blob, len);
	struct rd r;

	if (res != STATE_OK && res != STATE_NONE)
		return res;
	if (le64_get(blob + HASH_OFF) !=
	    hash64(blob + HASH_FROM, len - HASH_FROM))
		return STATE_BAD;
	ret->engine_len = 0;
	r = rd_init(blob + STATE_HEADER_LEN, len - STATE_HEADER_LEN);
	return res == STATE_NONE ? res : read_sections(ret, &r);
}

const struct state_section *state_section(const struct state *s,
					  unsigned int type)
{
	for (uint32_t i = 0; i < s->header.n_sections; i++) {
		if (s->sections[i].type == type)
			return &s->sections[i];
	}
	return NULL;
}

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return p ? (int)(p - digits) : -1;
}

bool state_parse_uuid(const char *text, uint8_t ret[STATE_ID_LEN])
{
	unsigned int n = 0;

	memset(ret, 0, STATE_ID_LEN);
	for (; text && *text; text++) {
		int v = hex_value(*text);

		if (*text == '-')
			continue;
		if (v < 0 || n == 2 * STATE_ID_LEN)
			break;
		ret[n / 2] |= (uint8_t)(v << (n % 2 ? 0 : 4));
		n++;
	}
	if (text && *text == '\0' && n == 2 * STATE_ID_LEN)
		return true;
	memset(ret, 0, STATE_ID_LEN);
	return false;
}
