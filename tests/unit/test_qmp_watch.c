/* SPDX-License-Identifier: MIT */
/* test_qmp_watch.c - a QMP connection that lasts, against scripted bytes */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "qmp/vmstate.h"
#include "qmp/watch.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define OK(id)   "{\"return\": {}, \"id\": " #id "}\r\n"
#define ERR(id)                                                               \
	"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\"" \
	": " #id "}\r\n"
#define EVENT(name) "{\"event\": \"" name "\", \"timestamp\": {}}\r\n"

struct bench {
	struct qmp_watch w;
	int ready, stops, spice, returns, errors;
	char client[16];
};

static void on_stop(void *data, const json_t *body)
{
	struct bench *b = data;

	assert_null(body);
	b->stops++;
}

static void on_spice(void *data, const json_t *body)
{
	struct bench *b = data;
	const char *client = json_string_value(json_object_get(body, "client"));

	b->spice++;
	snprintf(b->client, sizeof(b->client), "%s", client ? client : "");
}

static const struct qmp_event events[] = {
	{"STOP", on_stop},
	{"SPICE_DISCONNECTED", on_spice},
	{NULL, NULL},
};

static void on_ready(void *data)
{
	struct bench *b = data;

	b->ready++;
}

static void on_answer(void *data, const struct qmp_message *m)
{
	struct bench *b = data;

	if (m->kind == QMP_RETURN)
		b->returns++;
	else
		b->errors++;
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	qmp_watch_init(&b->w, events, on_ready, b);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	qmp_watch_done(&b->w);
	free(b);
	return 0;
}

static int hear_bytes(struct bench *b, const char *bytes, size_t len)
{
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = len < QMP_READ_STEP ? len : QMP_READ_STEP;
		char *room = qmp_watch_room(&b->w);

		assert_non_null(room);
		memcpy(room, bytes, n);
		r = qmp_watch_input(&b->w, n);
		bytes += n;
		len -= n;
	}
	return r;
}

static int hear(struct bench *b, const char *text)
{
	return hear_bytes(b, text, strlen(text));
}

/* What is to be sent is exactly this; then it is. */
static void said(struct bench *b, const char *text)
{
	size_t len;
	const char *out = qmp_watch_output(&b->w, &len);

	assert_int_equal(len, strlen(text));
	assert_memory_equal(out, text, len);
	qmp_watch_output_done(&b->w, len);
}

