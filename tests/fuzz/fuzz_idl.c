/* SPDX-License-Identifier: MIT */
/*
 * fuzz_idl.c - messages against the tables of the interfaces
 *
 * The first two bytes say which type; the rest is a message, as it would come
 * through a stream. What is let through after dropping must then be right to
 * the letter, and where something is wrong is told in clean text.
 */
#include <string.h>

#include "fuzz.h"
#include "varlink/idl.h"
#include "varlink/varlink.h"

static const struct idl_struct *pick(unsigned int n)
{
	for (;;) {
		for (size_t i = 0; i < idl_n_interfaces; i++) {
			const struct idl_interface *f = &idl_interfaces[i];

			for (size_t m = 0; m < f->n_methods; m++, n -= 2) {
				if (n == 0)
					return &f->methods[m].in;
				if (n == 1)
					return &f->methods[m].out;
			}
			for (size_t e = 0; e < f->n_errors; e++, n--)
				if (n == 0)
					return f->errors[e].fields;
		}
	}
}

static void check_where(const char *where)
{
	size_t len = strnlen(where, IDL_WHERE_MAX);

	FUZZ_CHECK(len < IDL_WHERE_MAX);
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(where[i] > ' ' && where[i] <= '~');
}

static void try_type(const struct idl_struct *type, json_t *p)
{
	char where[IDL_WHERE_MAX] = "";
	bool strict = idl_check(type, p, IDL_REFUSE, where);
	bool loose;

	check_where(where);
	loose = idl_check(type, p, IDL_DROP, where);
	FUZZ_CHECK(loose || !strict);
	check_where(where);
	if (loose) {
		/* An event of a type that nobody knows stays unknown. */
		char *text = json_dumps(p, JSON_COMPACT);
		json_t *again = text ? json_loads(text, 0, NULL) : NULL;

		FUZZ_CHECK(again && idl_check(type, again, IDL_DROP, where));
		FUZZ_CHECK(json_equal(p, again));
		json_decref(again);
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct varlink_buf b;
	struct varlink_msg m;
	char *room;
	long n;

	if (size < 3 || size > VARLINK_MSG_MAX)
		return 0;
	varlink_buf_init(&b);
	for (size_t at = 2; at < size; at += (size_t)n) {
		n = varlink_buf_room(&b, &room);
		FUZZ_CHECK(n > 0);
		if ((size_t)n > size - at)
			n = (long)(size - at);
		memcpy(room, data + at, (size_t)n);
		varlink_buf_add(&b, (size_t)n);
	}
	while (varlink_buf_next(&b, &m) > 0) {
		try_type(pick(data[0] | (unsigned int)data[1] << 8),
			 m.parameters);
		varlink_msg_done(&m);
	}
	varlink_buf_done(&b);
	return 0;
}
