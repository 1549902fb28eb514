/* SPDX-License-Identifier: MIT */
/* Policy: the format, the order, the built-in rules, the way to the worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/policy.h"

#define HOST  VMC_PRINCIPAL_HOST
#define GUEST VMC_PRINCIPAL_GUEST

static const gid_t some_groups[] = {27, 100};

static const struct policy_caller owner = {.side = HOST, .owner = true};
static const struct policy_caller other = {
	.side = HOST,
	.uid = 1000,
	.gid = 1000,
	.groups = some_groups,
	.n_groups = 2,
};
static const struct policy_caller groot = {.side = GUEST};
static const struct policy_caller guser = {
	.side = GUEST,
	.uid = 1000,
	.gid = 50,
	.groups = some_groups,
	.n_groups = 2,
};

static bool find_group(const char *name, gid_t *ret)
{
	if (strcmp(name, "users") != 0)
		return false;
	*ret = 100;
	return true;
}

static struct policy *make(enum vmc_principal_kind side, const char *text)
{
	struct policy *p;
	char err[256] = "";

	assert_int_equal(policy_new(&p, side), 0);
	if (policy_add_text(p, "f", text, strlen(text), find_group, err,
			    sizeof(err)) < 0)
		fail_msg("%s", err);
	return p;
}

static struct policy_verdict ask(const struct policy *p, enum policy_op op,
				 const char *channel,
				 const struct policy_caller *who)
{
	struct policy_verdict v;

	policy_check(p, op, channel, who, &v);
	return v;
}

static void expect(const struct policy *p, enum policy_op op,
		   const char *channel, const struct policy_caller *who,
		   bool allowed, const char *rule)
{
	struct policy_verdict v = ask(p, op, channel, who);

	assert_string_equal(v.rule, rule);
	assert_int_equal(v.allowed, allowed);
}

/* One rule, who it matches (bit per caller: owner, other, groot, guser). */
static void test_principals(void **state)
{
	static const struct {
		enum vmc_principal_kind side;
		const char *principal;
		unsigned int matches;
	} rows[] = {
		{HOST, "host", 0x1},        {HOST, "guest:0", 0x4},
		{HOST, "guest:1000", 0x8},  {HOST, "guest:*", 0xc},
		{HOST, "group:27", 0x2},    {HOST, "group:users", 0x2},
		{HOST, "group:1000", 0x2},  {HOST, "group:3", 0x0},
		{HOST, "group:0", 0x0}, /* the owner is only "host" */
		{HOST, "*", 0xf},           {GUEST, "host", 0x1},
		{GUEST, "guest:1000", 0x8}, {GUEST, "group:users", 0x8},
		{GUEST, "group:50", 0x8},   {GUEST, "group:0", 0x4},
		{GUEST, "*", 0xf},
	};
	static const struct policy_caller *const callers[] = {&owner, &other,
							      &groot, &guser};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[64];
		struct policy *p;

		snprintf(line, sizeof(line), "connect a %s allow",
			 rows[i].principal);
		p = make(rows[i].side, line);
		for (unsigned int c = 0; c < 4; c++) {
			bool want = rows[i].matches & (1u << c);
			struct policy_verdict v =
				ask(p, POLICY_CONNECT, "a", callers[c]);

			if (v.allowed != want)
				fail_msg("row %zu, caller %u", i, c);
			assert_string_equal(v.rule, want ? "f:1" : "none");
		}
		policy_free(p);
	}
}

