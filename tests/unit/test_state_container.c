/* SPDX-License-Identifier: MIT */
/*
 * test_state_container.c - header, hash and sections of a saved state
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "broker/state.h"

#define ROOM 512u

/* What follows the header in these tests. */
struct part {
	uint16_t type, flags;
	uint32_t len;
};

static size_t put_part(uint8_t *to, const struct part *p)
{
	struct wr w = wr_init(to, ROOM);

	wr_u16(&w, p->type);
	wr_u16(&w, p->flags);
	wr_u32(&w, p->len);
	for (uint32_t i = 0; i < p->len; i++)
		wr_u8(&w, (uint8_t)(p->type + i));
	while (p->len && (ROOM - w.left) % 8)
		wr_u8(&w, 0);
	return ROOM - w.left;
}

static size_t make(uint8_t *buf, const struct part *parts, uint32_t n)
{
	struct state_header h = {
		.kind = STATE_MOVE,
		.n_sections = n,
		.len = STATE_HEADER_LEN,
		.save_id = {1, 2, 3},
		.uuid = {4, 5, 6},
		.time_us = 7,
	};

	memset(buf, 0, ROOM);
	for (uint32_t i = 0; i < n; i++)
		h.len += put_part(buf + h.len, &parts[i]);
	state_put_header(buf, &h);
	return h.len;
}

static void seal(uint8_t *buf, size_t len)
{
	le64_put(buf + 16, hash64(buf + 24, len - 24));
}

static const struct part three[] = {{1, 1, 8}, {3, 0, 5}, {16, 1, 3}};

static void what_was_put_is_read(void **state)
{
	uint8_t buf[ROOM];
	size_t len = make(buf, three, 3);
	struct state s;

	(void)state;
	assert_int_equal(state_parse(&s, buf, len), STATE_OK);
	assert_int_equal(s.header.kind, STATE_MOVE);
	assert_int_equal(s.header.n_sections, 3);
	assert_int_equal(s.header.save_id[2], 3);
	assert_int_equal(s.header.uuid[0], 4);
	assert_int_equal(s.header.time_us, 7);
	assert_ptr_equal(s.engine, buf + STATE_HEADER_LEN);
	assert_int_equal(s.engine_len, 16 + 16);
	assert_non_null(state_section(&s, 3));
	assert_int_equal(state_section(&s, 3)->len, 5);
	assert_int_equal(state_section(&s, STATE_BROKER)->data[2], 18);
	assert_null(state_section(&s, 2));
	assert_null(state_section(&s, STATE_EARLY));
}

static void nothing_is_80_bytes(void **state)
{
	uint8_t buf[STATE_HEADER_LEN + 8] = {0};
	struct state_header h;
	struct state s;

	(void)state;
	state_nothing(buf);
	assert_int_equal(state_parse(&s, buf, STATE_HEADER_LEN), STATE_NONE);
	assert_int_equal(s.engine_len, 0);
	assert_null(state_section(&s, STATE_BROKER));
	/* With anything behind it, it is none. */
	le32_put(buf + 12, sizeof(buf));
	seal(buf, sizeof(buf));
	assert_int_equal(state_get_header(&h, buf, sizeof(buf)), STATE_BAD);
	state_nothing(buf);
	le32_put(buf + 28, 1);
	seal(buf, STATE_HEADER_LEN);
	assert_int_equal(state_parse(&s, buf, STATE_HEADER_LEN), STATE_BAD);
}

/* Each of these, alone and with a true hash, makes it malformed. */
struct change {
	const char *what;
	size_t off;
	uint8_t value;
	enum state_result result;
};

#define SEC1 STATE_HEADER_LEN
#define SEC2 (SEC1 + 16u)
#define SEC3 (SEC2 + 16u)

