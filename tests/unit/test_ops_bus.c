/* SPDX-License-Identifier: MIT */
/*
 * Power and Session by D-Bus, against a logind that is this test's own: on a
 * bus of its own, and of bad manners.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/log.h"
#include "guest/ops_bus.h"
#include "guest/ops_internal.h"
#include "guest/ops_table.h"
#include "guest/power.h"
#include "guest/session.h"

#define LOGIND    "org.freedesktop.login1"
#define PATH      "/org/freedesktop/login1"
#define MANAGER   LOGIND ".Manager"
#define SESSION_1 PATH "/session/_31"
#define SESSION_2 PATH "/session/_32"
/* Far more than it takes; when it is over the test has failed. */
#define PATIENCE_MS 60000
/* Of a call that is not going to be answered. */
#define SHORT_MS 300u

/* ---- logind -------------------------------------------------------------- */

static struct peer {
	const char *mode;
	sd_bus *bus;
	int inhibitor; /* our end of it */
} peer = {.inhibitor = -1};

static bool mode(const char *name)
{
	return strcmp(peer.mode, name) == 0;
}

static void emit(sd_bus *bus, const char *to, const char *member,
		 const char *types, ...)
{
	sd_bus_message *m = NULL;
	va_list args;

	sd_bus_message_new_signal(bus, &m, PATH, MANAGER, member);
	va_start(args, types);
	sd_bus_message_appendv(m, types, args);
	va_end(args);
	if (to)
		sd_bus_message_set_destination(m, to);
	sd_bus_send(bus, m, NULL);
	sd_bus_message_unref(m);
}

static int answer_sessions(sd_bus_message *call)
{
	if (mode("wrong"))
		return sd_bus_reply_method_return(call, "s", "none");
	return sd_bus_reply_method_return(call, "a(susso)", 2, "1", 1000u,
					  "alice", "seat0", SESSION_1, "2",
					  1001u, "bob", "", SESSION_2);
}

/* A name of so many bytes, whose last fitting character is cut in two. */
static const char *long_name(void)
{
	static char name[5000];

	memset(name, 'n', sizeof(name) - 1);
	memcpy(name + 254, "\xc3\xa9", 2);
	return name;
}

static int answer_properties(sd_bus_message *call)
{
	const char *id = strcmp(sd_bus_message_get_path(call), SESSION_1) == 0
				 ? "1"
				 : "2";

	if (mode("types"))
		return sd_bus_reply_method_return(
			call, "a{sv}", 7, "Id", "s", id, "Name", "u", 7u,
			"Leader", "s", "one", "User", "s", "alice", "Remote",
			"as", 2, "yes", "no", "Type", "s", "telepathy", "State",
			"(ss)", "a", "b");
	return sd_bus_reply_method_return(
		call, "a{sv}", 8, "Id", "s", id, "Name", "s",
		mode("long") ? long_name() : "alice", "User", "(uo)", 1000u,
		PATH "/user/_1000", "Type", "s", "wayland", "State", "s",
		"active", "Active", "b", 1, "Class", "s", "user", "Timestamp",
		"t", UINT64_MAX);
}

static int answer_inhibitors(sd_bus_message *call)
{
	sd_bus_message *m = NULL;
	int n = mode("long") ? 1000 : mode("block") ? 1 : 0;

	sd_bus_message_new_method_return(call, &m);
	sd_bus_message_open_container(m, 'a', "(ssssuu)");
	for (int i = 0; i < n; i++)
		sd_bus_message_append(m, "(ssssuu)", "sleep:shutdown",
				      mode("long") ? long_name() : "tester",
				      "why", "block", 0u, 1u);
	sd_bus_message_close_container(m);
	sd_bus_send(NULL, m, NULL);
	sd_bus_message_unref(m);
	return 1;
}

/* It goes down before it answers, as logind may. */
static int answer_off(sd_bus_message *call)
{
	if (mode("refuses"))
		return sd_bus_reply_method_errorf(
			call, LOGIND ".OperationInProgress", "%s", long_name());
	emit(peer.bus, NULL, "PrepareForShutdown", "b", 1);
	return sd_bus_reply_method_return(call, "");
}

static int answer_inhibit(sd_bus_message *call)
{
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	if (peer.inhibitor >= 0)
		close(peer.inhibitor);
	peer.inhibitor = sv[0];
	r = sd_bus_reply_method_return(call, "h", sv[1]);
	close(sv[1]);
	return r;
}

