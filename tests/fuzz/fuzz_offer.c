/* SPDX-License-Identifier: MIT */
/*
 * fuzz_offer.c - a caller and a service that mean ill, and what is between
 *
 * Input: pieces of a length byte, whose highest bit says whether the service
 * speaks, and as many bytes.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "guest/offer_proxy.h"

#define IFACE  "io.a"
#define DENIED IFACE ".D"

static bool judge(void *data, const char *method,
		  char ret_rule[POLICY_RULE_ID_MAX])
{
	(void)data;
	snprintf(ret_rule, POLICY_RULE_ID_MAX, "f:1");
	return strcmp(method, DENIED) != 0;
}

/* Nothing goes to the service but whole calls that may. */
static void check_call(const char *text, size_t len)
{
	struct varlink_buf b;
	struct varlink_msg m;
	char *room;

	varlink_buf_init(&b);
	/* Written anew it may be longer than it was. */
	if (len <= VARLINK_MSG_MAX) {
		for (size_t i = 0; i < len; i++) {
			FUZZ_CHECK(varlink_buf_room(&b, &room) > 0);
			*room = text[i];
			varlink_buf_add(&b, 1);
		}
		FUZZ_CHECK(varlink_buf_next(&b, &m) == 1);
		FUZZ_CHECK(strcmp(m.method, DENIED) != 0);
		FUZZ_CHECK(strncmp(m.method, IFACE ".", 5) == 0 ||
			   strncmp(m.method, "org.varlink.service.Get", 23) ==
				   0);
		varlink_msg_done(&m);
	}
	FUZZ_CHECK(memchr(text, '\0', len) == text + len - 1);
	varlink_buf_done(&b);
}

/* Return: false: the stream ends. */
static bool take_calls(struct offer_proxy *p)
{
	enum offer_next next;
	size_t len, left;
	char *text;

	do {
		next = offer_proxy_next(p, judge, NULL, &text, &len);
		FUZZ_CHECK(next != OFFER_FORWARD || text);
		if (next == OFFER_FORWARD)
			check_call(text, len);
		free(text);
	} while (next == OFFER_FORWARD || next == OFFER_ANSWER);
	varlink_buf_rest(&p->in, &left);
	FUZZ_CHECK(left <= VARLINK_MSG_MAX);
	return next != OFFER_BROKEN;
}

static bool from_caller(struct offer_proxy *p, const uint8_t *data, size_t n)
{
	char *room;

	while (n > 0) {
		long size = varlink_buf_room(&p->in, &room);
		size_t part = n;

		if (size < 0)
			return false;
		if (part > (size_t)size)
			part = (size_t)size;
		memcpy(room, data, part);
		varlink_buf_add(&p->in, part);
		data += part;
		n -= part;
		if (!take_calls(p))
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct offer_proxy p;
	bool ok = true;

	offer_proxy_init(&p, IFACE);
	while (ok && size > 0 && p.phase != OFFER_RAW) {
		bool service = data[0] & 0x80;
		size_t n = data[0] & 0x7f;
		uint8_t *piece;

		data++;
		size--;
		n = n < size ? n : size;
		piece = fuzz_copy(data, n);
		if (service)
			ok = offer_proxy_replied(&p, (const char *)piece, n) &&
			     take_calls(&p);
		else
			ok = from_caller(&p, piece, n);
		free(piece);
		data += n;
		size -= n;
	}
	offer_proxy_done(&p);
	return 0;
}