static const struct change changes[] = {
	{"magic", 0, 'X', STATE_BAD},
	{"magic's end", 7, 'X', STATE_BAD},
	{"a newer reader", 10, 2, STATE_FUTURE},
	{"a much newer reader", 11, 1, STATE_FUTURE},
	{"no reader", 10, 0, STATE_BAD},
	{"length", 12, 1, STATE_BAD},
	{"length too large", 15, 1, STATE_BAD},
	{"kind", 24, STATE_KIND_NUM, STATE_BAD},
	{"kind NOTHING with sections", 24, STATE_NOTHING, STATE_BAD},
	{"kind's high byte", 27, 1, STATE_BAD},
	{"a section more", 28, 4, STATE_BAD},
	{"a section less", 28, 2, STATE_BAD},
	{"sections over the limit", 28, STATE_SECTIONS_MAX + 1, STATE_BAD},
	{"reserved", 72, 1, STATE_BAD},
	{"reserved's end", 79, 1, STATE_BAD},
	{"type 0", SEC1, 0, STATE_BAD},
	{"type twice", SEC2, 1, STATE_BAD},
	{"types not ascending", SEC1, 4, STATE_BAD},
	{"unknown flag", SEC1 + 2, 2, STATE_BAD},
	{"unknown high flag", SEC1 + 3, 0x80, STATE_BAD},
	{"section too long", SEC3 + 4, 9, STATE_BAD},
	{"section far too long", SEC3 + 7, 0xff, STATE_BAD},
	{"section too short", SEC1 + 4, 0, STATE_BAD},
	{"padding", SEC2 + 13, 1, STATE_BAD},
	{"last padding", SEC3 + 15, 1, STATE_BAD},
	{"unknown and needed", SEC3, 99, STATE_FUTURE},
};

static void each_field_is_checked(void **state)
{
	uint8_t buf[ROOM];
	struct state s;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		size_t len = make(buf, three, 3);

		print_message("# %s\n", changes[i].what);
		buf[changes[i].off] = changes[i].value;
		seal(buf, len);
		assert_int_equal(state_parse(&s, buf, len), changes[i].result);
	}
}

/* Whatever is changed by accident is seen. */
static void each_byte_is_hashed(void **state)
{
	uint8_t buf[ROOM];
	size_t len = make(buf, three, 3);
	struct state s;

	(void)state;
	for (size_t i = 16; i < len; i++) {
		buf[i] ^= 0x10;
		assert_int_not_equal(state_parse(&s, buf, len), STATE_OK);
		buf[i] ^= 0x10;
	}
	assert_int_equal(state_parse(&s, buf, len), STATE_OK);
}

static void each_length_is_checked(void **state)
{
	uint8_t buf[ROOM];
	size_t len = make(buf, three, 3);
	struct state_header h;
	struct state s;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		assert_int_equal(state_parse(&s, buf, n), STATE_BAD);
		/* Also if the length says so. */
		if (n < STATE_HEADER_LEN)
			continue;
		le32_put(buf + 12, (uint32_t)n);
		seal(buf, n);
		assert_int_equal(state_parse(&s, buf, n), STATE_BAD);
	}
	assert_int_equal(state_get_header(&h, buf, STATE_MAX + 1), STATE_BAD);
}

static void unknown_sections_may_be_skipped(void **state)
{
	static const struct part parts[] = {{16, 1, 4}, {99, 0, 4}};
	uint8_t buf[ROOM];
	struct state s;

	(void)state;
	assert_int_equal(state_parse(&s, buf, make(buf, parts, 2)), STATE_OK);
	assert_int_equal(s.engine_len, 0);
	assert_non_null(state_section(&s, 99));
}

static void uuids_are_parsed(void **state)
{
	uint8_t id[STATE_ID_LEN];

	(void)state;
	assert_true(
		state_parse_uuid("01020304-0506-0708-090A-0b0c0d0e0fF0", id));
	assert_int_equal(id[0], 1);
	assert_int_equal(id[9], 0x0a);
	assert_int_equal(id[15], 0xf0);
	assert_false(state_parse_uuid(NULL, id));
	assert_false(state_parse_uuid("", id));
	assert_false(
		state_parse_uuid("01020304-0506-0708-090a-0b0c0d0e0f", id));
	assert_false(
		state_parse_uuid("01020304-0506-0708-090a-0b0c0d0e0f101", id));
	assert_false(
		state_parse_uuid("0102030g-0506-0708-090a-0b0c0d0e0f10", id));
	assert_int_equal(id[0], 0);
}

static void results_have_names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < STATE_RESULT_NUM; i++)
		assert_non_null(state_result_name((enum state_result)i));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_read),
		cmocka_unit_test(nothing_is_80_bytes),
		cmocka_unit_test(each_field_is_checked),
		cmocka_unit_test(each_byte_is_hashed),
		cmocka_unit_test(each_length_is_checked),
		cmocka_unit_test(unknown_sections_may_be_skipped),
		cmocka_unit_test(uuids_are_parsed),
		cmocka_unit_test(results_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
