/* SPDX-License-Identifier: MIT */
/*
 * test_ops.c - the frame of the operations process, without a broker
 *
 * Streams are socket pairs; the rows are the test's, under the names of real
 * methods so that the interface files say what is right. Nothing is done to
 * this machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/ops_internal.h"

#define SYSTEM  "org.vmchannel.System."
#define EXEC    "org.vmchannel.Exec."
#define SESSION "org.vmchannel.Session."
#define AGENT   "org.vmchannel.Agent."

#define BLOCKING_MS 50
#define REPLY_MAX   (VARLINK_MSG_MAX + 1)

/* ---- the rows ------------------------------------------------------------ */

static struct {
	unsigned int times_set, cancelled, upgraded;
	struct op_call *set; /* SetTime: not answered yet */
	char rest[16];
	int fd;
} did;

static void blocking(struct op_call *call, json_t *p)
{
	/* A copy of the process: what it does there is lost. */
	did.times_set = 1000;
	assert_null(op_caller(call));
	op_reply(call,
		 json_pack("{s:i,s:i}", "uptime_us", 1, "boot_time_us", 2));
}

static void crashing(struct op_call *call, json_t *p)
{
	_exit(0);
}

static void hanging(struct op_call *call, json_t *p)
{
	for (;;)
		pause();
}

/* Bytes that are no message are no reply either. */
static void babbling(struct op_call *call, json_t *p)
{
	_exit(write(3, "{}x", 4) == 4 ? 0 : 1);
}

static void on_cancel(struct op_call *call, void *data)
{
	did.cancelled++;
	if (did.set == call)
		did.set = NULL;
}

static void set_time(struct op_call *call, json_t *p)
{
	did.times_set++;
	did.set = call;
	op_on_cancel(call, on_cancel, NULL);
}

static void wrong(struct op_call *call, json_t *p)
{
	op_reply(call, json_pack("{s:s}", "total", "much"));
}

static void never_made(struct op_call *call, json_t *p)
{
	op_reply(call, NULL);
}

static void unknown_error(struct op_call *call, json_t *p)
{
	op_error(call, "Surprise", NULL);
}

static const char *lacks(struct ops *o)
{
	return "it has no hands";
}

static void list_users(struct op_call *call, json_t *p)
{
	json_t *list = json_array();
	char name[250];

	memset(name, 'u', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < 500; i++)
		json_array_append_new(list, json_pack("{s:i,s:s,s:s,s:b,s:[]}",
						      "uid", i, "user", name,
						      "state", "online",
						      "linger", 0, "sessions"));
	op_reply_list(call, "users", list);
}

static void run_command(struct op_call *call, json_t *p)
{
	char *rest;
	size_t len;

	did.fd = op_upgrade(call, json_pack("{s:i}", "pid", 7), &rest, &len);
	if (did.fd < 0)
		return;
	did.upgraded++;
	assert_true(len < sizeof(did.rest));
	memcpy(did.rest, rest, len);
	did.rest[len] = '\0';
	free(rest);
}

static const struct op_row sys_rows[] = {
	{.method = "GetUptime", .run = blocking, .flags = OP_BLOCKING},
	{.method = "GetTimezone", .run = crashing, .flags = OP_BLOCKING},
	{.method = "Describe", .run = babbling, .flags = OP_BLOCKING},
	{.method = "GetLoad",
	 .run = hanging,
	 .flags = OP_BLOCKING,
	 .deadline_ms = BLOCKING_MS},
	{.method = "SetTime", .run = set_time, .deadline_ms = 3600000},
	{.method = "GetMemory", .run = wrong},
	{.method = "GetCpuStats", .run = unknown_error},
	{.method = "GetTime", .run = never_made},
};

static const struct op_row session_rows[] = {
	{.method = "ListUsers", .run = list_users},
	{.method = "LockSessions", .run = wrong, .missing = lacks},
};

static const struct op_row exec_rows[] = {
	{.method = "Run", .run = run_command},
};

static const struct op_row agent_rows[] = {
	{.method = "Subscribe", .run = ops_subscribe},
};