/* Somebody else on the bus says to us what only logind may. */
static void forge(const char *to)
{
	sd_bus *other = NULL;
	sd_bus_message *m = NULL;

	sd_bus_open_system(&other);
	emit(other, to, "SessionRemoved", "so", "1", SESSION_1);
	emit(other, NULL, "SessionRemoved", "so", "1", SESSION_1);
	/* The bus has seen it when it answers. */
	sd_bus_call_method(other, "org.freedesktop.DBus",
			   "/org/freedesktop/DBus", "org.freedesktop.DBus",
			   "GetId", NULL, &m, "");
	sd_bus_message_unref(m);
	sd_bus_flush_close_unref(other);
}

static int answer_lock(sd_bus_message *call)
{
	if (mode("silent"))
		return 1;
	if (mode("dies"))
		_exit(0);
	if (mode("forged")) {
		forge(sd_bus_message_get_sender(call));
		emit(peer.bus, NULL, "SessionRemoved", "su", "1", 1u);
		emit(peer.bus, NULL, "SessionRemoved", "so", "9", SESSION_1);
		emit(peer.bus, NULL, "SessionRemoved", "so", "2", SESSION_2);
		return sd_bus_reply_method_return(call, "");
	}
	return sd_bus_reply_method_errorf(call, LOGIND ".NoSuchSession",
					  "No session");
}

static const struct {
	const char *member;
	int (*answer)(sd_bus_message *call);
} answers[] = {
	{"ListSessions", answer_sessions},
	{"ListInhibitors", answer_inhibitors},
	{"GetAll", answer_properties},
	{"PowerOffWithFlags", answer_off},
	{"Inhibit", answer_inhibit},
	{"LockSession", answer_lock},
};

static int on_call(sd_bus_message *m, void *data, sd_bus_error *err)
{
	(void)data;
	(void)err;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (sd_bus_message_is_method_call(m, NULL, answers[i].member))
			return answers[i].answer(m) < 0 ? -EIO : 1;
	return 0; /* sd-bus says that there is none */
}

/* Was the inhibitor let go? It says so by calling the shutdown off. */
static void look_at_inhibitor(void)
{
	char c;

	if (peer.inhibitor < 0 ||
	    recv(peer.inhibitor, &c, 1, MSG_DONTWAIT) != 0)
		return;
	close(peer.inhibitor);
	peer.inhibitor = -1;
	emit(peer.bus, NULL, "PrepareForShutdown", "b", 0);
}

__attribute__((noreturn)) static void logind(const char *how, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	peer.mode = how;
	if (sd_bus_open_system(&peer.bus) < 0 ||
	    sd_bus_add_filter(peer.bus, NULL, on_call, NULL) < 0 ||
	    sd_bus_request_name(peer.bus, LOGIND, 0) < 0 ||
	    write(ready, "", 1) != 1)
		_exit(1);
	for (;;) {
		int r = sd_bus_process(peer.bus, NULL);

		look_at_inhibitor();
		if (r < 0 || (r == 0 && sd_bus_wait(peer.bus, 20000) < 0))
			_exit(0);
	}
}

/* ---- the world ----------------------------------------------------------- */

static struct world {
	struct ops o;
	char dir[64];
	pid_t daemon, logind;
	uv_timer_t timer;
	bool late;
} * w;

static void on_late(uv_timer_t *h)
{
	(void)h;
	w->late = true;
}

static void turn(void)
{
	uv_run(&w->o.loop, UV_RUN_ONCE);
	if (w->late)
		fail_msg("it did not happen in %d ms", PATIENCE_MS);
}

/* Waits until the process wrote a byte. */
static void await(int fds[2])
{
	char c;

	close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
}

static void start_daemon(void)
{
	char conf[128], arg[160], print[32];
	int fds[2];
	FILE *f;

	snprintf(conf, sizeof(conf), "%s/bus.conf", w->dir);
	f = fopen(conf, "w");
	assert_non_null(f);
	fprintf(f,
		"<busconfig><type>system</type>"
		"<listen>unix:path=%s/bus</listen><policy context='default'>"
		"<allow send_destination='*'/><allow receive_sender='*'/>"
		"<allow own='*'/><allow user='*'/>"
		"</policy></busconfig>",
		w->dir);
	fclose(f);
	snprintf(arg, sizeof(arg), "--config-file=%s", conf);
	assert_int_equal(pipe(fds), 0);
	snprintf(print, sizeof(print), "--print-pid=%d", fds[1]);
	w->daemon = fork();
	if (w->daemon == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile",
		       arg, print, (char *)NULL);
		_exit(127);
	}
	await(fds);
}

