/* SPDX-License-Identifier: MIT */
/* What passes between a caller and an offered service; no sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/offer_proxy.h"

#define IFACE "io.example.Thing"

static struct offer_proxy proxy;

static int setup(void **state)
{
	offer_proxy_init(&proxy, IFACE);
	return 0;
}

static int teardown(void **state)
{
	offer_proxy_done(&proxy);
	return 0;
}

/* Everything but Deny. */
static bool judge(void *data, const char *method,
		  char ret_rule[POLICY_RULE_ID_MAX])
{
	snprintf(ret_rule, POLICY_RULE_ID_MAX, "f:7");
	return strcmp(method, IFACE ".Deny") != 0;
}

static void feed(const char *bytes, size_t len)
{
	char *room;

	while (len > 0) {
		long n = varlink_buf_room(&proxy.in, &room);
		size_t part = len;

		assert_true(n > 0);
		if (part > (size_t)n)
			part = (size_t)n;
		memcpy(room, bytes, part);
		varlink_buf_add(&proxy.in, part);
		bytes += part;
		len -= part;
	}
}

/* With the NUL. */
static void say(const char *text)
{
	feed(text, strlen(text) + 1);
}

static void expect(enum offer_next want, const char *want_text)
{
	char *text;
	size_t len;

	assert_int_equal(offer_proxy_next(&proxy, judge, NULL, &text, &len),
			 want);
	if (want_text) {
		assert_non_null(text);
		assert_string_equal(text, want_text);
		assert_int_equal(len, strlen(want_text) + 1);
	} else {
		assert_null(text);
	}
	free(text);
}

static bool reply(const char *text)
{
	return offer_proxy_replied(&proxy, text, strlen(text) + 1);
}

#define CALL(method)       "{\"method\":\"" method "\",\"parameters\":{}}"
#define CALL_AS(method, w) "{\"method\":\"" method "\",\"parameters\":{}," w "}"

static void test_one_call_at_a_time(void **state)
{
	say("{ \"method\" : \"" IFACE ".A\", \"unknown\": 1}");
	say(CALL(IFACE ".B"));
	/* Written anew: what is not varlink's does not get through. */
	expect(OFFER_FORWARD, CALL(IFACE ".A"));
	assert_int_equal(proxy.phase, OFFER_CALLED);
	expect(OFFER_NOTHING, NULL);
	assert_true(reply("{\"parameters\":{}}"));
	expect(OFFER_FORWARD, CALL(IFACE ".B"));
	assert_true(offer_proxy_replied(&proxy, "{", 1));
	assert_true(offer_proxy_in_reply(&proxy));
	assert_true(offer_proxy_replied(&proxy, "}", 2));
	assert_false(offer_proxy_in_reply(&proxy));
	expect(OFFER_NOTHING, NULL);
}

static void test_every_message_is_judged(void **state)
{
	static const char denied[] =
		"{\"error\":\"org.vmchannel.PolicyDenied\",\"parameters\":{"
		"\"operation\":\"" IFACE ".Deny\",\"class\":\"full\","
		"\"rule\":\"f:7\"}}";

	say(CALL(IFACE ".Deny"));
	say(CALL(IFACE ".A"));
	say(CALL(IFACE ".Deny"));
	say(CALL_AS(IFACE ".Deny", "\"oneway\":true"));
	say(CALL("io.example.Other.A"));
	say(CALL("io.example.A"));
	say(CALL("org.varlink.service.GetInfo"));
	expect(OFFER_ANSWER, denied);
	expect(OFFER_FORWARD, CALL(IFACE ".A"));
	expect(OFFER_NOTHING, NULL); /* nor is it answered before its turn */
	assert_true(reply("{}"));
	expect(OFFER_ANSWER, denied);
	expect(OFFER_ANSWER, NULL);
	expect(OFFER_ANSWER,
	       "{\"error\":\"org.varlink.service.InterfaceNotFound\","
	       "\"parameters\":{\"interface\":\"io.example.Other\"}}");
	expect(OFFER_ANSWER,
	       "{\"error\":\"org.varlink.service.InterfaceNotFound\","
	       "\"parameters\":{\"interface\":\"io.example\"}}");
	expect(OFFER_FORWARD, CALL("org.varlink.service.GetInfo"));
	assert_true(reply("{}"));
	say(CALL("org.varlink.service.Other"));
	expect(OFFER_ANSWER,
	       "{\"error\":\"org.varlink.service.MethodNotFound\","
	       "\"parameters\":{\"method\":\"org.varlink.service.Other\"}}");
}