static void get_ready(struct bench *b)
{
	assert_int_equal(hear(b, GREETING), 0);
	said(b, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
	assert_int_equal(hear(b, OK(1)), 0);
	assert_int_equal(b->ready, 1);
}

static void negotiation_comes_first(void **state)
{
	struct bench *b = *state;

	assert_int_equal(qmp_watch_ask(&b->w, "query-status", NULL, on_answer),
			 -ENOTCONN);
	get_ready(b);
	assert_int_equal(qmp_watch_ask(&b->w, "query-status", NULL, on_answer),
			 0);
	said(b, "{\"execute\":\"query-status\",\"id\":2}\n");
	assert_int_equal(hear(b, OK(2)), 0);
	assert_int_equal(b->returns, 1);
}

static void bytes_may_come_one_by_one(void **state)
{
	static const char text[] = GREETING OK(1) EVENT("STOP");
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		assert_int_equal(hear_bytes(b, text + i, 1), 0);
	assert_int_equal(b->ready, 1);
	assert_int_equal(b->stops, 1);
}

static void events_are_told_by_name(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	assert_int_equal(
		hear(b,
		     EVENT("STOP") EVENT("RESUME") EVENT(
			     "STOP") "{\"event\": \"SPICE_DISCONNECTED\", \"data\": "
				     "{\"client\": \"c\"}}\n"),
		0);
	assert_int_equal(b->stops, 2);
	assert_int_equal(b->spice, 1);
	assert_string_equal(b->client, "c");
}

static void answers_come_in_order(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	for (int i = 0; i < 2; i++)
		assert_int_equal(qmp_watch_ask(&b->w, "x",
					       json_pack("{s:i}", "a", i),
					       on_answer),
				 0);
	said(b, "{\"execute\":\"x\",\"id\":2,\"arguments\":{\"a\":0}}\n"
		"{\"execute\":\"x\",\"id\":3,\"arguments\":{\"a\":1}}\n");
	assert_int_equal(hear(b, ERR(2) EVENT("STOP") OK(3)), 0);
	assert_int_equal(b->errors, 1);
	assert_int_equal(b->returns, 1);
	assert_int_equal(b->stops, 1);
}

static void questions_are_limited(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	for (unsigned int i = 0; i < QMP_WATCH_ASKED_MAX; i++)
		assert_int_equal(qmp_watch_ask(&b->w, "x", NULL, on_answer), 0);
	assert_int_equal(qmp_watch_ask(&b->w, "x", NULL, on_answer), -EBUSY);
}

/* The ids can be guessed. */
static void answers_without_reading(void **state)
{
	struct bench *b = *state;
	char text[64];
	size_t len;
	int r = 0;

	get_ready(b);
	for (int id = 2; r == 0 && id < 100000; id++) {
		r = qmp_watch_ask(&b->w, "x", NULL, on_answer);
		snprintf(text, sizeof(text), "{\"return\":0,\"id\":%d}\n", id);
		if (r == 0)
			assert_int_equal(hear(b, text), 0);
	}
	assert_int_equal(r, -EBUSY);
	qmp_watch_output(&b->w, &len);
	assert_in_range(len, QMP_WATCH_OUT_MAX, QMP_WATCH_OUT_MAX + 100);
}

static void nonsense_ends_it(void **state)
{
	static const char *const rows[] = {
		"\n",
		"{}\n",
		"hello\n",
		OK(1),                        /* before the greeting */
		EVENT("STOP"),                /* the same */
		GREETING GREETING,            /* twice */
		GREETING EVENT("STOP"),       /* before the negotiation's end */
		GREETING OK(2),               /* not what was asked */
		GREETING "{\"return\":{}}\n", /* of nothing */
		GREETING ERR(1),              /* no capabilities */
		GREETING OK(1) OK(1),         /* twice */
		GREETING OK(1) OK(2),         /* nothing was asked */
		GREETING OK(1) "{\"event\": 1}\n",
		GREETING OK(1) "{\"event\": \"STOP\", \"data\": []}\n",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench b = {.ready = 0};

		(void)state;
		qmp_watch_init(&b.w, events, on_ready, &b);
		if (hear(&b, rows[i]) != -EPROTO)
			fail_msg("row %zu", i);
		assert_int_equal(b.stops, 0);
		qmp_watch_done(&b.w);
	}
}

static void a_line_is_limited(void **state)
{
	struct bench *b = *state;
	char *text = malloc(QMP_WATCH_LINE_MAX + 1);

	assert_non_null(text);
	memset(text, ' ', QMP_WATCH_LINE_MAX + 1);
	get_ready(b);
	assert_int_equal(hear_bytes(b, text, QMP_WATCH_LINE_MAX), 0);
	assert_int_equal(hear_bytes(b, text, 1), -EMSGSIZE);
	free(text);
}

/* jansson would recurse to 2048. */
static int nested(struct bench *b, unsigned int depth)
{
	char text[4 * QMP_DEPTH_MAX + 64];
	size_t n = (size_t)snprintf(text, sizeof(text),
				    "{\"event\": \"[[STOP\", \"x\": ");

	for (unsigned int i = 1; i < depth; i++)
		text[n++] = '[';
	for (unsigned int i = 1; i < depth; i++)
		text[n++] = ']';
	memcpy(text + n, "}\n", 3);
	return hear(b, text);
}

static void depth_is_limited(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	assert_int_equal(nested(b, QMP_DEPTH_MAX), 0);
	assert_int_equal(nested(b, QMP_DEPTH_MAX + 1), -EPROTO);
}

static void an_address_has_no_comma(void **state)
{
	char *address = vmstate_address("/run/a,b c/vm.sock");

	(void)state;
	assert_string_equal(address, "unix:path=/run/a%2cb%20c/vm.sock");
	free(address);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(negotiation_comes_first),
		T(bytes_may_come_one_by_one),
		T(events_are_told_by_name),
		T(answers_come_in_order),
		T(questions_are_limited),
		T(answers_without_reading),
		T(nonsense_ends_it),
		T(a_line_is_limited),
		T(depth_is_limited),
		cmocka_unit_test(an_address_has_no_comma),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
