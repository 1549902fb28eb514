/* SPDX-License-Identifier: MIT */
/* test_varlink.c - the varlink message codec */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "varlink/varlink.h"

/* Gives @len bytes to the buffer, in pieces of at most @piece. */
static void feed(struct varlink_buf *b, const char *text, size_t len,
		 size_t piece)
{
	while (len > 0) {
		char *p;
		long room = varlink_buf_room(b, &p);
		size_t n = len < piece ? len : piece;

		assert_true(room >= 1);
		if (n > (size_t)room)
			n = (size_t)room;
		memcpy(p, text, n);
		varlink_buf_add(b, n);
		text += n;
		len -= n;
	}
}

/* What becomes of one text (its NUL is added) on a fresh connection. */
static int parse_one(const char *text, struct varlink_msg *ret)
{
	struct varlink_buf b;
	int r;

	varlink_buf_init(&b);
	feed(&b, text, strlen(text) + 1, SIZE_MAX);
	r = varlink_buf_next(&b, ret);
	varlink_buf_done(&b);
	return r;
}

static void call_is_parsed(void **state)
{
	struct varlink_msg m;

	assert_int_equal(
		parse_one(
			"{\"method\":\"org.example.Do\",\"parameters\":{\"a\":"
			"1},\"more\":true,\"upgrade\":false,\"oneway\":null}",
			&m),
		1);
	assert_string_equal(m.method, "org.example.Do");
	assert_string_equal(m.error, "");
	assert_true(m.more);
	assert_false(m.upgrade);
	assert_false(m.oneway);
	assert_int_equal(json_integer_value(json_object_get(m.parameters, "a")),
			 1);
	varlink_msg_done(&m);
}

static void reply_is_parsed(void **state)
{
	struct varlink_msg m;

	assert_int_equal(parse_one("{\"continues\":true}", &m), 1);
	assert_string_equal(m.method, "");
	assert_true(m.continues);
	assert_true(json_is_object(m.parameters));
	varlink_msg_done(&m);

	assert_int_equal(
		parse_one("{\"error\":\"a.B\",\"parameters\":null}", &m), 1);
	assert_string_equal(m.error, "a.B");
	assert_int_equal(json_object_size(m.parameters), 0);
	varlink_msg_done(&m);
}

static void unknown_members_are_ignored(void **state)
{
	struct varlink_msg m;

	assert_int_equal(parse_one("{\"x\":[1,{}],\"method\":\"a.B\"}", &m), 1);
	varlink_msg_done(&m);
}

static void bad_texts_are_refused(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{"", VARLINK_ERR_SYNTAX},
		{" ", VARLINK_ERR_SYNTAX},
		{"{", VARLINK_ERR_SYNTAX},
		{"{}}", VARLINK_ERR_SYNTAX},
		{"{} {}", VARLINK_ERR_SYNTAX},
		{"[]", VARLINK_ERR_SYNTAX},
		{"3", VARLINK_ERR_SYNTAX},
		{"null", VARLINK_ERR_SYNTAX},
		{"\"x\"", VARLINK_ERR_SYNTAX},
		{"{\"a\":1,\"a\":2}", VARLINK_ERR_SYNTAX},
		{"{\"parameters\":{\"a\":1,\"a\":2}}", VARLINK_ERR_SYNTAX},
		{"{\"a\":\"\xff\"}", VARLINK_ERR_SYNTAX},
		{"{\"a\":\"\xc0\xaf\"}", VARLINK_ERR_SYNTAX},
		{"{\"a\":\"\xed\xa0\x80\"}", VARLINK_ERR_SYNTAX},
		{"{\"a\":\"\\ud800\"}", VARLINK_ERR_SYNTAX},
		{"{\"a\":\"\\u0000\"}", VARLINK_ERR_SYNTAX},
		{"{\"a\":1e999}", VARLINK_ERR_SYNTAX},
		{"{\"a\":99999999999999999999}", VARLINK_ERR_SYNTAX},
		{"{\"a\":NaN}", VARLINK_ERR_SYNTAX},
		{"{\"method\":1}", VARLINK_ERR_TYPE},
		{"{\"method\":\"\"}", VARLINK_ERR_TYPE},
		{"{\"method\":\"nodot\"}", VARLINK_ERR_TYPE},
		{"{\"method\":\".B\"}", VARLINK_ERR_TYPE},
		{"{\"method\":\"a.\"}", VARLINK_ERR_TYPE},
		{"{\"method\":\"a.B\\n\"}", VARLINK_ERR_TYPE},
		{"{\"method\":\"a/../b.C\"}", VARLINK_ERR_TYPE},
		{"{\"method\":\"a.B\",\"more\":1}", VARLINK_ERR_TYPE},
		{"{\"method\":\"a.B\",\"oneway\":\"\"}", VARLINK_ERR_TYPE},
		{"{\"method\":\"a.B\",\"upgrade\":{}}", VARLINK_ERR_TYPE},
		{"{\"method\":\"a.B\",\"error\":\"a.C\"}", VARLINK_ERR_TYPE},
		{"{\"continues\":0}", VARLINK_ERR_TYPE},
		{"{\"error\":false}", VARLINK_ERR_TYPE},
		{"{\"parameters\":[]}", VARLINK_ERR_TYPE},
		{"{\"parameters\":\"{}\"}", VARLINK_ERR_TYPE},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct varlink_msg m;
		int r = parse_one(rows[i].text, &m);

		if (r != rows[i].want)
			fail_msg("%s: %d instead of %d", rows[i].text, r,
				 rows[i].want);
	}
}