#define INTERFACE(id, interface)                                    \
	static const struct op_interface id = {                     \
		.name = (interface),                                \
		.rows = id##_rows,                                  \
		.n_rows = sizeof(id##_rows) / sizeof(id##_rows[0]), \
	}

INTERFACE(sys, "org.vmchannel.System");
INTERFACE(session, "org.vmchannel.Session");
INTERFACE(exec, "org.vmchannel.Exec");
INTERFACE(agent, "org.vmchannel.Agent");

/* ---- a world ------------------------------------------------------------- */

static struct ops ops;
static char dir[] = "/tmp/vmc-ops.XXXXXX";
static char events_path[64], requests_path[64];

/* Of ops_main.c. */
void ops_resume(struct ops *o)
{
	(void)o;
}

uv_loop_t *ops_loop(struct ops *o)
{
	return &o->loop;
}

static void on_child(uv_signal_t *h, int number)
{
	ops_children_reap(h->data);
}

static int setup(void **state)
{
	static const char rules[] = "call * host allow\n";
	char err[128];

	memset(&did, 0, sizeof(did));
	memset(&ops, 0, sizeof(ops));
	LIST_INIT(&ops.conns);
	LIST_INIT(&ops.watched);
	uv_loop_init(&ops.loop);
	uv_signal_init(&ops.loop, &ops.signals[0]);
	ops.signals[0].data = &ops;
	uv_signal_start(&ops.signals[0], on_child, SIGCHLD);
	assert_int_equal(policy_new(&ops.policy, VMC_PRINCIPAL_GUEST), 0);
	assert_int_equal(policy_add_text(ops.policy, "p", rules,
					 sizeof(rules) - 1, NULL, err,
					 sizeof(err)),
			 0);
	assert_int_equal(policy_seal(ops.policy), 0);
	unlink(events_path);
	assert_int_equal(ops_events_new(&ops.events, events_path), 0);
	assert_int_equal(ops_requests_new(&ops.requests, NULL, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	struct op_conn *c, *next;

	for (c = LIST_FIRST(&ops.conns); c; c = next) {
		next = LIST_NEXT(c, link);
		ops_conn_close(c);
	}
	/* Children are all reaped, and their pipes closed. */
	while (ops.n_children[OPS_CHILD_BLOCKING] > 0)
		uv_run(&ops.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&ops.signals[0], NULL);
	uv_run(&ops.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&ops.loop), 0);
	assert_int_equal(ops.n_conns, 0);
	assert_int_equal(ops.n_subscribers, 0);
	assert_true(LIST_EMPTY(&ops.watched));
	ops_events_free(ops.events);
	ops_requests_free(ops.requests);
	policy_free(ops.policy);
	return 0;
}

/* Return: the client's end of a new stream. */
static int dial_as(const struct op_interface *i, uid_t uid)
{
	const struct vmc_caller who = {.side = VMC_PRINCIPAL_HOST, .uid = uid};
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv),
			 0);
	assert_int_equal(ops_conn_new(&ops, i, sv[1], &who), 0);
	return sv[0];
}

static int dial(const struct op_interface *i)
{
	return dial_as(i, 0);
}

static void say(int fd, const char *text)
{
	size_t len = strlen(text) + 1;

	assert_int_equal(send(fd, text, len, 0), len);
}

/* The next message, or "" at the end of the stream. The test's own timeout is
 * that of the whole program. */
static const char *hear(int fd)
{
	static char text[REPLY_MAX];
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(fd, text + len, 1, MSG_DONTWAIT);

		if (n == 0)
			return "";
		if (n < 0) {
			uv_run(&ops.loop, UV_RUN_NOWAIT);
			usleep(100);
			continue;
		}
		if (text[len++] == '\0')
			return text;
		assert_true(len < sizeof(text));
	}
}

static json_t *hear_json(int fd)
{
	json_t *v = json_loads(hear(fd), 0, NULL);

	assert_non_null(v);
	return v;
}

static void call_text(char *buf, size_t size, const char *method,
		      const char *parameters)
{
	snprintf(buf, size, "{\"method\":\"%s\",\"parameters\":%s}", method,
		 parameters);
}

static void expect(const struct op_interface *i, const char *method,
		   const char *parameters, const char *reply)
{
	char text[512];
	int fd = dial(i);

	call_text(text, sizeof(text), method, parameters);
	say(fd, text);
	assert_string_equal(hear(fd), reply);
	close(fd);
}

/* ---- calls --------------------------------------------------------------- */

static void blocking_calls_are_done_elsewhere(void **state)
{
	expect(&sys, SYSTEM "GetUptime", "{}",
	       "{\"parameters\":{\"uptime_us\":1,\"boot_time_us\":2}}");
	assert_int_equal(did.times_set, 0);
}

