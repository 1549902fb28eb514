/* SPDX-License-Identifier: MIT */
/*
 * test_broker_parts.c - the broker's pure pieces: message lengths, the
 * connect line, the rings of events and ended streams, the log's limit
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/connect_line.h"
#include "broker/internal.h"
#include "broker/log.h"
#include "broker/msgcheck.h"

/* ---- msgcheck ------------------------------------------------------------ */

static bool feed_length(uint32_t len)
{
	struct msgcheck c = {.body = 0};
	const uint8_t p[4] = {(uint8_t)len, (uint8_t)(len >> 8),
			      (uint8_t)(len >> 16), (uint8_t)(len >> 24)};

	return msgcheck_feed(&c, p, sizeof(p));
}

static void msgcheck_limit(void **state)
{
	(void)state;
	assert_true(feed_length(0));
	assert_true(feed_length(VMC_MSG_MAX));
	assert_false(feed_length(VMC_MSG_MAX + 1));
	assert_false(feed_length(UINT32_MAX));
}

static void msgcheck_every_split(void **state)
{
	const uint8_t bytes[] = {3, 0, 0, 0, 'a', 'b', 'c', 0,  0,
				 0, 0, 1, 0, 0,   0,   'x', 255};
	const size_t n = sizeof(bytes);

	(void)state;
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = i; j <= n; j++) {
			struct msgcheck c = {.body = 0};

			assert_true(msgcheck_feed(&c, bytes, i));
			assert_true(msgcheck_feed(&c, bytes + i, j - i));
			assert_true(msgcheck_feed(&c, bytes + j, n - j));
			assert_false(msgcheck_at_boundary(&c));
			assert_int_equal(c.n_partial, 1);
		}
	}
}

static void msgcheck_boundaries(void **state)
{
	const uint8_t bytes[] = {1, 0, 0, 0, 'x'};
	struct msgcheck c = {.body = 0};

	(void)state;
	assert_true(msgcheck_at_boundary(&c));
	assert_true(msgcheck_feed(&c, bytes, 4));
	assert_false(msgcheck_at_boundary(&c));
	assert_true(msgcheck_feed(&c, bytes + 4, 1));
	assert_true(msgcheck_at_boundary(&c));
}

/* ---- the connect line -----------------------------------------------------
 */

static enum connect_line parse(const char *line, char *ret)
{
	return connect_line_parse(line, strlen(line), ret);
}

static void connect_line_good(void **state)
{
	char name[VMC_NAME_MAX + 1], line[128], longest[VMC_NAME_MAX + 1];

	(void)state;
	assert_int_equal(parse("CONNECT a\n", name), CONNECT_LINE_OK);
	assert_string_equal(name, "a");
	assert_int_equal(parse("CONNECT org.x-y_z.1\r\n", name),
			 CONNECT_LINE_OK);
	assert_string_equal(name, "org.x-y_z.1");
	memset(longest, 'n', VMC_NAME_MAX);
	longest[VMC_NAME_MAX] = '\0';
	snprintf(line, sizeof(line), "CONNECT %s\n", longest);
	assert_int_equal(parse(line, name), CONNECT_LINE_OK);
	assert_string_equal(name, longest);
	snprintf(line, sizeof(line), "CONNECT %sn\n", longest);
	assert_int_equal(parse(line, name), CONNECT_LINE_BAD_NAME);
}

static void connect_line_bad(void **state)
{
	static const struct {
		const char *line;
		enum connect_line result;
	} cases[] = {
		{"", CONNECT_LINE_BAD},
		{"\n", CONNECT_LINE_BAD},
		{"CONNECT", CONNECT_LINE_BAD},
		{"CONNECT\n", CONNECT_LINE_BAD},
		{"CONNECT x", CONNECT_LINE_BAD},
		{"connect x\n", CONNECT_LINE_BAD},
		{" CONNECT x\n", CONNECT_LINE_BAD},
		{"CONNECT \n", CONNECT_LINE_BAD_NAME},
		{"CONNECT \r\n", CONNECT_LINE_BAD_NAME},
		{"CONNECT  x\n", CONNECT_LINE_BAD_NAME},
		{"CONNECT x y\n", CONNECT_LINE_BAD_NAME},
		{"CONNECT a/b\n", CONNECT_LINE_BAD_NAME},
		{"CONNECT ..\n", CONNECT_LINE_BAD_NAME},
	};
	char name[VMC_NAME_MAX + 1] = "untouched";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(parse(cases[i].line, name), cases[i].result);
	assert_int_equal(connect_line_parse("CONNECT a\0b\n", 12, name),
			 CONNECT_LINE_BAD_NAME);
	assert_string_equal(name, "untouched");
}

/* ---- events -----------------------------------------------------------------
 */

static void add_events(struct event_ring *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		events_add(r, &(struct event){.type = EVENT_LINK_UP}, i);
}