static void start_logind(const char *how)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	w->logind = fork();
	if (w->logind == 0)
		logind(how, fds[1]);
	await(fds);
}

static void end(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static int set_up(void **state)
{
	char address[96];

	(void)state;
	w = calloc(1, sizeof(*w));
	snprintf(w->dir, sizeof(w->dir), "/tmp/test-ops-bus-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(address, sizeof(address), "unix:path=%s/bus", w->dir);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	log_init("test");
	uv_loop_init(&w->o.loop);
	LIST_INIT(&w->o.conns);
	LIST_INIT(&w->o.watched);
	assert_int_equal(ops_events_new(&w->o.events, NULL), 0);
	assert_int_equal(ops_requests_new(&w->o.requests, NULL, NULL), 0);
	assert_int_equal(policy_new(&w->o.policy, VMC_PRINCIPAL_GUEST), 0);
	assert_int_equal(policy_seal(w->o.policy), 0);
	uv_timer_init(&w->o.loop, &w->timer);
	uv_timer_start(&w->timer, on_late, PATIENCE_MS, 0);
	start_daemon();
	return 0;
}

static int tear_down(void **state)
{
	struct op_conn *c;
	char cmd[128];

	(void)state;
	session_logind->stop(&w->o);
	power_stop(&w->o);
	while ((c = LIST_FIRST(&w->o.conns)) != NULL)
		ops_conn_close(c);
	ops_bus_stop(&w->o);
	uv_close((uv_handle_t *)&w->timer, NULL);
	uv_run(&w->o.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->o.loop), 0);
	ops_bus_free(&w->o);
	ops_events_free(w->o.events);
	ops_requests_free(w->o.requests);
	policy_free(w->o.policy);
	end(&w->logind);
	end(&w->daemon);
	snprintf(cmd, sizeof(cmd), "rm -r %s", w->dir);
	assert_int_equal(system(cmd), 0);
	free(w);
	return 0;
}

/* As it is in a guest: logind is there, or started when it is called. */
static void begin(const char *how)
{
	start_logind(how);
	assert_int_equal(power_start(&w->o, power_logind), 0);
}

/* ---- calls --------------------------------------------------------------- */

static void list(struct op_call *call, json_t *p)
{
	(void)p;
	session_logind->list(call);
}

static void lock(struct op_call *call, json_t *p)
{
	session_logind->act(call, SESSION_LOCK,
			    json_string_value(json_object_get(p, "id")));
}

static const struct op_row session_rows[] = {
	{.method = "ListSessions", .run = list},
	{.method = "LockSession", .run = lock, .deadline_ms = SHORT_MS},
};

static const struct op_interface session_iface = {
	.name = SESSION,
	.rows = session_rows,
	.n_rows = sizeof(session_rows) / sizeof(session_rows[0]),
};

static int open_stream(const struct op_interface *iface)
{
	const struct vmc_caller host = {.side = VMC_PRINCIPAL_HOST};
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(ops_conn_new(&w->o, iface, sv[0], &host), 0);
	return sv[1];
}

static void send_call(int fd, const char *method, json_t *p, bool more)
{
	json_t *m = json_pack("{s:s,s:o,s:b}", "method", method, "parameters",
			      p ? p : json_object(), "more", more);
	char *text = json_dumps(m, JSON_COMPACT);
	size_t len = strlen(text) + 1;

	assert_int_equal(send(fd, text, len, 0), (ssize_t)len);
	free(text);
	json_decref(m);
}

/* The next message on the stream. */
static json_t *receive(int fd)
{
	static char buf[VARLINK_MSG_MAX + 1];
	size_t n = 0;
	json_t *m;

	for (;;) {
		ssize_t got = recv(fd, buf + n, 1, 0);

		assert_true(got == 1 || (got < 0 && errno == EAGAIN));
		if (got < 0)
			turn();
		else if (buf[n++] == '\0')
			break;
		assert_true(n < sizeof(buf));
	}
	m = json_loads(buf, 0, NULL);
	assert_non_null(m);
	return m;
}

static json_t *call(const struct op_interface *iface, const char *method,
		    json_t *p)
{
	int fd = open_stream(iface);
	json_t *m;

	send_call(fd, method, p, false);
	m = receive(fd);
	close(fd);
	return m;
}

static const char *error_of(const json_t *m)
{
	const char *error = json_string_value(json_object_get(m, "error"));

	return error ? error : "";
}

static const char *text_of(const json_t *m, const char *key)
{
	return json_string_value(
		json_object_get(json_object_get(m, "parameters"), key));
}

static int subscribe(void)
{
	int fd = open_stream(&op_agent);

	send_call(fd, "org.vmchannel.Agent.Subscribe", NULL, true);
	json_decref(receive(fd));
	return fd;
}

/* The next event: {type, parameters}. */
static json_t *next_event(int fd)
{
	json_t *m = receive(fd);
	json_t *e = json_incref(
		json_object_get(json_object_get(m, "parameters"), "event"));

	json_decref(m);
	return e;
}

static void is_event(int fd, const char *type, const char *key,
		     const char *value)
{
	json_t *e = next_event(fd);

	assert_string_equal(json_string_value(json_object_get(e, "type")),
			    type);
	assert_string_equal(text_of(e, key), value);
	json_decref(e);
}

static json_t *list_sessions(void)
{
	return call(&session_iface, SESSION ".ListSessions", NULL);
}

static void refused(const char *how, const char *error)
{
	json_t *m;

	begin(how);
	m = call(&session_iface, SESSION ".LockSession",
		 json_pack("{s:s}", "id", "1"));
	assert_string_equal(error_of(m), error);
	json_decref(m);
}

/* ---- tests --------------------------------------------------------------- */

static void test_sessions(void **state)
{
	json_t *m, *s;

	(void)state;
	begin("good");
	m = list_sessions();
	s = json_object_get(json_object_get(m, "parameters"), "sessions");
	assert_int_equal(json_array_size(s), 2);
	s = json_array_get(s, 0);
	assert_string_equal(json_string_value(json_object_get(s, "user")),
			    "alice");
	assert_true(json_is_false(json_object_get(s, "locked")));
	/* A time that no clock has. */
	assert_null(json_object_get(s, "since_us"));
	json_decref(m);
}

static void test_wrong_types_are_as_if_absent(void **state)
{
	json_t *m, *s;

	(void)state;
	begin("types");
	m = list_sessions();
	s = json_array_get(
		json_object_get(json_object_get(m, "parameters"), "sessions"),
		0);
	assert_non_null(s);
	assert_string_equal(json_string_value(json_object_get(s, "user")), "");
	assert_int_equal(json_integer_value(json_object_get(s, "uid")), 0);
	assert_null(json_object_get(s, "leader"));
	assert_string_equal(json_string_value(json_object_get(s, "type")),
			    "other");
	assert_string_equal(json_string_value(json_object_get(s, "state")),
			    "online");
	json_decref(m);
}

static void test_a_list_that_is_none(void **state)
{
	json_t *m;

	(void)state;
	begin("wrong");
	m = list_sessions();
	assert_string_equal(error_of(m), OP_COMMON "Failed");
	assert_string_equal(text_of(m, "name"), "EBADMSG");
	json_decref(m);
}

static void test_what_is_long_is_cut(void **state)
{
	json_t *m, *v;

	(void)state;
	begin("long");
	m = list_sessions();
	v = json_array_get(
		json_object_get(json_object_get(m, "parameters"), "sessions"),
		0);
	assert_int_equal(json_string_length(json_object_get(v, "user")), 254);
	json_decref(m);
	m = call(&op_power, POWER ".ListInhibitors", NULL);
	v = json_object_get(json_object_get(m, "parameters"), "inhibitors");
	assert_int_equal(json_array_size(v), POWER_INHIBITORS_MAX);
	json_decref(m);
}

static void test_errors(void **state)
{
	(void)state;
	refused("good", SESSION ".NoSuchSession");
}

static void test_no_answer(void **state)
{
	(void)state;
	refused("silent", OP_COMMON "TimedOut");
}

static void test_it_dies(void **state)
{
	json_t *m;

	(void)state;
	refused("dies", OP_COMMON "Failed");
	/* And is not there then. */
	m = call(&session_iface, SESSION ".ListSessions", NULL);
	assert_string_equal(error_of(m), OP_COMMON "NotSupported");
	json_decref(m);
}

static void test_the_bus_ends_and_comes_again(void **state)
{
	json_t *m;

	(void)state;
	begin("good");
	json_decref(list_sessions());
	end(&w->daemon);
	do {
		m = list_sessions();
		assert_string_equal(error_of(m), OP_COMMON "Failed");
		json_decref(m);
	} while (w->o.n_conns > 1);
	end(&w->logind);
	start_daemon();
	start_logind("good");
	m = list_sessions();
	assert_string_equal(error_of(m), "");
	json_decref(m);
}

/* Only what logind says to all is believed, and only if it makes sense. */
static void test_forged_signals(void **state)
{
	int fd;

	(void)state;
	begin("forged");
	assert_int_equal(session_logind->start(&w->o), 0);
	json_decref(list_sessions()); /* now they are known */
	fd = subscribe();
	json_decref(call(&session_iface, SESSION ".LockSession",
			 json_pack("{s:s}", "id", "1")));
	is_event(fd, SESSION ".SessionRemoved", "id", "2");
	close(fd);
}

static json_t *power_off(void)
{
	return call(&op_power, POWER ".PowerOff",
		    json_pack("{s:s}", "reason", "full"));
}

static void test_inhibited(void **state)
{
	json_t *m;

	(void)state;
	begin("block");
	m = power_off();
	assert_string_equal(error_of(m), POWER ".Inhibited");
	assert_string_equal(text_of(m, "who"), "tester");
	json_decref(m);
	/* That one did not begin, so it is not in the way of another. */
	m = power_off();
	assert_string_equal(error_of(m), POWER ".Inhibited");
	json_decref(m);
}

static void test_refused(void **state)
{
	json_t *m;

	(void)state;
	begin("refuses");
	m = power_off();
	assert_string_equal(error_of(m), OP_COMMON "Failed");
	assert_string_equal(text_of(m, "name"), LOGIND ".OperationInProgress");
	json_decref(m);
}

/* The event comes before the reply, says whose it is, and lets the guest go. */
static void test_power_off(void **state)
{
	json_t *m, *e, *p;
	int fd;

	(void)state;
	begin("good");
	fd = subscribe();
	m = power_off();
	e = next_event(fd);
	p = json_object_get(e, "parameters");
	assert_true(json_is_true(json_object_get(p, "start")));
	assert_string_equal(text_of(e, "initiator"), "host");
	assert_string_equal(text_of(e, "type"), "power_off");
	assert_string_equal(text_of(e, "reason"), "full");
	assert_true(json_equal(
		json_object_get(p, "job"),
		json_object_get(json_object_get(m, "parameters"), "job")));
	json_decref(e);
	json_decref(m);
	/* The inhibitor was let go. */
	e = next_event(fd);
	p = json_object_get(e, "parameters");
	assert_true(json_is_false(json_object_get(p, "start")));
	json_decref(e);
	close(fd);
}

/* Until it is killed, so that the bus can be asked who it is. */
static pid_t somebody_powers_off(void)
{
	pid_t pid = fork();
	sd_bus *bus = NULL;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sd_bus_open_system(&bus);
	sd_bus_call_method(bus, LOGIND, PATH, MANAGER, "SetWallMessage", NULL,
			   NULL, "sb", "because", 1);
	sd_bus_call_method(bus, LOGIND, PATH, MANAGER, "PowerOffWithFlags",
			   NULL, NULL, "t", UINT64_C(0));
	for (;;)
		pause();
}

/* The signal says nothing of it. */
static void test_whose_it_is(void **state)
{
	json_t *e;
	pid_t pid;
	int fd;

	(void)state;
	begin("good");
	fd = subscribe();
	while (!ops_bus_monitors(&w->o))
		turn();
	pid = somebody_powers_off();
	e = next_event(fd);
	end(&pid);
	assert_string_equal(text_of(e, "type"), "power_off");
	assert_string_equal(text_of(e, "reason"), "because");
	/* Of the guest; of whom depends on how this test was started. */
	assert_string_not_equal(text_of(e, "initiator"), "host");
	json_decref(e);
	close(fd);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_sessions),
		WITH(test_wrong_types_are_as_if_absent),
		WITH(test_a_list_that_is_none),
		WITH(test_what_is_long_is_cut),
		WITH(test_errors),
		WITH(test_no_answer),
		WITH(test_it_dies),
		WITH(test_the_bus_ends_and_comes_again),
		WITH(test_forged_signals),
		WITH(test_inhibited),
		WITH(test_refused),
		WITH(test_power_off),
		WITH(test_whose_it_is),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