/* {"a": [[...]]} with @depth levels in all, brackets in a string besides. */
static int parse_depth(unsigned int depth)
{
	char text[256] = "{\"s\":\"[[[[{{{{\\\"[[[[\",\"a\":";
	struct varlink_msg m;
	int r;

	for (unsigned int i = 1; i < depth; i++)
		strcat(text, "[");
	for (unsigned int i = 1; i < depth; i++)
		strcat(text, "]");
	strcat(text, "}");
	r = parse_one(text, &m);
	if (r == 1)
		varlink_msg_done(&m);
	return r;
}

static void depth_is_limited(void **state)
{
	assert_int_equal(parse_depth(VARLINK_DEPTH_MAX), 1);
	assert_int_equal(parse_depth(VARLINK_DEPTH_MAX + 1),
			 VARLINK_ERR_SYNTAX);
}

static int parse_method_of(size_t len)
{
	char text[VARLINK_METHOD_MAX + 64], name[VARLINK_METHOD_MAX + 8];
	struct varlink_msg m;
	int r;

	memset(name, 'a', len);
	name[1] = '.';
	name[len] = '\0';
	snprintf(text, sizeof(text), "{\"method\":\"%s\"}", name);
	r = parse_one(text, &m);
	if (r == 1) {
		assert_string_equal(m.method, name);
		varlink_msg_done(&m);
	}
	return r;
}

static void method_length_is_limited(void **state)
{
	assert_int_equal(parse_method_of(3), 1);
	assert_int_equal(parse_method_of(VARLINK_METHOD_MAX), 1);
	assert_int_equal(parse_method_of(VARLINK_METHOD_MAX + 1),
			 VARLINK_ERR_TYPE);
}

/* A message of exactly @size bytes, NUL included; malloc()ed. */
static char *message_of(size_t size)
{
	static const char head[] = "{\"a\":\"", tail[] = "\"}";
	char *text = malloc(size);

	memset(text, 'x', size);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + size - sizeof(tail), tail, sizeof(tail));
	return text;
}

static void largest_message_passes(void **state)
{
	char *text = message_of(VARLINK_MSG_MAX);
	struct varlink_buf b;
	struct varlink_msg m;

	varlink_buf_init(&b);
	feed(&b, text, VARLINK_MSG_MAX - 1, SIZE_MAX);
	assert_int_equal(varlink_buf_next(&b, &m), 0);
	feed(&b, "", 1, 1);
	assert_int_equal(varlink_buf_next(&b, &m), 1);
	varlink_msg_done(&m);
	varlink_buf_done(&b);
	free(text);
}

static void larger_message_is_refused(void **state)
{
	char *text = message_of(VARLINK_MSG_MAX + 1), *p;
	struct varlink_buf b;
	struct varlink_msg m;

	varlink_buf_init(&b);
	feed(&b, text, VARLINK_MSG_MAX, 1000);
	assert_int_equal(varlink_buf_room(&b, &p), VARLINK_ERR_TOO_BIG);
	assert_int_equal(varlink_buf_next(&b, &m), VARLINK_ERR_TOO_BIG);
	assert_int_equal(varlink_buf_next(&b, &m), VARLINK_ERR_TOO_BIG);
	varlink_buf_done(&b);
	free(text);
}

/* A full-sized message that starts in the middle of the buffer. */
static void largest_message_after_a_small_one(void **state)
{
	char *text = message_of(VARLINK_MSG_MAX);
	struct varlink_buf b;
	struct varlink_msg m;

	varlink_buf_init(&b);
	feed(&b, "{}\0{\"a", 6, SIZE_MAX);
	assert_int_equal(varlink_buf_next(&b, &m), 1);
	varlink_msg_done(&m);
	feed(&b, text + 3, VARLINK_MSG_MAX - 3, SIZE_MAX);
	assert_int_equal(varlink_buf_next(&b, &m), 1);
	varlink_msg_done(&m);
	varlink_buf_done(&b);
	free(text);
}

