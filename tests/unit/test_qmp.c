/* SPDX-License-Identifier: MIT */
/* test_qmp.c - the QMP client against scripted servers */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/qmp.h"
#include "qmp/parse.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* An answer comes at once here; a silent server costs the test this much. */
#define SHORT_MS 200
#define LONG_MS  20000

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define OK(id)   "{\"return\": {}, \"id\": " #id "}\r\n"
#define EVENT    "{\"event\": \"RESUME\", \"timestamp\": {}}\r\n"

/* ---- the parser -------------------------------------------------------- */

static int parse(const char *line, struct qmp_message *m)
{
	return qmp_parse(line, strlen(line), m);
}

static void test_parse(void **state)
{
	struct qmp_message m;

	(void)state;
	assert_int_equal(parse("{\"QMP\": {}}\r", &m), 0);
	assert_int_equal(m.kind, QMP_GREETING);
	qmp_message_done(&m);

	assert_int_equal(parse("{\"return\": [1], \"id\": 7}", &m), 0);
	assert_int_equal(m.kind, QMP_RETURN);
	assert_true(m.has_id);
	assert_int_equal(m.id, 7);
	assert_true(json_is_array(m.body));
	qmp_message_done(&m);

	assert_int_equal(parse("{\"error\": {\"class\": \"C\", \"desc\": "
			       "\"d\"}, \"id\": \"x\"}",
			       &m),
			 0);
	assert_int_equal(m.kind, QMP_ERROR);
	assert_false(m.has_id);
	assert_string_equal(m.name, "C");
	assert_string_equal(m.text, "d");
	qmp_message_done(&m);

	assert_int_equal(parse("{\"event\": \"E\", \"data\": {\"device\": "
			       "\"p\"}}",
			       &m),
			 0);
	assert_int_equal(m.kind, QMP_EVENT);
	assert_string_equal(m.name, "E");
	assert_non_null(json_object_get(m.body, "device"));
	qmp_message_done(&m);
}

static void test_parse_rejects(void **state)
{
	static const char *const lines[] = {
		"",
		"\r",
		"{",
		"[]",
		"1",
		"{}",
		"{\"foo\": 1}",
		"{\"QMP\": 1}",
		"{\"QMP\": {}} {\"QMP\": {}}",
		"{\"return\": {}, \"return\": {}}",
		"{\"error\": 1}",
		"{\"error\": {}}",
		"{\"error\": {\"class\": \"C\"}}",
		"{\"error\": {\"class\": 1, \"desc\": \"d\"}}",
		"{\"event\": 1}",
		"{\"event\": \"E\", \"data\": []}",
	};
	struct qmp_message m;

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++)
		if (parse(lines[i], &m) != -EPROTO)
			fail_msg("taken: %s", lines[i]);
	/* A NUL byte within the line. */
	assert_int_equal(qmp_parse("{\"QMP\"\0: {}}", 12, &m), -EPROTO);
}

/* ---- servers ----------------------------------------------------------- */

struct server {
	char dir[32];
	char path[64];
	pid_t pid;
};

static int count_fds(struct msghdr *msg)
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_type == SCM_RIGHTS)
			n += (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	return n;
}

static void answer_with_fds(int fd, const char *id)
{
	char some[4096] = "", reply[64];
	int fds = 0, n;

	while (!memchr(some, '\n', sizeof(some))) {
		char control[256];
		struct iovec iov = {some, sizeof(some)};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};

		if (recvmsg(fd, &msg, 0) <= 0)
			return;
		fds += count_fds(&msg);
	}
	n = snprintf(reply, sizeof(reply), "{\"return\": %d, \"id\": %s}\n",
		     fds, id);
	(void)!send(fd, reply, (size_t)n, MSG_NOSIGNAL);
}

/*
 * A process that takes one client and plays @script: "> text" is sent as it
 * is, "<" waits for a line from the client, "count N" does and answers command
 * N with the number of descriptors that came beside it, "close" ends, "hang"
 * keeps the connection open without a word. NULL ends the script like "close".
 */
static void play(int fd, const char *const *script)
{
	char line[65536];

	for (; *script; script++) {
		if (strncmp(*script, "> ", 2) == 0) {
			(void)!send(fd, *script + 2, strlen(*script) - 2,
				    MSG_NOSIGNAL);
		} else if (strcmp(*script, "<") == 0) {
			size_t n = 0;

			while (n < sizeof(line) && read(fd, line + n, 1) == 1 &&
			       line[n] != '\n')
				n++;
		} else if (strncmp(*script, "count ", 6) == 0) {
			answer_with_fds(fd, *script + 6);
		} else if (strcmp(*script, "hang") == 0) {
			/* Until the client goes. */
			(void)!read(fd, line, sizeof(line));
			while (read(fd, line, sizeof(line)) > 0)
				;
		} else {
			return;
		}
	}
}

/* An event that never ends; and events without end. */
static void flood(int fd, const char *text)
{
	while (send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		;
}

static void server_start(struct server *s, const char *const *script,
			 const char *flood_text)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(s->dir, sizeof(s->dir), "/tmp/vmc-qmp-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/q", s->dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", s->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		int c = accept(fd, NULL, NULL);

		play(c, script);
		if (flood_text)
			flood(c, flood_text);
		_exit(0);
	}
	close(fd);
}