#define FAILED(method, name, detail)                           \
	"{\"error\":\"org.vmchannel.Failed\",\"parameters\":{" \
	"\"operation\":\"" SYSTEM method "\",\"name\":\"" name \
	"\",\"detail\":\"" detail "\"}}"

static void children_that_say_nothing(void **state)
{
	expect(&sys, SYSTEM "GetTimezone", "{}",
	       FAILED("GetTimezone", "ECHILD",
		      "the process that does it has ended"));
	expect(&sys, SYSTEM "Describe", "{}",
	       FAILED("Describe", "ECHILD",
		      "the process that does it has ended"));
}

static void a_hanging_call_delays_nobody(void **state)
{
	char text[256];
	int hung = dial(&sys);

	call_text(text, sizeof(text), SYSTEM "GetLoad", "{}");
	say(hung, text);
	expect(&sys, SYSTEM "GetUptime", "{}",
	       "{\"parameters\":{\"uptime_us\":1,\"boot_time_us\":2}}");
	assert_string_equal(
		hear(hung),
		"{\"error\":\"org.vmchannel.TimedOut\",\"parameters\":{"
		"\"operation\":\"" SYSTEM "GetLoad\",\"after_ms\":50}}");
	/* teardown() waits until the process has gone */
	close(hung);
}

static void too_many_blocking_calls(void **state)
{
	char text[256];
	int fds[OPS_BLOCKING_MAX];

	call_text(text, sizeof(text), SYSTEM "GetLoad", "{}");
	ops.n_children[OPS_CHILD_BLOCKING] = OPS_BLOCKING_MAX - 2;
	for (int i = 0; i < 3; i++) {
		fds[i] = dial(&sys);
		say(fds[i], text);
	}
	/* The stream that came last is looked at whenever the loop likes. */
	for (unsigned int i = 0, refused = 0; i < 3; i++) {
		json_t *v = hear_json(fds[i]);
		const char *error =
			json_string_value(json_object_get(v, "error"));

		refused += !strcmp(error, "org.vmchannel.LimitReached");
		assert_true(i < 2 || refused == 1);
		json_decref(v);
		close(fds[i]);
	}
	ops.n_children[OPS_CHILD_BLOCKING] -= OPS_BLOCKING_MAX - 2;
}

static void wrong_replies_do_not_leave(void **state)
{
	expect(&sys, SYSTEM "GetMemory", "{}",
	       FAILED("GetMemory", "", "the answer could not be made"));
	expect(&sys, SYSTEM "GetCpuStats", "{}",
	       FAILED("GetCpuStats", "", "the answer could not be made"));
	expect(&sys, SYSTEM "GetTime", "{}",
	       FAILED("GetTime", "", "the answer could not be made"));
}

static void what_a_guest_lacks_is_told(void **state)
{
	expect(&session, SESSION "LockSessions", "{}",
	       "{\"error\":\"org.vmchannel.NotSupported\",\"parameters\":{"
	       "\"operation\":\"" SESSION "LockSessions\","
	       "\"detail\":\"it has no hands\"}}");
}

#define RUN_A                                                            \
	"{\"method\":\"" EXEC "Run\",\"parameters\":{\"argv\":[\"a\"]}," \
	"\"upgrade\":true}"

static void policy_is_asked(void **state)
{
	int fd = dial(&exec);

	policy_free(ops.policy);
	assert_int_equal(policy_new(&ops.policy, VMC_PRINCIPAL_GUEST), 0);
	assert_int_equal(policy_seal(ops.policy), 0);
	say(fd, RUN_A);
	assert_string_equal(
		hear(fd),
		"{\"error\":\"org.vmchannel.PolicyDenied\",\"parameters\":{"
		"\"operation\":\"" EXEC "Run\",\"class\":\"full\",\"rule\":"
		"\"built-in:10\"}}");
	assert_int_equal(did.upgraded, 0);
	close(fd);
}

