/* SPDX-License-Identifier: MIT */
/* Foreign text in bounds; utmp's records; what a terminal is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/ops_text.h"
#include "guest/tty_message.h"
#include "guest/utmp_list.h"

static void is_cut(size_t size, const char *src, const char *want)
{
	char buf[64];

	assert_true(size <= sizeof(buf));
	memset(buf, 'X', sizeof(buf));
	assert_string_equal(op_cut(buf, size, src, strlen(src)), want);
}

static void test_cut_at_a_character(void **state)
{
	(void)state;
	is_cut(8, "abc", "abc");
	is_cut(4, "abc", "abc");
	is_cut(3, "abc", "ab");
	is_cut(1, "abc", "");
	is_cut(5, "ab\xc3\xa9", "ab\xc3\xa9");
	is_cut(4, "ab\xc3\xa9", "ab");
	is_cut(5, "\xe2\x82\xac!", "\xe2\x82\xac!");
	is_cut(4, "\xe2\x82\xac!", "\xe2\x82\xac");
	is_cut(3, "\xe2\x82\xac!", "");
	is_cut(6, "\xf0\x9f\x90\xa7!", "\xf0\x9f\x90\xa7!");
}

static void test_what_is_no_utf8(void **state)
{
	(void)state;
	is_cut(8,
	       "a\xff"
	       "b",
	       "a?b");
	is_cut(8, "a\xc3", "a?");              /* cut off */
	is_cut(8, "\xc0\x80", "??");           /* too long a form */
	is_cut(8, "\xed\xa0\x80", "???");      /* a surrogate */
	is_cut(8, "\xf4\x90\x80\x80", "????"); /* beyond the last */
	is_cut(8, "\xc3(", "?(");
	is_cut(8, "\x80", "?");
}

static void test_fields_without_nul(void **state)
{
	const char field[4] = {'t', 't', 'y', '1'};
	char buf[16];
	json_t *v = op_text_n(field, sizeof(field), 63);

	(void)state;
	assert_string_equal(json_string_value(v), "tty1");
	json_decref(v);
	assert_string_equal(op_cut(buf, sizeof(buf), "a\0b", 3), "a");
	assert_null(op_text_or_null("", 10));
	assert_null(op_text_or_null(NULL, 10));
	v = op_text(NULL, 10);
	assert_string_equal(json_string_value(v), "");
	json_decref(v);
}

static void record(struct utmp *u, short type, const char *line,
		   const char *user)
{
	memset(u, 0, sizeof(*u));
	u->ut_type = type;
	u->ut_pid = 42;
	memcpy(u->ut_line, line, strnlen(line, sizeof(u->ut_line)));
	memcpy(u->ut_user, user, strnlen(user, sizeof(u->ut_user)));
}

static void test_utmp_records(void **state)
{
	char full[UT_NAMESIZE + 8];
	struct utmp_session s[8];
	struct utmp u[6];

	(void)state;
	memset(full, 'n', sizeof(full) - 1);
	full[sizeof(full) - 1] = '\0';
	record(&u[0], BOOT_TIME, "~", "reboot");
	record(&u[1], USER_PROCESS, "tty1", "alice");
	u[1].ut_tv.tv_sec = 7;
	u[1].ut_tv.tv_usec = 5;
	record(&u[2], USER_PROCESS, "tty2", "bob");
	u[2].ut_pid = -1; /* a process group, to kill() */
	record(&u[3], USER_PROCESS, "pts/0", full);
	memset(u[3].ut_host, 'h', sizeof(u[3].ut_host));
	u[3].ut_tv.tv_sec = -7;
	record(&u[4], DEAD_PROCESS, "pts/1", "bob");
	record(&u[5], USER_PROCESS, "", "bob");

	assert_int_equal(utmp_parse(u, sizeof(u), s, 8), 2);
	assert_string_equal(s[0].line, "tty1");
	assert_string_equal(s[0].user, "alice");
	assert_int_equal(s[0].leader, 42);
	assert_int_equal(s[0].since_us, 7000005);
	assert_int_equal(strlen(s[1].user), UT_NAMESIZE);
	assert_int_equal(strlen(s[1].host), UT_HOSTSIZE);
	assert_int_equal(s[1].since_us, 0);

	assert_int_equal(utmp_parse(u, sizeof(u), s, 1), 1);
	assert_int_equal(utmp_parse(u, 2 * sizeof(u[0]) - 1, s, 8), 0);
	assert_int_equal(utmp_parse(u, 0, s, 8), 0);
}

/* Return: what stands between head and tail. */
static const char *made(char buf[TTY_MESSAGE_MAX + 1], const char *text)
{
	size_t n = tty_message_make(buf, text);
	char *body;

	assert_true(n <= TTY_MESSAGE_MAX);
	buf[n] = '\0';
	body = strstr(buf, ":\r\n\r\n");
	assert_non_null(body);
	assert_string_equal(buf + n - 4, "\r\n\r\n");
	buf[n - 4] = '\0';
	return body + 5;
}

static void test_terminals_are_not_programmed(void **state)
{
	char buf[TTY_MESSAGE_MAX + 1], text[5000];

	(void)state;
	assert_string_equal(made(buf, "a\tb\nc"), "a\tb\r\nc");
	assert_string_equal(made(buf, "\x1b[2J\x7f"), "^[[2J^?");
	assert_string_equal(made(buf, "\xc2\x9b"
				      "2J"),
			    "?2J"); /* CSI in eight bits */
	assert_string_equal(made(buf, "\xc3\xa9"), "\xc3\xa9");
	memset(text, '\x1b', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_true(strlen(made(buf, text)) < TTY_MESSAGE_MAX);
	text[4096] = '\0';
	assert_int_equal(strlen(made(buf, text)), 2 * 4096);
}

static void test_lines_lead_nowhere_else(void **state)
{
	(void)state;
	assert_false(tty_message("../etc/passwd", "x"));
	assert_false(tty_message("/dev/null", "x"));
	assert_false(tty_message("", "x"));
	assert_false(tty_message("null", "x")); /* no terminal */
	assert_false(tty_message("tty1;x", "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_at_a_character),
		cmocka_unit_test(test_what_is_no_utf8),
		cmocka_unit_test(test_fields_without_nul),
		cmocka_unit_test(test_utmp_records),
		cmocka_unit_test(test_terminals_are_not_programmed),
		cmocka_unit_test(test_lines_lead_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