static void server_end(struct server *s)
{
	waitpid(s->pid, NULL, 0);
	unlink(s->path);
	rmdir(s->dir);
}

/* Plays a script against qmp_open(). */
static int try_open(const char *const *script, int timeout_ms, char *error)
{
	struct server s;
	struct qmp *q = NULL;
	int r;

	server_start(&s, script, NULL);
	r = qmp_open(&q, s.path, timeout_ms);
	snprintf(error, 512, "%s", qmp_error(q));
	qmp_close(q);
	server_end(&s);
	return r;
}

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_open(void **state)
{
	char error[512];

	(void)state;
	assert_int_equal(try_open(SCRIPT("> " GREETING, "<", "> " OK(1)),
				  LONG_MS, error),
			 0);
	/* Split at every odd place, with events in between. */
	assert_int_equal(
		try_open(SCRIPT("> {\"QMP\"", "> : {}}\r", "> \n", "> " EVENT,
				"<", "> " EVENT EVENT "{",
				"> \"return\": {}, \"id\"", "> : 1}\r\n" EVENT),
			 LONG_MS, error),
		0);
}

static void test_open_fails(void **state)
{
	char error[512];
	struct qmp *q = NULL;

	(void)state;
	assert_int_equal(try_open(SCRIPT("hang"), SHORT_MS, error), -ETIMEDOUT);
	assert_non_null(strstr(error, "another client"));
	assert_int_equal(try_open(SCRIPT("close"), LONG_MS, error),
			 -ECONNRESET);
	assert_int_equal(
		try_open(SCRIPT("> HTTP/1.1 400\r\n", "hang"), LONG_MS, error),
		-EPROTO);
	assert_int_equal(try_open(SCRIPT("> " EVENT, "hang"), LONG_MS, error),
			 -EPROTO);
	/* It greets, and then says nothing. */
	assert_int_equal(
		try_open(SCRIPT("> " GREETING, "hang"), SHORT_MS, error),
		-ETIMEDOUT);
	assert_int_equal(qmp_open(&q, "/nonexistent/qmp", SHORT_MS), -ENOENT);
	qmp_close(q);
	q = NULL;
	assert_int_equal(qmp_open(&q,
				  "/a/path/that/is/longer/than/any/socket/may/"
				  "be/a/path/that/is/longer/than/any/socket/"
				  "may/be/a/path/that/is/longer",
				  SHORT_MS),
			 -ENAMETOOLONG);
	qmp_close(q);
}

/*
 * The time-out is that of the start, too: a machine that is too busy for it
 * gets more.
 */
static void open_in_time(struct server *s, struct qmp **ret,
			 const char *const *script, const char *flood_text,
			 int timeout_ms)
{
	int r;

	for (;; timeout_ms *= 2) {
		server_start(s, script, flood_text);
		r = qmp_open(ret, s->path, timeout_ms);
		if (r != -ETIMEDOUT || timeout_ms > LONG_MS)
			break;
		qmp_close(*ret);
		server_end(s);
	}
	assert_int_equal(r, 0);
}

/* One command after a good start. */
static int try_command(const char *const *script, const char *flood_text,
		       int timeout_ms, char *error, json_t **ret)
{
	struct server s;
	struct qmp *q = NULL;
	int r, again;

	open_in_time(&s, &q, script, flood_text, timeout_ms);
	r = qmp_command(q, "query-x", json_pack("{s:i}", "a", 1), ret);
	snprintf(error, 512, "%s", qmp_error(q));
	if (r && r != -EREMOTEIO) {
		/* Out of step: nothing more goes over it. */
		again = qmp_command(q, "query-x", json_object(), NULL);
		assert_int_equal(again, -ECONNRESET);
	}
	qmp_close(q);
	server_end(&s);
	return r;
}

#define START "> " GREETING, "<", "> " OK(1), "<"

static void test_command(void **state)
{
	char error[512];
	json_t *ret = NULL;

	(void)state;
	assert_int_equal(try_command(SCRIPT(START, "> " EVENT,
					    "> {\"return\": [5], \"id\": 2}\n"),
				     NULL, LONG_MS, error, &ret),
			 0);
	assert_int_equal(json_integer_value(json_array_get(ret, 0)), 5);
	json_decref(ret);
	assert_int_equal(try_command(SCRIPT(START, "> {\"error\": {\"class\": "
						   "\"GenericError\", "
						   "\"desc\": \"no\\nway\"}, "
						   "\"id\": 2}\n"),
				     NULL, LONG_MS, error, NULL),
			 -EREMOTEIO);
	/* One line, whatever it says. */
	assert_string_equal(error, "no way");
	/* QEMU could not even read the id. */
	assert_int_equal(
		try_command(SCRIPT(START, "> {\"error\": {\"class\": \"C\", "
					  "\"desc\": \"d\"}}\n"),
			    NULL, LONG_MS, error, NULL),
		-EREMOTEIO);
}