static void long_lists_come_in_parts(void **state)
{
	char text[256];
	int fd = dial(&session);
	size_t n = 0, parts = 0;
	bool more = true;

	call_text(text, sizeof(text), SESSION "ListUsers", "{}");
	say(fd, text);
	assert_non_null(strstr(hear(fd), "org.vmchannel.TooLarge"));
	say(fd, "{\"method\":\"" SESSION "ListUsers\",\"more\":true}");
	while (more) {
		json_t *v = hear_json(fd);
		json_t *users = json_object_get(
			json_object_get(v, "parameters"), "users");

		assert_int_equal(json_integer_value(json_object_get(
					 json_array_get(users, 0), "uid")),
				 n);
		n += json_array_size(users);
		parts++;
		more = json_is_true(json_object_get(v, "continues"));
		json_decref(v);
	}
	assert_int_equal(n, 500);
	assert_true(parts >= 3);
	close(fd);
}

static void closing_cancels(void **state)
{
	char text[256];
	int fd = dial(&sys);

	call_text(text, sizeof(text), SYSTEM "SetTime", "{}");
	say(fd, text);
	while (!did.set)
		uv_run(&ops.loop, UV_RUN_ONCE);
	/* Half of it is not the whole. */
	shutdown(fd, SHUT_WR);
	uv_run(&ops.loop, UV_RUN_NOWAIT);
	assert_int_equal(did.cancelled, 0);
	close(fd);
	while (did.cancelled == 0)
		uv_run(&ops.loop, UV_RUN_ONCE);
	assert_null(did.set);
}

static void half_closed_streams_get_their_reply(void **state)
{
	char text[256];
	int fd = dial(&sys);

	call_text(text, sizeof(text), SYSTEM "SetTime", "{}");
	say(fd, text);
	shutdown(fd, SHUT_WR);
	while (!did.set)
		uv_run(&ops.loop, UV_RUN_ONCE);
	op_reply(did.set, json_pack("{s:i}", "set_us", 4));
	assert_string_equal(hear(fd), "{\"parameters\":{\"set_us\":4}}");
	assert_string_equal(hear(fd), "");
	close(fd);
}

static void upgrade_gives_the_stream_away(void **state)
{
	static const char call[] = RUN_A "\0early";
	int fd = dial(&exec);
	char buf[8];

	assert_int_equal(send(fd, call, sizeof(call) - 1, 0), sizeof(call) - 1);
	assert_string_equal(hear(fd), "{\"parameters\":{\"pid\":7}}");
	assert_int_equal(did.upgraded, 1);
	assert_string_equal(did.rest, "early");
	assert_int_equal(send(did.fd, "raw", 3, 0), 3);
	assert_int_equal(recv(fd, buf, 3, 0), 3);
	close(did.fd);
	assert_int_equal(recv(fd, buf, 3, 0), 0);
	close(fd);
	/* And not without being asked to. */
	expect(&exec, EXEC "Run", "{\"argv\":[\"a\"]}",
	       "{\"error\":\"org.vmchannel.NeedsUpgrade\",\"parameters\":{"
	       "\"operation\":\"" EXEC "Run\"}}");
}

static void an_idle_stream_holds_nothing(void **state)
{
	int fd = dial(&sys);

	/* A message that never ends, of more than a message may have. */
	for (int i = 0; i < 70; i++) {
		char junk[1024];

		memset(junk, ' ', sizeof(junk));
		if (send(fd, junk, sizeof(junk), MSG_NOSIGNAL) < 0)
			break;
		uv_run(&ops.loop, UV_RUN_NOWAIT);
	}
	assert_string_equal(hear(fd), "");
	close(fd);
}

/* ---- at most once -------------------------------------------------------- */

#define SET_ONCE "{\"realtime_us\":1,\"request\":\"r-1\"}"

static void a_request_is_done_once(void **state)
{
	char text[256];
	int fd = dial(&sys);

	call_text(text, sizeof(text), SYSTEM "SetTime", SET_ONCE);
	say(fd, text);
	while (!did.set)
		uv_run(&ops.loop, UV_RUN_ONCE);
	/* Who asked goes away: it is done all the same. */
	close(fd);
	expect(&sys, SYSTEM "SetTime", SET_ONCE,
	       "{\"error\":\"org.vmchannel.RequestRunning\",\"parameters\":{"
	       "\"request\":\"r-1\"}}");
	assert_int_equal(did.cancelled, 0);
	op_reply(did.set, json_pack("{s:i}", "set_us", 4));
	for (int i = 0; i < 2; i++)
		expect(&sys, SYSTEM "SetTime", SET_ONCE,
		       "{\"parameters\":{\"set_us\":4}}");
	/* The same id for something else, or by somebody else. */
	expect(&sys, SYSTEM "SetTime",
	       "{\"realtime_us\":2,\"request\":\"r-1\"}",
	       "{\"error\":\"org.varlink.service.InvalidParameter\","
	       "\"parameters\":{\"parameter\":\"request\"}}");
	fd = dial_as(&sys, 1000);
	say(fd, text);
	assert_non_null(strstr(hear(fd), "InvalidParameter"));
	close(fd);
	assert_int_equal(did.times_set, 1);
}