static void test_more(void **state)
{
	static const char *const going_on[] = {
		"{\"continues\":true}",
		"{ \"parameters\":{\"a\":[1,{}]} , \"continues\" : true }",
		"{\"x\":\"{\\\"\",\"continues\":true,\"y\":\"\\\\\"}",
	};
	static const char *const last[] = {
		"{\"continues\":false}",
		"{}",
		"{\"parameters\":{\"continues\":true}}",
		"{\"a\":\"continues\",\"b\":true}",
		"{\"a\":\"\\\"continues\\\":true\"}",
		"{\"continues2\":true,\"continue\":true}",
		"{\"continues\":null,\"t\":true}",
		"{\"parameters\":[\"continues\",true]}",
	};

	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		say(CALL_AS(IFACE ".A", "\"more\":true"));
		expect(OFFER_FORWARD, CALL_AS(IFACE ".A", "\"more\":true"));
		for (size_t j = 0; j < 3; j++) {
			assert_true(reply(going_on[j]));
			assert_int_equal(proxy.phase, OFFER_CALLED);
		}
		assert_true(reply(last[i]));
		if (proxy.phase != OFFER_IDLE)
			fail_msg("%s", last[i]);
	}
	/* To a call that asked for one, there is no second one. */
	say(CALL(IFACE ".A"));
	expect(OFFER_FORWARD, CALL(IFACE ".A"));
	assert_true(reply(going_on[0]));
	assert_int_equal(proxy.phase, OFFER_IDLE);
	assert_false(reply(going_on[0]));
}

static void test_out_of_turn(void **state)
{
	assert_false(offer_proxy_replied(&proxy, "{", 1));
	say(CALL_AS(IFACE ".A", "\"oneway\":true"));
	expect(OFFER_FORWARD, CALL_AS(IFACE ".A", "\"oneway\":true"));
	assert_int_equal(proxy.phase, OFFER_IDLE);
	assert_false(reply("{}"));
	say(CALL(IFACE ".A"));
	expect(OFFER_FORWARD, CALL(IFACE ".A"));
	assert_false(offer_proxy_replied(&proxy, "{}\0{}\0", 6));
}

static void test_reply_must_end(void **state)
{
	static char much[1024 * 1024];

	memset(much, ' ', sizeof(much));
	say(CALL(IFACE ".A"));
	expect(OFFER_FORWARD, CALL(IFACE ".A"));
	for (size_t i = 0; i < OFFER_REPLY_MAX / sizeof(much); i++)
		assert_true(offer_proxy_replied(&proxy, much, sizeof(much)));
	assert_false(offer_proxy_replied(&proxy, "", 1));
}

static void test_upgrade(void **state)
{
	static const char upgrade[] = CALL_AS(IFACE ".A", "\"upgrade\":true");
	char *rest;
	size_t len;

	/* Refused: the next message is judged like any other. */
	say(upgrade);
	expect(OFFER_FORWARD, upgrade);
	assert_true(reply("{\"error\":\"" IFACE ".No\"}"));
	assert_int_equal(proxy.phase, OFFER_IDLE);
	say(upgrade);
	feed("raw \0bytes", 10);
	expect(OFFER_FORWARD, upgrade);
	expect(OFFER_NOTHING, NULL);
	assert_true(offer_proxy_replied(&proxy, "{}\0\xff\0x", 6));
	assert_int_equal(proxy.phase, OFFER_RAW);
	rest = offer_proxy_take_rest(&proxy, &len);
	assert_non_null(rest);
	assert_int_equal(len, 10);
	assert_memory_equal(rest, "raw \0bytes", 10);
	free(rest);
	expect(OFFER_NOTHING, NULL);
}