static void test_command_fails(void **state)
{
	char error[512];

	(void)state;
	assert_int_equal(try_command(SCRIPT(START, "> " OK(3)), NULL, LONG_MS,
				     error, NULL),
			 -EPROTO);
	assert_int_equal(try_command(SCRIPT(START, "> {\"return\": {}}\n"),
				     NULL, LONG_MS, error, NULL),
			 -EPROTO);
	assert_int_equal(try_command(SCRIPT(START, "> " GREETING), NULL,
				     LONG_MS, error, NULL),
			 -EPROTO);
	assert_int_equal(try_command(SCRIPT(START, "> {}\n"), NULL, LONG_MS,
				     error, NULL),
			 -EPROTO);
	assert_int_equal(
		try_command(SCRIPT(START, "close"), NULL, LONG_MS, error, NULL),
		-ECONNRESET);
	assert_int_equal(
		try_command(SCRIPT(START, "hang"), NULL, SHORT_MS, error, NULL),
		-ETIMEDOUT);
}

static void test_floods(void **state)
{
	char error[512];

	(void)state;
	/* A line without end. */
	assert_int_equal(try_command(SCRIPT(START), "{\"event\": \"aaaaaaaaaa",
				     LONG_MS, error, NULL),
			 -EPROTO);
	assert_non_null(strstr(error, "line"));
	/* Events without end do not hide the deadline. */
	assert_int_equal(
		try_command(SCRIPT(START), EVENT, SHORT_MS, error, NULL),
		-ETIMEDOUT);
}

/* A line of exactly the limit and of one byte more. */
static void test_line_limit(void **state)
{
	static char line[QMP_LINE_MAX + 64];
	const char *const script[] = {START, line, NULL};
	char error[512];

	(void)state;
	for (int over = 0; over < 2; over++) {
		size_t len = QMP_LINE_MAX + (size_t)over;

		memset(line, ' ', sizeof(line));
		memcpy(line, "> {\"return\": {}, \"id\": 2", 24);
		line[2 + len - 1] = '}';
		line[2 + len] = '\n';
		line[2 + len + 1] = '\0';
		assert_int_equal(
			try_command(script, NULL, LONG_MS, error, NULL),
			over ? -EPROTO : 0);
	}
}

#define DELETED(id)                                                    \
	"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"" id \
	"\", \"path\": \"/x\"}}\n"

static void test_deleted(void **state)
{
	struct server s;
	struct qmp *q = NULL;

	(void)state;
	/* Before the answer, after it, and of others only. */
	server_start(&s,
		     SCRIPT(START, "> " DELETED("p") OK(2), "<",
			    "> " OK(3) DELETED("o"), "> " DELETED("p"), "<",
			    "> " OK(4) DELETED("o"), "<", "> " OK(5)),
		     NULL);
	assert_int_equal(qmp_open(&q, s.path, LONG_MS), 0);
	qmp_watch_deleted(q, "p");
	assert_int_equal(qmp_command(q, "device_del", NULL, NULL), 0);
	assert_int_equal(qmp_wait_deleted(q, LONG_MS), 0);
	qmp_watch_deleted(q, "p");
	assert_int_equal(qmp_command(q, "device_del", NULL, NULL), 0);
	assert_int_equal(qmp_wait_deleted(q, LONG_MS), 0);
	qmp_watch_deleted(q, "p");
	assert_int_equal(qmp_command(q, "device_del", NULL, NULL), 0);
	assert_int_equal(qmp_wait_deleted(q, SHORT_MS), -ETIMEDOUT);
	/* Nothing came of it, but the connection is good. */
	assert_int_equal(qmp_command(q, "x", NULL, NULL), 0);
	assert_int_equal(qmp_wait_deleted(q, LONG_MS), -ECONNRESET);
	qmp_close(q);
	server_end(&s);
}

static int fds_of(struct qmp *q, size_t text_len, int fd)
{
	char *text = calloc(1, text_len + 1);
	json_t *ret = NULL;
	int n;

	assert_non_null(text);
	memset(text, 'x', text_len);
	assert_int_equal(qmp_command_fd(q, "getfd",
					json_pack("{s:s}", "fdname", text), fd,
					&ret),
			 0);
	n = (int)json_integer_value(ret);
	json_decref(ret);
	free(text);
	return n;
}

/* Beside the first bytes, however many pieces the line is sent in. */
static void test_fd_is_sent_once(void **state)
{
	struct server s;
	struct qmp *q = NULL;

	(void)state;
	server_start(&s,
		     SCRIPT("> " GREETING, "<", "> " OK(1), "count 2",
			    "count 3", "count 4"),
		     NULL);
	assert_int_equal(qmp_open(&q, s.path, LONG_MS), 0);
	assert_int_equal(fds_of(q, 4, STDIN_FILENO), 1);
	/* More than a socket takes at once. */
	assert_int_equal(fds_of(q, 1u << 20, STDIN_FILENO), 1);
	assert_int_equal(fds_of(q, 4, -1), 0);
	qmp_close(q);
	server_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_rejects),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_command_fails),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_fd_is_sent_once),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