static void events_number(void **state)
{
	struct event_ring r;
	uint64_t lost;

	(void)state;
	assert_int_equal(events_init(&r), 0);
	assert_null(events_next(&r, 0, &lost));
	add_events(&r, 3);
	assert_int_equal(events_next(&r, 0, &lost)->seq, 1);
	assert_int_equal(events_next(&r, 2, &lost)->seq, 3);
	assert_int_equal(lost, 0);
	assert_null(events_next(&r, 3, &lost));
	assert_null(events_next(&r, 4, &lost));
	events_done(&r);
}

static void events_forget(void **state)
{
	struct event_ring r;
	uint64_t lost;

	(void)state;
	assert_int_equal(events_init(&r), 0);
	add_events(&r, EVENTS_MAX);
	assert_int_equal(events_next(&r, 0, &lost)->seq, 1);
	assert_int_equal(lost, 0);
	add_events(&r, 1);
	assert_int_equal(events_next(&r, 0, &lost)->seq, 2);
	assert_int_equal(lost, 1);
	assert_int_equal(events_next(&r, 1, &lost)->seq, 2);
	assert_int_equal(lost, 0);
	add_events(&r, EVENTS_MAX);
	assert_int_equal(events_next(&r, 0, &lost)->seq, EVENTS_MAX + 2);
	assert_int_equal(lost, EVENTS_MAX + 1);
	events_done(&r);
}

static void event_names(void **state)
{
	(void)state;
	for (unsigned int t = 0; t < EVENT_TYPE_NUM; t++)
		assert_int_equal(
			event_type_find(event_type_name((enum event_type)t)),
			t);
	assert_int_equal(event_type_find("nonsense"), EVENT_TYPE_NUM);
}

/* ---- ended streams
 * ------------------------------------------------------------ */

static void status_remembers(void **state)
{
	struct status_ring *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	assert_null(status_find(r, 1));
	for (uint64_t n = 1; n <= STATUS_MAX; n++)
		status_add(r, &(struct stream_record){.number = n});
	assert_non_null(status_find(r, 1));
	assert_null(status_find(r, 0));
	status_add(r, &(struct stream_record){.number = STATUS_MAX + 1});
	assert_null(status_find(r, 1));
	assert_non_null(status_find(r, 2));
	assert_non_null(status_find(r, STATUS_MAX + 1));
	free(r);
}

/* ---- ids and tokens
 * -------------------------------------------------------------- */

static void ids_read_back(void **state)
{
	static const char *const bad[] = {
		"",
		"1",
		"0123456789abcdef-1",
		"01234567",
		"01234567-",
		"01234567-0",
		"01234567-01",
		"01234567-1x",
		"01234567--1",
		"01234567- 1",
		"01234567-+1",
		"76543210-1",
		"01234567-99999999999999999999",
	};
	struct broker b = {.id_text = "0123456789abcdef"};
	char id[STREAM_ID_MAX];

	(void)state;
	stream_id_text(&b, 17, id);
	assert_string_equal(id, "01234567-17");
	assert_int_equal(stream_number(&b, id), 17);
	stream_id_text(&b, UINT64_MAX - 1, id);
	assert_true(stream_number(&b, id) == UINT64_MAX - 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(stream_number(&b, bad[i]) == 0);
}

static void tokens_are_hex(void **state)
{
	const uint8_t token[TOKEN_LEN] = {0x01, 0xab, 0xff};
	char text[TOKEN_TEXT];

	(void)state;
	token_text(token, text);
	assert_string_equal(text, "01abff00000000000000000000000000");
}

/* ---- log limit
 * ------------------------------------------------------------------- */

static void log_limit_burst(void **state)
{
	struct log_limit l = {.tokens = 0};
	unsigned int left_out;
	uint64_t now = 1000;

	(void)state;
	for (int i = 0; i < LOG_LIMIT_BURST; i++)
		assert_true(log_allowed(&l, now, &left_out));
	assert_false(log_allowed(&l, now, &left_out));
	assert_false(log_allowed(&l, now + LOG_LIMIT_PERIOD_US - 1, &left_out));
	assert_true(log_allowed(&l, now + LOG_LIMIT_PERIOD_US, &left_out));
	assert_int_equal(left_out, 2);
	assert_false(log_allowed(&l, now + LOG_LIMIT_PERIOD_US, &left_out));
	now += 1000ull * LOG_LIMIT_PERIOD_US;
	for (int i = 0; i < LOG_LIMIT_BURST; i++)
		assert_true(log_allowed(&l, now, &left_out));
	assert_false(log_allowed(&l, now, &left_out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msgcheck_limit),
		cmocka_unit_test(msgcheck_every_split),
		cmocka_unit_test(msgcheck_boundaries),
		cmocka_unit_test(connect_line_good),
		cmocka_unit_test(connect_line_bad),
		cmocka_unit_test(events_number),
		cmocka_unit_test(events_forget),
		cmocka_unit_test(event_names),
		cmocka_unit_test(status_remembers),
		cmocka_unit_test(ids_read_back),
		cmocka_unit_test(tokens_are_hex),
		cmocka_unit_test(log_limit_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