static void any_split_gives_the_same_messages(void **state)
{
	static const char text[] =
		"{\"method\":\"a.One\"}\0{\"error\":\"a.Two\"}\0"
		"{\"continues\":true}";

	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct varlink_buf b;
		struct varlink_msg m;
		int n = 0;

		varlink_buf_init(&b);
		for (size_t at = 0; at < sizeof(text); at += piece) {
			size_t left = sizeof(text) - at;

			feed(&b, text + at, left < piece ? left : piece, piece);
			while (varlink_buf_next(&b, &m) == 1) {
				n++;
				varlink_msg_done(&m);
			}
		}
		assert_int_equal(n, 3);
		assert_null(b.data);
		varlink_buf_done(&b);
	}
}

static void bytes_after_the_message_are_the_rest(void **state)
{
	struct varlink_buf b;
	struct varlink_msg m;
	const char *rest;
	size_t len;

	varlink_buf_init(&b);
	feed(&b, "{}\0\0raw\0", 8, SIZE_MAX);
	assert_int_equal(varlink_buf_next(&b, &m), 1);
	varlink_msg_done(&m);
	rest = varlink_buf_rest(&b, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(rest, "\0raw\0", 5);
	varlink_buf_done(&b);
	assert_non_null(varlink_buf_rest(&b, &len));
	assert_int_equal(len, 0);
}

static void empty_buffer_has_no_message(void **state)
{
	struct varlink_buf b;
	struct varlink_msg m;

	varlink_buf_init(&b);
	assert_int_equal(varlink_buf_next(&b, &m), 0);
	varlink_buf_done(&b);
}

static void check_text(char *text, size_t len, const char *want)
{
	assert_non_null(text);
	assert_string_equal(text, want);
	assert_int_equal(len, strlen(want) + 1);
	free(text);
}

static void calls_are_encoded(void **state)
{
	json_t *p = json_pack("{s:s}", "channel", "org.example");
	size_t len;
	char *text;

	text = varlink_call_text("a.B", NULL, false, false, false, &len);
	check_text(text, len, "{\"method\":\"a.B\",\"parameters\":{}}");
	text = varlink_call_text("a.B", p, true, true, true, &len);
	check_text(text, len,
		   "{\"method\":\"a.B\",\"parameters\":{\"channel\":"
		   "\"org.example\"},\"more\":true,\"oneway\":true,"
		   "\"upgrade\":true}");
	assert_int_equal(p->refcount, 1);
	json_decref(p);
}

static void replies_are_encoded(void **state)
{
	size_t len;
	char *text;

	text = varlink_reply_text(NULL, NULL, false, &len);
	check_text(text, len, "{\"parameters\":{}}");
	text = varlink_reply_text("a.E", NULL, true, &len);
	check_text(text, len,
		   "{\"error\":\"a.E\",\"parameters\":{},\"continues\":true}");
}

static void encoded_text_is_parsed_again(void **state)
{
	json_t *p = json_pack("{s:s}", "s", "a \"quoted\" \xe2\x82\xac \n");
	struct varlink_msg m;
	size_t len;
	char *text = varlink_call_text("a.B", p, true, false, false, &len);

	assert_int_equal(parse_one(text, &m), 1);
	assert_true(json_equal(m.parameters, p));
	varlink_msg_done(&m);
	json_decref(p);
	free(text);
}

/* Every allocation of a parse fails once: an error, and nothing leaks. */
static long alloc_left;

static void *failing_malloc(size_t n)
{
	return alloc_left-- > 0 ? malloc(n) : NULL;
}

static void failing_allocation_is_an_error(void **state)
{
	struct varlink_msg m;
	int r = 0;

	json_set_alloc_funcs(failing_malloc, free);
	for (long n = 0; r != 1 && n < 1000; n++) {
		alloc_left = n;
		r = parse_one("{\"method\":\"a.B\",\"parameters\":{\"a\":[1]}}",
			      &m);
		assert_true(r == 1 || r == VARLINK_ERR_NOMEM ||
			    r == VARLINK_ERR_SYNTAX);
	}
	assert_int_equal(r, 1);
	varlink_msg_done(&m);
	for (long n = 0; n < 1000; n++) {
		size_t len;
		char *text;

		alloc_left = n;
		text = varlink_call_text("a.B", NULL, true, true, true, &len);
		free(text);
		if (text)
			break;
	}
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(call_is_parsed),
		cmocka_unit_test(reply_is_parsed),
		cmocka_unit_test(unknown_members_are_ignored),
		cmocka_unit_test(bad_texts_are_refused),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(method_length_is_limited),
		cmocka_unit_test(largest_message_passes),
		cmocka_unit_test(larger_message_is_refused),
		cmocka_unit_test(largest_message_after_a_small_one),
		cmocka_unit_test(any_split_gives_the_same_messages),
		cmocka_unit_test(bytes_after_the_message_are_the_rest),
		cmocka_unit_test(empty_buffer_has_no_message),
		cmocka_unit_test(calls_are_encoded),
		cmocka_unit_test(replies_are_encoded),
		cmocka_unit_test(encoded_text_is_parsed_again),
		cmocka_unit_test(failing_allocation_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