static enum ops_request_state begin_as(const char *id, const char **ret_text,
				       size_t *ret_len)
{
	json_t *p = json_object();
	const struct ops_request what = {
		.id = id, .method = "a.B", .parameters = p};
	enum ops_request_state s =
		ops_request_begin(ops.requests, &what, ret_text, ret_len);

	json_decref(p);
	return s;
}

static enum ops_request_state begin(const char *id)
{
	const char *text;
	size_t len;

	return begin_as(id, &text, &len);
}

static void the_oldest_request_is_forgotten(void **state)
{
	char id[16];

	assert_int_equal(begin("runs"), OPS_REQUEST_NEW);
	for (int i = 0; i < OPS_REQUESTS_MAX; i++) {
		snprintf(id, sizeof(id), "%d", i);
		assert_int_equal(begin(id), OPS_REQUEST_NEW);
		ops_request_end(ops.requests, id, "t", 2);
	}
	/* The first of those that are over made room, not the one that runs. */
	assert_int_equal(begin("runs"), OPS_REQUEST_RUNNING);
	assert_int_equal(begin("1"), OPS_REQUEST_DONE);
	assert_int_equal(begin("0"), OPS_REQUEST_NEW);
	/* What could not be kept may be done again. */
	ops_request_end(ops.requests, "0", NULL, 0);
	assert_int_equal(begin("0"), OPS_REQUEST_NEW);
}

static void reopen_requests(const char *boot)
{
	ops_requests_free(ops.requests);
	assert_int_equal(ops_requests_new(&ops.requests, requests_path, boot),
			 0);
}

