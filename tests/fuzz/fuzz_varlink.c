/* SPDX-License-Identifier: MIT */
/*
 * fuzz_varlink.c - the varlink message codec
 *
 * The first byte says how the rest arrives: in pieces of about that size. The
 * messages must be the same however they are cut; each must survive encoding
 * and decoding.
 */
#include <string.h>

#include "fuzz.h"
#include "varlink/varlink.h"

static void check_strings(const struct varlink_msg *m)
{
	FUZZ_CHECK(json_is_object(m->parameters));
	FUZZ_CHECK(strnlen(m->method, sizeof(m->method)) <= VARLINK_METHOD_MAX);
	FUZZ_CHECK(strnlen(m->error, sizeof(m->error)) <= VARLINK_METHOD_MAX);
}

static void check_again(const struct varlink_msg *m, const char *text,
			size_t len)
{
	struct varlink_buf b;
	struct varlink_msg again;
	char *room;
	long n;

	varlink_buf_init(&b);
	for (size_t off = 0; off < len; off += (size_t)n) {
		n = varlink_buf_room(&b, &room);
		if (n < 0)
			break;
		if ((size_t)n > len - off)
			n = (long)(len - off);
		memcpy(room, text + off, (size_t)n);
		varlink_buf_add(&b, (size_t)n);
	}
	/* Escapes may make it longer than what came in. */
	if (len <= VARLINK_MSG_MAX) {
		FUZZ_CHECK(varlink_buf_next(&b, &again) == 1);
		FUZZ_CHECK(!strcmp(again.method, m->method));
		FUZZ_CHECK(!strcmp(again.error, m->error));
		FUZZ_CHECK(json_equal(again.parameters, m->parameters));
		varlink_msg_done(&again);
	}
	varlink_buf_done(&b);
}

static void check_round_trip(const struct varlink_msg *m)
{
	size_t len;
	char *text;

	if (m->method[0])
		text = varlink_call_text(m->method, m->parameters, m->more,
					 m->oneway, m->upgrade, &len);
	else
		text = varlink_reply_text(m->error[0] ? m->error : NULL,
					  m->parameters, m->continues, &len);
	FUZZ_CHECK(text && len && !text[len - 1]);
	check_again(m, text, len);
	free(text);
}

/* Return: messages, or -1 - messages when the connection was given up. */
static long feed(const uint8_t *data, size_t size, size_t piece, bool deep)
{
	struct varlink_buf b;
	struct varlink_msg m;
	long n = 0, room;
	char *p;
	size_t rest;
	int got = 0;

	varlink_buf_init(&b);
	while (got >= 0 && size) {
		room = varlink_buf_room(&b, &p);
		if (room < 0) {
			got = (int)room;
			break;
		}
		FUZZ_CHECK(room > 0);
		if ((size_t)room > piece)
			room = (long)piece;
		if ((size_t)room > size)
			room = (long)size;
		memcpy(p, data, (size_t)room);
		varlink_buf_add(&b, (size_t)room);
		data += room;
		size -= (size_t)room;
		while ((got = varlink_buf_next(&b, &m)) > 0) {
			n++;
			check_strings(&m);
			if (deep)
				check_round_trip(&m);
			varlink_msg_done(&m);
		}
		varlink_buf_rest(&b, &rest);
		FUZZ_CHECK(rest <= VARLINK_MSG_MAX);
	}
	varlink_buf_done(&b);
	return got < 0 ? -1 - n : n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	size_t piece;

	if (!size)
		return 0;
	piece = data[0] + 1u;
	copy = fuzz_copy(data + 1, size - 1);
	FUZZ_CHECK(feed(copy, size - 1, piece, true) ==
		   feed(copy, size - 1, SIZE_MAX / 2, false));
	free(copy);
	return 0;
}