static void test_channels(void **state)
{
	static const struct {
		const char *pattern, *channel;
		bool match;
	} rows[] = {
		{"a.b", "a.b", true},
		{"a.b", "a.bc", false},
		{"a.b", "a", false},
		{"a.*", "a.b", true},
		{"a.*", "a.b.c", true},
		{"a.*", "a", false},
		{"a.*", "ab", false},
		{"*", "anything", true},
		{"org.vmchannel.*", "org.varlink.service", true},
		{"org.vmchannel.x", "org.varlink.service", false},
		{"org.*", "org.varlink.service", true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[128];
		struct policy *p;

		snprintf(line, sizeof(line), "listen %s * allow",
			 rows[i].pattern);
		p = make(HOST, line);
		if (ask(p, POLICY_LISTEN, rows[i].channel, &guser).allowed !=
		    rows[i].match)
			fail_msg("%s, %s", rows[i].pattern, rows[i].channel);
		assert_false(ask(p, POLICY_CONNECT, rows[i].channel, &guser)
				     .allowed);
		policy_free(p);
	}
}

static void test_first_match_wins(void **state)
{
	struct policy *p =
		make(HOST, "# why\n"
			   "connect a guest:0 deny # this one\n"
			   "\n"
			   "\tconnect  a \t guest:* allow  weight=7\n"
			   "connect a guest:* deny");

	expect(p, POLICY_CONNECT, "a", &groot, false, "f:2");
	expect(p, POLICY_CONNECT, "a", &guser, true, "f:4");
	expect(p, POLICY_CONNECT, "b", &guser, false, "none");
	assert_int_equal(ask(p, POLICY_CONNECT, "a", &guser).weight, 7);
	assert_int_equal(ask(p, POLICY_CONNECT, "a", &groot).weight, 1);
	policy_free(p);
}

static void test_files_before_builtin(void **state)
{
	struct policy *p = make(HOST, "connect a guest:* deny\n");
	char err[128];

	assert_int_equal(policy_seal(p), 0);
	assert_int_equal(policy_seal(p), 0);
	expect(p, POLICY_CONNECT, "a", &guser, false, "f:1");
	expect(p, POLICY_CONNECT, "b", &guser, true, "built-in:5");
	assert_true(policy_add_text(p, "late", "", 0, NULL, err, sizeof(err)) <
		    0);
	policy_free(p);
}

static void test_builtin_host(void **state)
{
	struct policy *p = make(HOST, "");

	policy_seal(p);
	expect(p, POLICY_LISTEN, "a", &owner, true, "built-in:1");
	expect(p, POLICY_LISTEN, "org.vmchannel.a", &owner, true, "built-in:1");
	expect(p, POLICY_LISTEN, "a", &other, false, "none");
	expect(p, POLICY_LISTEN, "a", &groot, false, "none");
	expect(p, POLICY_CONNECT, "a", &owner, true, "built-in:2");
	expect(p, POLICY_CONNECT, "a", &other, false, "none");
	expect(p, POLICY_CONNECT, "org.vmchannel.a", &groot, true,
	       "built-in:3");
	expect(p, POLICY_CONNECT, "org.varlink.service", &groot, true,
	       "built-in:3");
	expect(p, POLICY_CONNECT, "org.vmchannel.a", &guser, false,
	       "built-in:4");
	expect(p, POLICY_CONNECT, "org.varlink.service", &guser, false,
	       "built-in:4");
	expect(p, POLICY_CONNECT, "a", &guser, true, "built-in:5");
	policy_free(p);
}

static void test_builtin_guest(void **state)
{
	struct policy *p = make(GUEST, "");

	policy_seal(p);
	expect(p, POLICY_LISTEN, "org.vmchannel.a", &groot, true, "built-in:1");
	expect(p, POLICY_LISTEN, "org.vmchannel.a", &guser, false,
	       "built-in:2");
	expect(p, POLICY_LISTEN, "a", &guser, true, "built-in:3");
	expect(p, POLICY_LISTEN, "a", &owner, false, "none");
	expect(p, POLICY_CONNECT, "org.vmchannel.a", &owner, true,
	       "built-in:4");
	expect(p, POLICY_CONNECT, "org.vmchannel.a", &groot, true,
	       "built-in:5");
	expect(p, POLICY_CONNECT, "org.vmchannel.a", &guser, false,
	       "built-in:6");
	expect(p, POLICY_CONNECT, "a", &guser, true, "built-in:7");
	policy_free(p);
}

/* Without policy_seal() nothing at all is allowed. */
static void test_default_deny(void **state)
{
	struct policy *p = make(HOST, "");

	expect(p, POLICY_CONNECT, "a", &owner, false, "none");
	expect(p, POLICY_LISTEN, "a", &owner, false, "none");
	policy_free(p);
}

#define CALL_SUBJECTS                                               \
	"expected INTERFACE.METHOD, INTERFACE.*, @read, @control, " \
	"@full or \"*\""

#define OFFER_SUBJECTS                                   \
	"expected an interface of the service, such as " \
	"io.systemd.Hostname, of at most 64 bytes"

static void test_errors(void **state)
{
	static const struct {
		const char *line, *error;
	} rows[] = {
		{"connect a host",
		 "expected \"connect|listen|call SUBJECT PRINCIPAL "
		 "allow|deny\" or \"offer INTERFACE PRINCIPAL SOCKET\""},
		{"dial a host allow",
		 "\"dial\": expected connect, listen, call or offer"},
		{"connect .a host allow",
		 "\".a\": expected a channel name, a prefix ending in \".*\", "
		 "or \"*\""},
		{"connect a..* host allow",
		 "\"a..*\": expected a channel name, a prefix ending in "
		 "\".*\", or \"*\""},
		{"connect a* host allow",
		 "\"a*\": expected a channel name, a prefix ending in \".*\", "
		 "or \"*\""},
		{"connect .* host allow",
		 "\".*\": expected a channel name, a prefix ending in \".*\", "
		 "or \"*\""},
		{"connect a root allow",
		 "\"root\": expected host, guest:UID, guest:*, group:NAME or "
		 "*"},
		{"connect a guest:x allow",
		 "\"guest:x\": expected guest:UID or guest:*"},
		{"connect a guest: allow",
		 "\"guest:\": expected guest:UID or guest:*"},
		{"connect a guest:-1 allow",
		 "\"guest:-1\": expected guest:UID or guest:*"},
		{"connect a guest:4294967295 allow",
		 "\"guest:4294967295\": expected guest:UID or guest:*"},
		{"connect a guest:99999999999999999999999 allow",
		 "\"guest:99999999999999999999999\": expected guest:UID or "
		 "guest:*"},
		{"connect a group:nobodies allow",
		 "\"group:nobodies\": there is no such group; create it or "
		 "give its number"},
		{"connect a group: allow", "\"group:\": expected group:NAME"},
		{"connect a host maybe", "\"maybe\": expected allow or deny"},
		{"connect a host allow weight=0",
		 "\"weight=0\": expected 1..16"},
		{"connect a host allow weight=17",
		 "\"weight=17\": expected 1..16"},
		{"connect a host allow weight=", "\"weight=\": expected 1..16"},
		{"connect a host deny weight=2",
		 "weight means nothing with deny, call or offer; remove it"},
		{"call @read host allow",
		 "call lines are the guest's; put it into its policy.d"},
		{"call @read host allow weight=2",
		 "weight means nothing with deny, call or offer; remove it"},
		{"connect a host allow weight=2 weight=3",
		 "weight is given twice"},
		{"connect a host allow colour=2",
		 "\"colour=2\": unknown option; expected weight=1..16"},
		{"connect a host allow weight=1 origin=a b",
		 "too many words, from \"b\" on"},
		{"connect a host allow origin=",
		 "origin must have 1..127 bytes"},
		{"connect a host allow origin=a origin=b",
		 "origin is given twice"},
		{"connect a host allow\r",
		 "carriage return; save the file with Unix line ends"},
		{"connect \x7f host allow", "byte 0x7f is not allowed here"},
		{"connect \xc3\xa4 host allow",
		 "byte 0xc3 is not allowed here"},
		{"call @write host allow", "\"@write\": " CALL_SUBJECTS},
		{"call a.b host allow", "\"a.b\": " CALL_SUBJECTS},
		{"call a.b. host allow", "\"a.b.\": " CALL_SUBJECTS},
		{"call A host allow", "\"A\": " CALL_SUBJECTS},
		{"call a..B host allow", "\"a..B\": " CALL_SUBJECTS},
		{"call .A host allow", "\".A\": " CALL_SUBJECTS},
		{"call a.B* host allow", "\"a.B*\": " CALL_SUBJECTS},
		{"call a.B_ host allow", "\"a.B_\": " CALL_SUBJECTS},
		{"call .* host allow", "\".*\": " CALL_SUBJECTS},
		{"call a host allow", "\"a\": " CALL_SUBJECTS},
		{"offer a.b host /s",
		 "offer lines are the guest's; put it into its policy.d"},
		{"offer a.b host s",
		 "\"s\": expected the absolute path of a unix socket, of at "
		 "most 107 bytes"},
		{"offer a.b host allow",
		 "\"allow\": expected the absolute path of a unix socket, of "
		 "at most 107 bytes"},
		{"offer a host /s", "\"a\": " OFFER_SUBJECTS},
		{"offer a.* host /s", "\"a.*\": " OFFER_SUBJECTS},
		{"offer * host /s", "\"*\": " OFFER_SUBJECTS},
		{"offer a..b host /s", "\"a..b\": " OFFER_SUBJECTS},
		{"offer org.vmchannel.Exec host /s",
		 "\"org.vmchannel.Exec\" is vmchannel's own; offer another "
		 "interface"},
		{"offer org.varlink.service host /s",
		 "\"org.varlink.service\" is vmchannel's own; offer another "
		 "interface"},
		{"offer a.b root /s",
		 "\"root\": expected host, guest:UID, guest:*, group:NAME or "
		 "*"},
		{"offer a.b host /s weight=2",
		 "weight means nothing with deny, call or offer; remove it"},
		{"offer a.b host /s origin=a origin=b",
		 "origin is given twice"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy *p = make(HOST, "connect a host allow\n");
		char text[256], err[256] = "", want[256];
		size_t len;

		len = (size_t)snprintf(text, sizeof(text),
				       "connect b host allow\n\n%s\n",
				       rows[i].line);
		snprintf(want, sizeof(want), "g.conf:3: %s", rows[i].error);
		assert_true(policy_add_text(p, "g.conf", text, len, find_group,
					    err, sizeof(err)) < 0);
		assert_string_equal(err, want);
		/* nothing of that file was added, the older one is there */
		expect(p, POLICY_CONNECT, "b", &owner, false, "none");
		expect(p, POLICY_CONNECT, "a", &owner, true, "f:1");
		policy_free(p);
	}
}

static void expect_call(const struct policy *p, const char *method,
			const char *class, const struct policy_caller *who,
			bool allowed, const char *rule)
{
	struct policy_verdict v;

	policy_check_call(p, method, class, who, &v);
	assert_string_equal(v.rule, rule);
	assert_int_equal(v.allowed, allowed);
}

static void test_calls(void **state)
{
	struct policy *p = make(GUEST, "call org.a.Power.Off host deny\n"
				       "call org.a.Exec.* host allow\n"
				       "call @read * allow\n"
				       "call @full group:users allow\n"
				       "connect * * allow\n");

	expect_call(p, "org.a.Power.Off", "control", &owner, false, "f:1");
	expect_call(p, "org.a.Power.Off", "control", &guser, false, "none");
	expect_call(p, "org.a.Power.OffNow", "control", &owner, false, "none");
	expect_call(p, "org.a.Exec.Run", "full", &owner, true, "f:2");
	expect_call(p, "org.a.Executor.Run", "full", &owner, false, "none");
	expect_call(p, "org.b.X", "read", &owner, true, "f:3");
	expect_call(p, "org.b.X", "full", &guser, true, "f:4");
	expect_call(p, "org.b.X", "full", &groot, false, "none");
	policy_free(p);
}

/* A rule about calls says nothing about channels of that name. */
static void test_calls_are_not_channels(void **state)
{
	struct policy *p = make(GUEST, "call * * allow\n"
				       "call a.B * allow\n");

	expect(p, POLICY_CONNECT, "a.B", &owner, false, "none");
	expect(p, POLICY_LISTEN, "a.B", &owner, false, "none");
	policy_free(p);
}

static void test_calls_builtin(void **state)
{
	struct policy *p = make(GUEST, "");

	assert_int_equal(policy_seal(p), 0);
	expect_call(p, "a.B", "read", &owner, true, "built-in:8");
	expect_call(p, "a.B", "control", &owner, true, "built-in:9");
	expect_call(p, "a.B", "full", &owner, false, "built-in:10");
	expect_call(p, "a.B", "read", &groot, false, "built-in:10");
	policy_free(p);
}

static void test_offers(void **state)
{
	struct policy *p = make(GUEST, "call io.a.Close host deny\n"
				       "offer io.a host /run/a\n"
				       "offer io.b guest:0 /run/b0\n"
				       "offer io.a * /run/other\n"
				       "offer io.b host /run/b\n"
				       "call io.b.X host deny\n"
				       "listen io.b * allow\n"
				       "connect io.a host deny\n");
	size_t pos = 0;

	policy_seal(p);
	/* What no earlier line decided, and nothing of another interface. */
	expect_call(p, "io.a.Close", "full", &owner, false, "f:1");
	expect_call(p, "io.a.Open", "full", &owner, true, "f:2");
	expect_call(p, "io.b.X", "full", &owner, true, "f:5");
	expect_call(p, "io.b.X", "full", &groot, true, "f:3");
	expect_call(p, "io.b.X", "full", &guser, false, "built-in:10");
	expect_call(p, "io.a.b.X", "full", &owner, false, "built-in:10");
	expect_call(p, "io.X", "full", &owner, false, "built-in:10");
	expect_call(p, "io.a", "full", &owner, false, "built-in:10");
	/* The first line that speaks of the caller has the socket. */
	assert_string_equal(policy_offer(p, "io.a", &owner), "/run/a");
	assert_string_equal(policy_offer(p, "io.a", &guser), "/run/other");
	assert_string_equal(policy_offer(p, "io.b", &owner), "/run/b");
	assert_null(policy_offer(p, "io.b", &guser));
	assert_null(policy_offer(p, "io.c", &owner));
	/* The name is kept for root; who may connect is another matter. */
	expect(p, POLICY_LISTEN, "io.a", &groot, true, "f:2");
	expect(p, POLICY_LISTEN, "io.a", &guser, false, "f:2");
	expect(p, POLICY_LISTEN, "io.b", &guser, false, "f:3");
	expect(p, POLICY_CONNECT, "io.a", &owner, false, "f:8");
	expect(p, POLICY_CONNECT, "io.b", &owner, true, "built-in:4");
	assert_string_equal(policy_offer_next(p, &pos), "io.a");
	assert_string_equal(policy_offer_next(p, &pos), "io.b");
	assert_null(policy_offer_next(p, &pos));
	assert_null(policy_offer_next(p, &pos));
	policy_free(p);
}

static void test_offer_limits(void **state)
{
	char text[POLICY_OFFERS_MAX * 32 + 64], err[256];
	char path[POLICY_PATH_MAX + 2] = "/";
	struct policy *p = make(GUEST, "");
	size_t len = 0;
	int n;

	for (int i = 0; i < POLICY_OFFERS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"offer io.a%d host /s\n", i);
	assert_int_equal(
		policy_add_text(p, "g", text, len, NULL, err, sizeof(err)), 0);
	assert_true(policy_add_text(p, "h", "offer io.z host /s", 18, NULL, err,
				    sizeof(err)) < 0);
	assert_string_equal(err, "h:1: more than 64 offer lines");
	policy_free(p);

	p = make(GUEST, "");
	memset(path + 1, 'p', POLICY_PATH_MAX);
	n = snprintf(text, sizeof(text), "offer io.a host %s", path);
	assert_true(policy_add_text(p, "g", text, (size_t)n, NULL, err,
				    sizeof(err)) < 0);
	assert_int_equal(policy_add_text(p, "g", text, (size_t)n - 1, NULL, err,
					 sizeof(err)),
			 0);
	path[POLICY_PATH_MAX] = '\0';
	assert_string_equal(policy_offer(p, "io.a", &owner), path);
	policy_free(p);
}

static void test_method_names(void **state)
{
	assert_true(policy_method_valid("io.systemd.Hostname.Describe"));
	assert_false(policy_method_valid("io.systemd.Hostname"
					 ".describe"));
	assert_false(policy_method_valid("Describe"));
	assert_false(policy_method_valid(""));
}

static void test_nul_byte(void **state)
{
	static const char text[] = "connect a host allow\0 x";
	struct policy *p = make(HOST, "");
	char err[256];

	assert_true(policy_add_text(p, "g", text, sizeof(text) - 1, NULL, err,
				    sizeof(err)) < 0);
	assert_string_equal(err, "g:1: byte 0x00 is not allowed here");
	policy_free(p);
}

static void test_line_length(void **state)
{
	static const char rule[] = "connect a host allow";
	char line[POLICY_LINE_MAX + 1];
	struct policy *p = make(HOST, "");
	char err[256];

	memset(line, ' ', sizeof(line));
	memcpy(line, rule, sizeof(rule) - 1);
	assert_int_equal(policy_add_text(p, "g", line, POLICY_LINE_MAX, NULL,
					 err, sizeof(err)),
			 0);
	assert_true(policy_add_text(p, "g", line, POLICY_LINE_MAX + 1, NULL,
				    err, sizeof(err)) < 0);
	assert_string_equal(err, "g:1: the line is longer than 512 bytes");
	policy_free(p);
}

static void test_name_length(void **state)
{
	char line[128], name[VMC_NAME_MAX + 2];
	struct policy *p = make(HOST, "");
	char err[256];

	for (size_t n = VMC_NAME_MAX; n <= VMC_NAME_MAX + 1; n++) {
		int len;

		memset(name, 'x', n);
		name[n] = '\0';
		len = snprintf(line, sizeof(line), "connect %s * allow", name);
		assert_int_equal(policy_add_text(p, "g", line, (size_t)len,
						 NULL, err, sizeof(err)) == 0,
				 n <= VMC_NAME_MAX);
	}
	name[VMC_NAME_MAX] = '\0';
	expect(p, POLICY_CONNECT, name, &guser, true, "g:1");
	policy_free(p);
}

static void test_rule_limit(void **state)
{
	static const char rule[] = "connect a guest:1 allow\n";
	size_t len = sizeof(rule) - 1;
	char *text = malloc((POLICY_RULES_MAX + 1) * len);
	struct policy *p = make(HOST, "");
	char err[256];

	assert_non_null(text);
	for (size_t i = 0; i <= POLICY_RULES_MAX; i++)
		memcpy(text + i * len, rule, len);
	assert_true(policy_add_text(p, "g", text, (POLICY_RULES_MAX + 1) * len,
				    NULL, err, sizeof(err)) < 0);
	assert_string_equal(err, "g:1025: more than 1024 rules; use prefixes "
				 "or groups");
	assert_int_equal(policy_add_text(p, "g", text, POLICY_RULES_MAX * len,
					 NULL, err, sizeof(err)),
			 0);
	assert_true(policy_add_text(p, "h", rule, len, NULL, err, sizeof(err)) <
		    0);
	assert_int_equal(policy_seal(p), 0); /* built-in ones always fit */
	expect(p, POLICY_CONNECT, "a", &owner, true, "built-in:2");
	policy_free(p);
	free(text);
}

static void test_round_trip(void **state)
{
	struct policy *p = make(HOST, "connect a.b.* guest:7 allow weight=16\n"
				      "listen * group:users deny # comment\n"
				      "connect x host deny\n"
				      "listen x guest:* allow\n"
				      "connect x * allow\n");
	static const char want[] =
		"connect a.b.* guest:7 allow weight=16 origin=f:1\n"
		"listen * group:100 deny origin=f:2\n"
		"connect x host deny origin=f:3\n"
		"listen x guest:* allow origin=f:4\n"
		"connect x * allow origin=f:5\n";
	struct policy *q;
	char err[256], *text, *again;
	size_t len, len2;

	policy_seal(p);
	text = policy_text(p, &len);
	assert_non_null(text);
	assert_int_equal(len, strlen(want));
	assert_string_equal(text, want);

	/* The worker has no groups and no files. */
	assert_int_equal(policy_new(&q, HOST), 0);
	assert_int_equal(policy_add_text(q, "supervisor", text, len, NULL, err,
					 sizeof(err)),
			 0);
	policy_seal(q);
	again = policy_text(q, &len2);
	assert_string_equal(again, want);
	expect(q, POLICY_CONNECT, "x", &owner, false, "f:3");
	free(text);
	free(again);
	policy_free(p);
	policy_free(q);
}

static void test_round_trip_guest(void **state)
{
	struct policy *p = make(GUEST, "offer  io.a  guest:* /run/a # why\n"
				       "call io.a.* * deny\n");
	size_t len;
	char *text = policy_text(p, &len);

	assert_non_null(text);
	assert_string_equal(text, "offer io.a guest:* /run/a origin=f:1\n"
				  "call io.a.* * deny origin=f:2\n");
	free(text);
	policy_free(p);
}

/* What a file's name cannot do to the text for the worker. */
static void test_odd_file_names(void **state)
{
	char name[300], err[256], *text;
	struct policy *p;
	size_t len;

	assert_int_equal(policy_new(&p, HOST), 0);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memcpy(name + 290, "a b#c\n", 6);
	assert_int_equal(policy_add_text(p, name, "connect a host allow", 20,
					 NULL, err, sizeof(err)),
			 0);
	text = policy_text(p, &len);
	assert_non_null(text);
	assert_non_null(strstr(text, "nna?b?c?nnn:1\n"));
	assert_int_equal(strlen(ask(p, POLICY_CONNECT, "a", &owner).rule),
			 POLICY_RULE_ID_MAX - 1);
	free(text);
	policy_free(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_principals),
		cmocka_unit_test(test_channels),
		cmocka_unit_test(test_first_match_wins),
		cmocka_unit_test(test_files_before_builtin),
		cmocka_unit_test(test_builtin_host),
		cmocka_unit_test(test_builtin_guest),
		cmocka_unit_test(test_default_deny),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_calls_are_not_channels),
		cmocka_unit_test(test_calls_builtin),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_offer_limits),
		cmocka_unit_test(test_method_names),
		cmocka_unit_test(test_round_trip_guest),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_line_length),
		cmocka_unit_test(test_name_length),
		cmocka_unit_test(test_rule_limit),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_odd_file_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