/* The next process knows what was answered, and what was only begun. */
static void requests_outlive_the_process(void **state)
{
	const char *text = NULL;
	char id[16];
	size_t len = 0;
	FILE *f;

	(void)state;
	unlink(requests_path);
	reopen_requests("boot");
	assert_int_equal(begin("done"), OPS_REQUEST_NEW);
	ops_request_end(ops.requests, "done", "the reply", 10);
	assert_int_equal(begin("begun"), OPS_REQUEST_NEW);
	assert_int_equal(begin("forgotten"), OPS_REQUEST_NEW);
	ops_request_end(ops.requests, "forgotten", NULL, 0);
	/* A line that was cut off, as by a kill in the middle of it. */
	f = fopen(requests_path, "ae");
	assert_non_null(f);
	assert_true(fputs("{\"id\":\"torn\",\"met\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	for (int i = 0; i < 2; i++) {
		reopen_requests("boot");
		assert_int_equal(begin_as("done", &text, &len),
				 OPS_REQUEST_DONE);
		assert_int_equal(len, 10);
		assert_string_equal(text, "the reply");
		assert_int_equal(begin("begun"), OPS_REQUEST_INTERRUPTED);
	}
	assert_int_equal(begin("forgotten"), OPS_REQUEST_NEW);
	/* More of them than there are lines for. */
	for (int i = 0; i < 3 * OPS_REQUESTS_MAX; i++) {
		snprintf(id, sizeof(id), "%d", i);
		assert_int_equal(begin(id), OPS_REQUEST_NEW);
		ops_request_end(ops.requests, id, "t", 2);
	}
	reopen_requests("boot");
	assert_int_equal(begin(id), OPS_REQUEST_DONE);
	assert_int_equal(begin("0"), OPS_REQUEST_NEW);
	reopen_requests("another");
	assert_int_equal(begin(id), OPS_REQUEST_NEW);
	unlink(requests_path);
}

/* ---- events -------------------------------------------------------------- */

static void emit(int pid)
{
	ops_emit(&ops, AGENT "Started",
		 json_pack("{s:s,s:i}", "version", "1", "pid", pid));
}

static json_int_t seq_of(const json_t *reply)
{
	return json_integer_value(json_object_get(
		json_object_get(json_object_get(reply, "parameters"), "event"),
		"seq"));
}

static json_int_t lost_of(const json_t *reply)
{
	return json_integer_value(
		json_object_get(json_object_get(reply, "parameters"), "lost"));
}

static int subscribe(const char *parameters)
{
	char text[256];
	int fd = dial(&agent);

	snprintf(text, sizeof(text),
		 "{\"method\":\"" AGENT "Subscribe\",\"parameters\":%s,"
		 "\"more\":true}",
		 parameters);
	say(fd, text);
	return fd;
}

static void wrong_events_are_nobodys(void **state)
{
	int fd = subscribe("{}");

	json_decref(hear_json(fd));
	ops_emit(&ops, AGENT "Started", json_pack("{s:s}", "version", "1"));
	ops_emit(&ops, AGENT "Nothing", json_object());
	ops_emit(&ops, AGENT "Started", NULL);
	emit(7);
	assert_non_null(strstr(hear(fd), "\"seq\":1,"));
	close(fd);
}

/* All that came and all that were lost are all that were. */
static void a_slow_subscriber_is_told_what_it_missed(void **state)
{
	int fd = subscribe("{}");
	json_int_t last = 0, lost = 0, got = 0;

	json_decref(hear_json(fd));
	for (int i = 1; i <= 5000; i++)
		emit(i);
	while (last < 5000) {
		json_t *v = hear_json(fd);

		lost += lost_of(v);
		if (seq_of(v) > 0) {
			got++;
			last = seq_of(v);
			assert_int_equal(last, got + lost);
		}
		json_decref(v);
	}
	assert_true(lost > 0);
	assert_int_equal(got + lost, 5000);
	close(fd);
}

static void the_file_goes_on(void **state)
{
	struct stat st;
	json_t *v;
	int fd;

	for (int i = 1; i <= 2500; i++)
		emit(i);
	assert_int_equal(stat(events_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(st.st_size < 2500 * 150);
	ops_events_free(ops.events);
	assert_int_equal(ops_events_new(&ops.events, events_path), 0);
	emit(2501);
	fd = subscribe("{\"after\":{\"boot\":\"x\",\"seq\":9}}");
	v = hear_json(fd);
	assert_int_equal(lost_of(v), 2501 - 1024);
	json_decref(v);
	for (int i = 2501 - 1023; i <= 2501; i++) {
		v = hear_json(fd);
		assert_int_equal(seq_of(v), i);
		json_decref(v);
	}
	close(fd);
}

/* What else may lie there is no event. */
static void foreign_files_are_left_out(void **state)
{
	static const char junk[] =
		"{\"boot\":\"other\",\"seq\":3}\n"
		"[]\nnothing\n{\"seq\":9}\n\n{\"boot\":7}\n{\"bo";
	FILE *f = fopen(events_path, "w");
	int fd;

	assert_non_null(f);
	(void)fputs(junk, f);
	(void)fclose(f);
	ops_events_free(ops.events);
	assert_int_equal(ops_events_new(&ops.events, events_path), 0);
	emit(1);
	fd = subscribe("{\"after\":{\"boot\":\"x\",\"seq\":0}}");
	assert_non_null(strstr(hear(fd), "\"lost\":0"));
	assert_non_null(strstr(hear(fd), "\"seq\":1,"));
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(blocking_calls_are_done_elsewhere),
		TEST(children_that_say_nothing),
		TEST(a_hanging_call_delays_nobody),
		TEST(too_many_blocking_calls),
		TEST(wrong_replies_do_not_leave),
		TEST(what_a_guest_lacks_is_told),
		TEST(policy_is_asked),
		TEST(long_lists_come_in_parts),
		TEST(closing_cancels),
		TEST(half_closed_streams_get_their_reply),
		TEST(upgrade_gives_the_stream_away),
		TEST(an_idle_stream_holds_nothing),
		TEST(a_request_is_done_once),
		TEST(the_oldest_request_is_forgotten),
		TEST(requests_outlive_the_process),
		TEST(wrong_events_are_nobodys),
		TEST(a_slow_subscriber_is_told_what_it_missed),
		TEST(the_file_goes_on),
		TEST(foreign_files_are_left_out),
	};
	int r;

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	snprintf(events_path, sizeof(events_path), "%s/events", dir);
	snprintf(requests_path, sizeof(requests_path), "%s/requests", dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(events_path);
	rmdir(dir);
	return r;
}