/* What cannot be read for sure opens nothing. */
static void test_upgrade_in_doubt(void **state)
{
	static const char upgrade[] = CALL_AS(IFACE ".A", "\"upgrade\":true");
	static const char *const doubtful[] = {
		"{\"error\":\"" IFACE ".No\",\"error\":null}",
		"{\"\\u0065rror\":1}",
		"[]",
		"",
		"{\"method\":\"a.B\"}",
	};
	char *much = calloc(1, VARLINK_MSG_MAX + 1);

	assert_non_null(much);
	memset(much, ' ', VARLINK_MSG_MAX);
	for (size_t i = 0; i < sizeof(doubtful) / sizeof(doubtful[0]); i++) {
		say(upgrade);
		expect(OFFER_FORWARD, upgrade);
		if (reply(doubtful[i]))
			fail_msg("%s", doubtful[i]);
		offer_proxy_done(&proxy);
		offer_proxy_init(&proxy, IFACE);
	}
	say(upgrade);
	expect(OFFER_FORWARD, upgrade);
	assert_false(reply(much));
	free(much);
}

static void test_broken_calls(void **state)
{
	static const char *const broken[] = {
		"",
		"{}",
		"[]",
		"{\"method\":\"A\"}",
		"{\"method\":\"" IFACE ".A\",\"method\":\"" IFACE ".B\"}",
		"{\"method\":\"" IFACE ".A\",\"parameters\":[]}",
		"{\"method\":\"" IFACE ".A\\u0000\"}",
		"{\"method\":\"" IFACE ".A\",\"parameters\":{\"a\":\"\xff\"}}",
		CALL_AS(IFACE ".A", "\"oneway\":true,\"more\":true"),
		CALL_AS(IFACE ".A", "\"oneway\":true,\"upgrade\":true"),
		CALL_AS(IFACE ".A", "\"more\":true,\"upgrade\":true"),
		"{\"parameters\":{}}",
	};
	char deep[256] = "{\"method\":\"" IFACE ".A\",\"parameters\":{\"a\":";
	size_t len = strlen(deep);

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		say(broken[i]);
		expect(OFFER_BROKEN, NULL);
		offer_proxy_done(&proxy);
		offer_proxy_init(&proxy, IFACE);
	}
	memset(deep + len, '[', 40);
	memset(deep + len + 40, ']', 40);
	say(deep);
	expect(OFFER_BROKEN, NULL);
}

static void test_service_is_not_there(void **state)
{
	bool ok;
	size_t len;
	char *text;

	say(CALL(IFACE ".A"));
	say(CALL_AS(IFACE ".B", "\"oneway\":true"));
	say(CALL(IFACE ".C"));
	expect(OFFER_FORWARD, CALL(IFACE ".A"));
	text = offer_proxy_failed(&proxy, ENOENT, "/run/x: not there", &len,
				  &ok);
	assert_true(ok);
	assert_string_equal(text,
			    "{\"error\":\"org.vmchannel.Failed\","
			    "\"parameters\":{\"operation\":\"" IFACE ".A\","
			    "\"name\":\"ENOENT\","
			    "\"detail\":\"/run/x: not there\"}}");
	free(text);
	expect(OFFER_FORWARD, CALL_AS(IFACE ".B", "\"oneway\":true"));
	assert_null(offer_proxy_failed(&proxy, ENOENT, "x", &len, &ok));
	assert_true(ok);
	/* The stream is as good as before. */
	expect(OFFER_FORWARD, CALL(IFACE ".C"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_one_call_at_a_time),
		TEST(test_every_message_is_judged),
		TEST(test_more),
		TEST(test_out_of_turn),
		TEST(test_reply_must_end),
		TEST(test_upgrade),
		TEST(test_upgrade_in_doubt),
		TEST(test_broken_calls),
		TEST(test_service_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
