/* SPDX-License-Identifier: MIT */
/* test_client.c - libvmchannel against scripted brokers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

#include "script_broker.h"

#define VM      SCRIPT_VM
#define CHANNEL "org.example.echo"
#define B       "org.vmchannel.Broker."
/* Long enough for any machine; nothing waits for it to pass. */
#define PATIENT 20000
/* Waited for in full, where silence is what the test is about. */
#define SHORT 30

#define REPLY(text)                 \
	{SCRIPT_SEND, text, 0},     \
	{                           \
		SCRIPT_NUL, NULL, 0 \
	}

/* One more than a name, or an id with its NUL, may have. */
#define DIGITS_65 \
	"12345678901234567890123456789012345678901234567890123456789012345"
#define LONG_ID \
	"{\"parameters\":{\"id\":\"0123456789012345678901234567890123456789\"}}"

#define EVENT(members)                                                       \
	"{\"parameters\":{\"event\":{\"instance\":\"i-1\",\"time_us\":1700," \
	"\"seq\":" members "}},\"continues\":true}"

static int fds_before;

static int setup(void **state)
{
	fds_before = script_count_fds();
	return 0;
}

/* No test leaves a descriptor open. */
static int teardown(void **state)
{
	return script_count_fds() == fds_before ? 0 : -1;
}

static void assert_text_has(const char *want)
{
	if (!strstr(vmc_strerror(), want))
		fail_msg("'%s' is not in: %s", want, vmc_strerror());
	assert_null(strchr(vmc_strerror(), '\n'));
}

/* ---- finding the broker ------------------------------------------------ */

static void missing_vm_names_the_folder(void **state)
{
	setenv("VMCHANNEL_DIR", "/nonexistent/place", 1);
	assert_int_equal(vmc_connect("web9", CHANNEL, 0, 0, NULL), -ENOENT);
	assert_text_has("web9: no vmchanneld runs");
	assert_text_has("/nonexistent/place/web9");
	assert_int_equal(vmc_connect("host", CHANNEL, 0, 0, NULL), -ENOENT);
	assert_text_has("vmchannel-agent");
	unsetenv("VMCHANNEL_DIR");
}

/* A stream's first part of a header, then its end. */
static void header_cut_short(void **state)
{
	char buf[8];
	size_t len;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(write(fd[0], "\1\0\0", 3), 3);
	close(fd[0]);
	assert_int_equal(vmc_recv_msg(fd[1], buf, sizeof(buf), &len), -EPROTO);
	assert_text_has("within a message");
	close(fd[1]);
}

/* On a descriptor that does not block, nothing there is no message begun. */
static void nonblocking_messages(void **state)
{
	char buf[8];
	size_t len;
	int fd[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(vmc_recv_msg(fd[1], buf, sizeof(buf), &len), -EAGAIN);
	close(fd[0]);
	close(fd[1]);
}

static void empty_token_is_no_offer(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Listen", 0},
		REPLY("{\"parameters\":{},\"continues\":true}"),
		REPLY("{\"parameters\":{\"token\":\"\",\"id\":\"i-1\","
		      "\"caller\":{\"side\":\"host\",\"uid\":0,\"gid\":0}},"
		      "\"continues\":true}"),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct vmc_listener *l;
	struct script_broker b;

	script_start(&b, steps);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), 0);
	assert_int_equal(vmc_accept(l, NULL, PATIENT), -EPROTO);
	assert_text_has("lacks a member");
	vmc_listener_free(l);
	script_finish(&b);
}

static void every_event_has_its_type(void **state)
{
	static const struct {
		const char *reply;
		enum vmc_monitor_type type;
	} rows[] = {
#define ROW(name, id) {EVENT("1,\"type\":\"" name "\""), VMC_MON_##id}
		ROW("snapshot-end", SNAPSHOT_END),
		ROW("link-up", LINK_UP),
		ROW("link-down", LINK_DOWN),
		ROW("port-added", PORT_ADDED),
		ROW("port-removed", PORT_REMOVED),
		ROW("peer-up", PEER_UP),
		ROW("peer-down", PEER_DOWN),
		ROW("peer-stalled", PEER_STALLED),
		ROW("peer-unstalled", PEER_UNSTALLED),
		ROW("channel-added", CHANNEL_ADDED),
		ROW("channel-removed", CHANNEL_REMOVED),
		ROW("stream-opened", STREAM_OPENED),
		ROW("stream-closed", STREAM_CLOSED),
		ROW("policy-reloaded", POLICY_RELOADED),
		ROW("lost", LOST),
#undef ROW
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct script_step steps[] = {
			{SCRIPT_ACCEPT, NULL, 0}, {SCRIPT_EXPECT, "Monitor", 0},
			REPLY(rows[i].reply),     {SCRIPT_EOF, NULL, 0},
			{SCRIPT_END, NULL, 0},
		};
		struct vmc_monitor_event e;
		struct script_broker b;
		struct vmc_monitor *m;

		script_start(&b, steps);
		assert_int_equal(vmc_monitor_open(&m, VM, 0, 0, NULL), 0);
		assert_int_equal(vmc_monitor_next(m, &e, PATIENT), 1);
		assert_int_equal(e.type, rows[i].type);
		vmc_monitor_free(m);
		script_finish(&b);
	}
}

/* What errno was before says nothing about a path that is no socket. */
static void what_is_no_socket_is_no_broker(void **state)
{
	char root[] = "/tmp/vmc-client-XXXXXX";
	char path[64];
	int fd;

	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/" VM, root);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/control");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	setenv("VMCHANNEL_DIR", root, 1);
	errno = EACCES;
	assert_int_equal(vmc_connect(VM, CHANNEL, 0, 0, NULL), -ENOENT);
	unsetenv("VMCHANNEL_DIR");
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	rmdir(root);
}

static void bad_arguments_are_refused(void **state)
{
	static const char *const vms[] = {"",    ".",   "..",  ".hidden",
					  "a/b", "a b", "w\n", DIGITS_65};
	static const char *const names[] = {"",    "org.a b", " a",
					    "a\n", "a\x7f",   "caf\xc3\xa9"};
	struct vmc_listener *l;
	struct vmc_monitor *m;
	struct vmc_call *c;
	struct vmc_status s;
	char name[VMC_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(vms) / sizeof(vms[0]); i++)
		assert_int_equal(vmc_connect(vms[i], CHANNEL, 0, 0, NULL),
				 -EINVAL);
	assert_int_equal(vmc_connect(NULL, CHANNEL, 0, 0, NULL), -EINVAL);
	assert_int_equal(vmc_connect(VM, NULL, 0, 0, NULL), -EINVAL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(vmc_connect(VM, names[i], 0, 0, NULL),
				 -EINVAL);
		assert_text_has("cannot be a channel's name");
	}
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(vmc_connect(VM, name, 0, 0, NULL), -EINVAL);
	assert_int_equal(vmc_connect(VM, CHANNEL, 0x80, 0, NULL), -EINVAL);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0x80), -EINVAL);
	assert_int_equal(vmc_monitor_open(&m, VM, 0x80, 0, NULL), -EINVAL);
	assert_int_equal(vmc_call_start(&c, VM, "a.b.C", NULL, 0x80, 0),
			 -EINVAL);
	assert_int_equal(vmc_call_start(&c, VM, DIGITS_65 ".M", NULL, 0, 0),
			 -EINVAL);
	assert_text_has("is not a method");
	assert_int_equal(vmc_call_start(&c, VM, "NoDot", NULL, 0, 0), -EINVAL);
	assert_int_equal(vmc_call_start(&c, VM, "a.b.", NULL, 0, 0), -EINVAL);
	assert_int_equal(vmc_call_start(&c, VM, "a.b.C", "[]", 0, 0), -EINVAL);
	assert_int_equal(vmc_call_start(&c, VM, "a.b.C", "{", 0, 0), -EINVAL);
	assert_text_has("column");
	assert_int_equal(vmc_stream_status(VM, "", &s), -EINVAL);
}

static void dead_socket_is_refused(void **state)
{
	static const struct script_step steps[] = {{SCRIPT_END, NULL, 0}};
	struct script_broker b;

	script_start(&b, steps);
	/* The process ends at once; the socket's file stays. */
	while (vmc_connect(VM, CHANNEL, 0, PATIENT, NULL) == -ECONNRESET)
		;
	assert_int_equal(vmc_connect(VM, CHANNEL, 0, PATIENT, NULL),
			 -ECONNREFUSED);
	assert_text_has("start it again");
	script_finish(&b);
}

/* ---- connect ------------------------------------------------------------ */

static void stream_begins_after_the_nul(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT,
		 "{\"method\":\"" B "Connect\",\"parameters\":{\"channel\":"
		 "\"" CHANNEL "\",\"messages\":false},\"upgrade\":true}",
		 0},
		REPLY("{\"parameters\":{\"id\":\"s-1\"}}"),
		{SCRIPT_SEND, "first bytes", 0},
		{SCRIPT_RAW, "answer", 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	char id[VMC_ID_MAX], buf[32] = {0};
	size_t n = 0;
	int fd;

	script_start(&b, steps);
	fd = vmc_connect(VM, CHANNEL, 0, PATIENT, id);
	assert_true(fd >= 0);
	assert_string_equal(id, "s-1");
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	while (n < strlen("first bytes")) {
		ssize_t r = read(fd, buf + n, sizeof(buf) - 1 - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_string_equal(buf, "first bytes");
	assert_int_equal(send(fd, "answer", 6, MSG_NOSIGNAL), 6);
	close(fd);
	script_finish(&b);
}

/* The reply comes byte by byte; the stream right behind it. */
static void split_reply_is_joined(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		{SCRIPT_SEND, "{\"para", 0},
		{SCRIPT_SEND, "meters\":{\"id", 0},
		{SCRIPT_SEND, "\":\"x\"}}", 0},
		{SCRIPT_NUL, NULL, 0},
		{SCRIPT_NUL, NULL, 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	char c = 'x';
	int fd;

	script_start(&b, steps);
	fd = vmc_connect(VM, CHANNEL, 0, VMC_NO_TIMEOUT, NULL);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, '\0');
	close(fd);
	script_finish(&b);
}

static void messages_flag_is_sent(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "\"messages\":true", 0},
		REPLY("{\"parameters\":{\"id\":\"x\"}}"),
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	int fd;

	script_start(&b, steps);
	fd = vmc_connect(VM, CHANNEL, VMC_MESSAGES, PATIENT, NULL);
	assert_true(fd >= 0);
	close(fd);
	script_finish(&b);
}

/* What vmc_connect() makes of one reply, given without its NUL. */
static int connect_with_reply(const char *reply)
{
	const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		REPLY(reply),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	int fd;

	script_start(&b, steps);
	fd = vmc_connect(VM, CHANNEL, 0, PATIENT, NULL);
	if (fd >= 0)
		close(fd);
	script_finish(&b);
	return fd;
}

#define ERR(name, members) \
	"{\"error\":\"" B name "\",\"parameters\":{" members "}}"
#define REFUSED(word) \
	ERR("Refused", "\"channel\":\"x\",\"reason\":\"" word "\"")

static void errors_have_errno_and_remedy(void **state)
{
	static const struct {
		const char *reply;
		int want;
		const char *text;
	} rows[] = {
		{ERR("NoSuchChannel", "\"channel\":\"x\""), -ENOENT,
		 "vmchannel channels web1"},
		{ERR("Denied", "\"channel\":\"x\",\"rule\":\"10.conf:3\""),
		 -EACCES, "10.conf:3"},
		{ERR("InvalidName", "\"channel\":\"x\""), -EINVAL, "letters"},
		{ERR("NameInUse", "\"channel\":\"x\""), -EADDRINUSE,
		 "another program"},
		{ERR("NoPeer", "\"detail\":\"waiting for QEMU\""), -EHOSTDOWN,
		 "waiting for QEMU"},
		{ERR("LimitReached", "\"limit\":\"clients\",\"value\":64"),
		 -EAGAIN, "'clients'"},
		{ERR("NotAllowed", ""), -EACCES, "become root"},
		{ERR("NoSuchToken", ""), -ENOENT, "given up"},
		{ERR("NoSuchStream", "\"id\":\"x\""), -ENOENT, "1024"},
		{ERR("ConfigError", "\"detail\":\"a.conf:1: x\""), -EINVAL,
		 "a.conf:1"},
		{ERR("NeedsUpgrade", ""), -EPROTO, "version"},
		{"{\"error\":\"org.varlink.service.MethodNotFound\"}", -EPROTO,
		 "MethodNotFound"},
		{ERR("Denied", "\"rule\":\"a\\nb\""), -EACCES, "a?b"},
		{ERR("Denied", "\"rule\":\"a\\u009bb\""), -EACCES, "a??b"},
		{ERR("Denied", "\"rule\":7"), -EACCES, "policy denies"},
		{REFUSED("no-service"), -ENOENT, "nobody listens"},
		{REFUSED("withdrawn"), -ENOENT, "withdrawn"},
		{REFUSED("denied"), -EACCES, "policy"},
		{REFUSED("backlog"), -EAGAIN, "waiting streams"},
		{REFUSED("limit"), -EAGAIN, "limit"},
		{REFUSED("timeout"), -ETIMEDOUT, "no answer"},
		{REFUSED("mode"), -EINVAL, "messages"},
		{REFUSED("no-peer"), -EHOSTDOWN, "not connected"},
		{REFUSED("app-gone"), -ECONNRESET, "went away"},
		{REFUSED("what-is-this"), -ECONNRESET, "does not know"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = connect_with_reply(rows[i].reply);

		if (r != rows[i].want)
			fail_msg("%s: %d", rows[i].reply, r);
		assert_text_has(rows[i].text);
	}
}

static void misbehaving_broker_is_eproto(void **state)
{
	static const char *const replies[] = {
		"",
		"garbage",
		"[]",
		"{\"parameters\":7}",
		"{\"parameters\":{}}",
		"{\"parameters\":{\"id\":7}}",
		"{\"parameters\":{\"id\":\"\"}}",
		"{\"parameters\":{\"id\":\"a b\"}}",
		"{\"parameters\":{\"id\":\"a\\u001b\"}}",
		LONG_ID,
		"{\"method\":\"a.B\",\"parameters\":{\"id\":\"x\"}}",
		"{\"error\":7}",
		"{\"error\":\"nodot\"}",
	};

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		int r = connect_with_reply(replies[i]);

		if (r != -EPROTO)
			fail_msg("%s: %d", replies[i], r);
	}
}

static void endless_reply_is_cut_off(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		{SCRIPT_BYTES, "0123456789abcdef", 65536},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;

	script_start(&b, steps);
	assert_int_equal(vmc_connect(VM, CHANNEL, 0, PATIENT, NULL), -EMSGSIZE);
	script_finish(&b);
}

static void silent_broker_times_out(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0}, {SCRIPT_EXPECT, "Connect", 0},
		{SCRIPT_SEND, "{", 0},    {SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;

	script_start(&b, steps);
	assert_int_equal(vmc_connect(VM, CHANNEL, 0, SHORT, NULL), -ETIMEDOUT);
	assert_text_has("vmchannel doctor web1");
	script_finish(&b);
}

static void closing_broker_is_reset(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},   {SCRIPT_CLOSE, NULL, 0},
		{SCRIPT_ACCEPT, NULL, 0},   {SCRIPT_EXPECT, "Connect", 0},
		{SCRIPT_SEND, "{\"par", 0}, {SCRIPT_CLOSE, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;

	script_start(&b, steps);
	for (int i = 0; i < 2; i++)
		assert_int_equal(vmc_connect(VM, CHANNEL, 0, PATIENT, NULL),
				 -ECONNRESET);
	script_finish(&b);
}

static void no_descriptors_left_is_emfile(void **state)
{
	static const struct script_step steps[] = {{SCRIPT_END, NULL, 0}};
	struct rlimit old, none;
	struct script_broker b;

	script_start(&b, steps);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){3, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(vmc_connect(VM, CHANNEL, 0, PATIENT, NULL), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	script_finish(&b);
}

/* ---- status ------------------------------------------------------------- */

static int status_with(const char *stream, struct vmc_status *s)
{
	char reply[512];
	const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT,
		 "StreamStatus\",\"parameters\":{\"id\":\"s-1\"}", 0},
		REPLY(reply),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	int r;

	snprintf(reply, sizeof(reply), "{\"parameters\":{\"stream\":%s}}",
		 stream);
	script_start(&b, steps);
	r = vmc_stream_status(VM, "s-1", s);
	script_finish(&b);
	return r;
}

static void status_is_read(void **state)
{
	struct vmc_status s;

	assert_int_equal(status_with("{\"state\":\"ended\",\"reason\":"
				     "\"app-gone\",\"bytes_in\":5,"
				     "\"bytes_out\":9007199254740993}",
				     &s),
			 0);
	assert_int_equal(s.state, VMC_STREAM_ENDED);
	assert_int_equal(s.reason, VMC_REASON_APP_GONE);
	assert_int_equal(s.bytes_in, 5);
	assert_true(s.bytes_out == 9007199254740993u);
	assert_int_equal(status_with("{\"state\":\"open\",\"reason\":null,"
				     "\"bytes_in\":0,\"bytes_out\":0}",
				     &s),
			 0);
	assert_int_equal(s.state, VMC_STREAM_OPEN);
}

static void bad_status_is_eproto(void **state)
{
	static const char *const rows[] = {
		"null",
		"[]",
		"{\"state\":\"gone\",\"bytes_in\":0,\"bytes_out\":0}",
		"{\"state\":\"open\",\"bytes_in\":-1,\"bytes_out\":0}",
		"{\"state\":\"open\",\"bytes_in\":\"0\",\"bytes_out\":0}",
		"{\"state\":\"open\",\"bytes_in\":0}",
		"{\"state\":\"open\",\"bytes_in\":0.5,\"bytes_out\":0}",
		"{\"state\":\"ended\",\"bytes_in\":0,\"bytes_out\":0}",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vmc_status s = {.bytes_in = 77};
		int r = status_with(rows[i], &s);

		if (r != -EPROTO)
			fail_msg("%s: %d", rows[i], r);
		assert_int_equal(s.bytes_in, 77);
	}
}

/* ---- listen -------------------------------------------------------------- */

#define OFFER(token)                                                    \
	"{\"parameters\":{\"token\":\"" token "\",\"id\":\"s-" token    \
	"\",\"caller\":{\"side\":\"guest\",\"uid\":1000,\"gid\":100}}," \
	"\"continues\":true}"

#define ANNOUNCED                                                            \
	{SCRIPT_ACCEPT, NULL, 0},                                            \
		{SCRIPT_EXPECT,                                              \
		 "Listen\",\"parameters\":{\"channel\":\"" CHANNEL "\"", 0}, \
		REPLY("{\"parameters\":{},\"continues\":true}")

/* The script's one process serves the accept connection while the listening
 * one stays open, so the listening one must be the last to be used: a test
 * accepts after the broker has closed it. */
static void offered_stream_is_accepted(void **state)
{
	static const struct script_step steps[] = {
		ANNOUNCED,
		REPLY(OFFER("t1")),
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Accept\",\"parameters\":{\"token\":\"t1\"}",
		 0},
		REPLY("{\"parameters\":{\"id\":\"s-t1\"}}"),
		{SCRIPT_SEND, "hi", 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	struct vmc_listener *l;
	struct vmc_caller who;
	char buf[2];
	int fd;

	script_start(&b, steps);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), 0);
	assert_int_equal(fcntl(vmc_listener_fd(l), F_GETFD), FD_CLOEXEC);
	fd = vmc_accept(l, &who, PATIENT);
	assert_true(fd >= 0);
	assert_int_equal(who.side, VMC_PRINCIPAL_GUEST);
	assert_int_equal(who.uid, 1000);
	assert_int_equal(who.gid, 100);
	assert_string_equal(who.id, "s-t1");
	assert_int_equal(recv(fd, buf, 2, MSG_WAITALL), 2);
	assert_int_equal(vmc_accept(l, NULL, PATIENT), -ECONNRESET);
	assert_text_has("listen again");
	close(fd);
	vmc_listener_free(l);
	script_finish(&b);
}

/* Two offers in one read: the descriptor must stay readable for the second. */
static void listener_fd_is_readable_while_offers_wait(void **state)
{
	static const struct script_step steps[] = {
		ANNOUNCED,
		REPLY(OFFER("t1")),
		REPLY(OFFER("t2")),
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "t1", 0},
		REPLY("{\"error\":\"" B "NoSuchToken\"}"),
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "t2", 0},
		REPLY("{\"parameters\":{\"id\":\"s-t2\"}}"),
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	struct vmc_listener *l;
	struct vmc_caller who;
	struct pollfd p = {.events = POLLIN};
	int fd;

	script_start(&b, steps);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), 0);
	p.fd = vmc_listener_fd(l);
	assert_int_equal(poll(&p, 1, PATIENT), 1);
	/* The first was given up meanwhile: the second is what comes. */
	fd = vmc_accept(l, &who, PATIENT);
	assert_true(fd >= 0);
	assert_string_equal(who.id, "s-t2");
	close(fd);
	vmc_listener_free(l);
	script_finish(&b);
}

static void no_offer_times_out(void **state)
{
	static const struct script_step steps[] = {
		ANNOUNCED,
		{SCRIPT_SEND, "{\"param", 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	struct vmc_listener *l;

	script_start(&b, steps);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), 0);
	assert_int_equal(vmc_accept(l, NULL, 0), -ETIMEDOUT);
	assert_int_equal(vmc_accept(l, NULL, SHORT), -ETIMEDOUT);
	assert_text_has("no stream came on '" CHANNEL "' in time");
	vmc_listener_free(l);
	script_finish(&b);
}

static void bad_offer_is_eproto(void **state)
{
	static const char *const offers[] = {
		"{\"continues\":true}",
		"{\"parameters\":{\"token\":\"t\",\"id\":\"x\"}}",
		"{\"parameters\":{\"token\":\"t\",\"id\":\"x\",\"caller\":{"
		"\"side\":\"moon\",\"uid\":1,\"gid\":1}}}",
		"{\"parameters\":{\"token\":\"t\",\"id\":\"x\",\"caller\":{"
		"\"side\":\"host\",\"uid\":-1,\"gid\":1}}}",
		"{\"parameters\":{\"token\":\"t\",\"id\":\"x\",\"caller\":{"
		"\"side\":\"host\",\"uid\":4294967296,\"gid\":1}}}",
		"{\"parameters\":{\"token\":7,\"id\":\"x\",\"caller\":{"
		"\"side\":\"host\",\"uid\":1,\"gid\":1}}}",
	};

	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		const struct script_step steps[] = {
			ANNOUNCED,
			REPLY(offers[i]),
			{SCRIPT_EOF, NULL, 0},
			{SCRIPT_END, NULL, 0},
		};
		struct script_broker b;
		struct vmc_listener *l;
		int r;

		script_start(&b, steps);
		assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), 0);
		r = vmc_accept(l, NULL, PATIENT);
		vmc_listener_free(l);
		script_finish(&b);
		if (r != -EPROTO)
			fail_msg("%s: %d", offers[i], r);
	}
}

static void refused_listen_leaves_nothing(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "\"more\":true", 0},
		REPLY(ERR("NameInUse", "")),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct vmc_listener *l = NULL;
	struct script_broker b;

	script_start(&b, steps);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), -EADDRINUSE);
	assert_null(l);
	vmc_listener_free(NULL);
	script_finish(&b);
}

/* ---- monitor --------------------------------------------------------------
 */

static void events_are_read(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT,
		 "Monitor\",\"parameters\":{\"snapshot\":true,\"after\":7,"
		 "\"instance\":\"i-1\"},\"more\":true",
		 0},
		REPLY(EVENT("0,\"type\":\"channel-added\",\"channel\":\"a.b\","
			    "\"side\":\"peer\",\"messages\":true")),
		REPLY(EVENT(
			"8,\"type\":\"stream-closed\",\"stream\":{\"id\":"
			"\"s-1\",\"channel\":\"c.d\",\"bytes_in\":3,\"bytes_"
			"out\":4,\"reason\":\"too-big\"}")),
		REPLY(EVENT("9,\"type\":\"peer-up\",\"resumed\":true")),
		REPLY(EVENT("12,\"type\":\"lost\",\"lost\":2")),
		REPLY(EVENT("13,\"type\":\"from-the-future\"")),
		{SCRIPT_END, NULL, 0},
	};
	static const struct vmc_monitor_event zero;
	struct vmc_monitor_event e;
	struct script_broker b;
	struct vmc_monitor *m;

	script_start(&b, steps);
	assert_int_equal(
		vmc_monitor_open(&m, VM, VMC_MONITOR_SNAPSHOT, 7, "i-1"), 0);
	assert_string_equal(vmc_monitor_instance(m), "");
	memset(&e, 0xff, sizeof(e));
	assert_int_equal(vmc_monitor_next(m, &e, PATIENT), 1);
	assert_memory_equal(e.reserved, zero.reserved, sizeof(e.reserved));
	assert_int_equal(e.type, VMC_MON_CHANNEL_ADDED);
	assert_string_equal(e.channel, "a.b");
	assert_true(e.peer);
	assert_int_equal(e.seq, 0);
	assert_int_equal(e.time_us, 1700);
	assert_string_equal(vmc_monitor_instance(m), "i-1");
	assert_int_equal(vmc_monitor_next(m, &e, PATIENT), 1);
	assert_int_equal(e.type, VMC_MON_STREAM_CLOSED);
	assert_string_equal(e.id, "s-1");
	assert_string_equal(e.channel, "c.d");
	assert_int_equal(e.bytes_in, 3);
	assert_int_equal(e.bytes_out, 4);
	assert_int_equal(e.reason, VMC_REASON_TOO_BIG);
	assert_int_equal(vmc_monitor_next(m, &e, PATIENT), 1);
	assert_int_equal(e.type, VMC_MON_PEER_UP);
	assert_true(e.resumed);
	assert_int_equal(vmc_monitor_next(m, &e, PATIENT), 1);
	assert_int_equal(e.type, VMC_MON_LOST);
	assert_int_equal(e.lost, 2);
	assert_int_equal(vmc_monitor_next(m, &e, PATIENT), 1);
	assert_int_equal(e.type, VMC_MON_UNKNOWN);
	assert_int_equal(vmc_monitor_next(m, &e, PATIENT), -ECONNRESET);
	vmc_monitor_free(m);
	script_finish(&b);
}

static void bad_event_is_eproto(void **state)
{
	static const char *const events[] = {
		"{\"continues\":true}",
		EVENT("-1,\"type\":\"link-up\""),
		EVENT("1"),
		EVENT("1,\"type\":7"),
		EVENT("1,\"type\":\"lost\",\"lost\":\"many\""),
		EVENT("1,\"type\":\"stream-opened\",\"stream\":7"),
		EVENT("1,\"type\":\"stream-opened\",\"stream\":{}"),
		EVENT("1,\"type\":\"peer-up\",\"resumed\":1"),
	};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		const struct script_step steps[] = {
			{SCRIPT_ACCEPT, NULL, 0}, {SCRIPT_EXPECT, "Monitor", 0},
			REPLY(events[i]),         {SCRIPT_EOF, NULL, 0},
			{SCRIPT_END, NULL, 0},
		};
		struct vmc_monitor_event e;
		struct script_broker b;
		struct vmc_monitor *m;
		int r;

		script_start(&b, steps);
		assert_int_equal(vmc_monitor_open(&m, VM, 0, 0, NULL), 0);
		r = vmc_monitor_next(m, &e, PATIENT);
		vmc_monitor_free(m);
		script_finish(&b);
		if (r != -EPROTO)
			fail_msg("%s: %d", events[i], r);
	}
}

/* ---- call ------------------------------------------------------------------
 */

static void call_goes_through_a_stream(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "\"channel\":\"org.example.db\"", 0},
		REPLY("{\"parameters\":{\"id\":\"x\"}}"),
		{SCRIPT_EXPECT,
		 "{\"method\":\"org.example.db.Get\",\"parameters\":{\"k\":1},"
		 "\"more\":true}",
		 0},
		REPLY("{\"parameters\":{\"v\":1},\"continues\":true}"),
		REPLY("{\"error\":\"org.example.db.Gone\",\"parameters\":{"
		      "\"why\":\"x\"}}"),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	const char *text, *error;
	struct script_broker b;
	struct vmc_call *c;

	script_start(&b, steps);
	assert_int_equal(vmc_call_start(&c, VM, "org.example.db.Get",
					"{\"k\": 1}", VMC_CALL_MORE, PATIENT),
			 0);
	assert_int_equal(vmc_call_reply(c, &text, &error, PATIENT), 1);
	assert_string_equal(text, "{\"v\":1}");
	assert_null(error);
	assert_int_equal(vmc_call_reply(c, &text, &error, PATIENT), 0);
	assert_string_equal(text, "{\"why\":\"x\"}");
	assert_string_equal(error, "org.example.db.Gone");
	assert_int_equal(vmc_call_reply(c, &text, &error, PATIENT), -EINVAL);
	vmc_call_free(c);
	script_finish(&b);
}

/* What a service of the guest's operations may answer to what, and what the
 * program gets; text: of a failure, a part of vmc_strerror(). */
static const struct {
	const char *reply;
	int r;
	const char *text, *error;
} op_rows[] = {
	{"{\"parameters\":{\"time_us\":1,\"token\":\"t\"}}", 0,
	 "{\"time_us\":1,\"token\":\"t\"}", ""},
	{"{\"parameters\":{\"time_us\":1,\"newer\":[{}]}}", 0,
	 "{\"time_us\":1}", ""},
	{"{\"parameters\":{\"time_us\":-1}}", -EPROTO, "'time_us'", ""},
	{"{\"parameters\":{\"time_us\":\"1\"}}", -EPROTO, "'time_us'", ""},
	{"{\"parameters\":{}}", -EPROTO, "'time_us'", ""},
	{"{}", -EPROTO, "'time_us'", ""},
	{"{\"error\":\"org.vmchannel.PolicyDenied\",\"parameters\":{"
	 "\"operation\":\"a\",\"class\":\"full\",\"rule\":\"f:1\"}}",
	 0, "{\"operation\":\"a\",\"class\":\"full\",\"rule\":\"f:1\"}",
	 "org.vmchannel.PolicyDenied"},
	{"{\"error\":\"org.vmchannel.PolicyDenied\",\"parameters\":{"
	 "\"operation\":\"a\",\"class\":\"any\",\"rule\":\"f:1\"}}",
	 -EPROTO, "'class'", ""},
	{"{\"error\":\"org.example.Newer\",\"parameters\":{\"x\":1}}", 0, "{}",
	 "org.example.Newer"},
};

static void replies_of_operations_are_checked(void **state)
{
	for (size_t i = 0; i < sizeof(op_rows) / sizeof(op_rows[0]); i++) {
		const struct script_step steps[] = {
			{SCRIPT_ACCEPT, NULL, 0},
			{SCRIPT_EXPECT, "Connect", 0},
			REPLY("{\"parameters\":{\"id\":\"7-1\"}}"),
			{SCRIPT_EXPECT, "Ping", 0},
			{SCRIPT_SEND, op_rows[i].reply, 0},
			{SCRIPT_NUL, NULL, 0},
			{SCRIPT_EOF, NULL, 0},
			{SCRIPT_END, NULL, 0},
		};
		const char *text = NULL, *error = NULL;
		struct script_broker b;
		struct vmc_call *c;

		script_start(&b, steps);
		assert_int_equal(vmc_call_start(&c, VM,
						"org.vmchannel.Agent.Ping",
						NULL, 0, PATIENT),
				 0);
		assert_int_equal(vmc_call_reply(c, &text, &error, PATIENT),
				 op_rows[i].r);
		if (op_rows[i].r < 0) {
			assert_text_has(op_rows[i].text);
		} else {
			assert_string_equal(text, op_rows[i].text);
			assert_string_equal(error ? error : "",
					    op_rows[i].error);
		}
		vmc_call_free(c);
		script_finish(&b);
	}
}

/* What follows the reply is the stream's, from its first byte. */
static void call_is_upgraded(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		REPLY("{\"parameters\":{\"id\":\"7-1\"}}"),
		{SCRIPT_EXPECT, "\"upgrade\":true", 0},
		{SCRIPT_BOTH, "{\"parameters\":{\"pid\":3}}", 0},
		{SCRIPT_SEND, "raw", 0},
		{SCRIPT_RAW, "back", 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	const char *text;
	struct script_broker b;
	struct vmc_call *c;
	char buf[8];
	int fd;

	script_start(&b, steps);
	assert_int_equal(vmc_call_start(&c, VM, "org.vmchannel.Exec.Run",
					"{\"argv\":[\"a\"]}", VMC_CALL_UPGRADE,
					PATIENT),
			 0);
	assert_int_equal(vmc_call_stream(c), -EINVAL); /* no reply yet */
	assert_int_equal(vmc_call_reply(c, &text, NULL, PATIENT), 0);
	fd = vmc_call_stream(c);
	assert_true(fd >= 0);
	assert_int_equal(vmc_call_stream(c), -EINVAL);
	vmc_call_free(c);
	assert_int_equal(read(fd, buf, 4), 4);
	assert_memory_equal(buf, "raw", 4);
	assert_int_equal(write(fd, "back", 4), 4);
	close(fd);
	script_finish(&b);
}

static void refused_calls_are_not_upgraded(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		REPLY("{\"parameters\":{\"id\":\"7-1\"}}"),
		{SCRIPT_EXPECT, "Run", 0},
		REPLY("{\"error\":\"org.vmchannel.Exec.NoSuchUser\","
		      "\"parameters\":{\"user\":\"x\"}}"),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	const char *text, *error;
	struct script_broker b;
	struct vmc_call *c;

	assert_int_equal(vmc_call_start(&c, VM, "org.vmchannel.Exec.Run", NULL,
					VMC_CALL_UPGRADE | VMC_CALL_MORE, 0),
			 -EINVAL);
	script_start(&b, steps);
	assert_int_equal(vmc_call_start(&c, VM, "org.vmchannel.Exec.Run", NULL,
					VMC_CALL_UPGRADE, PATIENT),
			 0);
	assert_int_equal(vmc_call_reply(c, &text, &error, PATIENT), 0);
	assert_string_equal(error, "org.vmchannel.Exec.NoSuchUser");
	assert_int_equal(vmc_call_stream(c), -EINVAL);
	vmc_call_free(c);
	script_finish(&b);
}

/* Who has seen nothing but the snapshot can still say what it missed. */
static void monitor_repeats_from_the_first(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "\"after\":0,\"instance\":\"i-1\"", 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "\"parameters\":{\"snapshot\":false}", 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	struct vmc_monitor *m;

	script_start(&b, steps);
	assert_int_equal(vmc_monitor_open(&m, VM, 0, 0, "i-1"), 0);
	vmc_monitor_free(m);
	assert_int_equal(vmc_monitor_open(&m, VM, 0, 5, ""), 0);
	vmc_monitor_free(m);
	script_finish(&b);
}

static void call_start_keeps_its_timeout(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		{SCRIPT_EOF, NULL, 0}, /* the service does not take it */
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	struct vmc_call *c;

	script_start(&b, steps);
	assert_int_equal(
		vmc_call_start(&c, VM, "org.example.db.Get", NULL, 0, SHORT),
		-ETIMEDOUT);
	assert_text_has("org.example.db");
	script_finish(&b);
}

/* What a program was compiled against must fit what it finds at run time. */
static void structs_keep_their_sizes(void **state)
{
	assert_int_equal(sizeof(struct vmc_caller), 88);
	assert_int_equal(sizeof(struct vmc_status), 56);
	assert_int_equal(sizeof(struct vmc_monitor_event), 288);
	assert_int_equal(offsetof(struct vmc_caller, reserved), 56);
	assert_int_equal(offsetof(struct vmc_status, reserved), 24);
	assert_int_equal(offsetof(struct vmc_monitor_event, reserved), 160);
}

static void local_call_asks_the_broker(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT,
		 "{\"method\":\"" B "GetInfo\",\"parameters\":{}}", 0},
		REPLY("{\"parameters\":{\"vm\":\"web1\"}}"),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	const char *text;
	struct script_broker b;
	struct vmc_call *c;

	script_start(&b, steps);
	assert_int_equal(vmc_call_start(&c, VM, B "GetInfo", NULL,
					VMC_CALL_LOCAL, PATIENT),
			 0);
	assert_int_equal(vmc_call_reply(c, &text, NULL, PATIENT), 0);
	assert_string_equal(text, "{\"vm\":\"web1\"}");
	vmc_call_free(c);
	script_finish(&b);
}

static void bad_replies_to_calls(void **state)
{
	static const struct {
		const char *reply;
		int want;
	} rows[] = {
		{"{\"parameters\":{},\"continues\":true}", -EPROTO},
		{"nonsense", -EPROTO},
		{"{\"method\":\"a.B\"}", -EPROTO},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct script_step steps[] = {
			{SCRIPT_ACCEPT, NULL, 0}, {SCRIPT_EXPECT, "GetInfo", 0},
			REPLY(rows[i].reply),     {SCRIPT_EOF, NULL, 0},
			{SCRIPT_END, NULL, 0},
		};
		const char *text, *error;
		struct script_broker b;
		struct vmc_call *c;

		script_start(&b, steps);
		assert_int_equal(vmc_call_start(&c, VM, B "GetInfo", NULL,
						VMC_CALL_LOCAL, PATIENT),
				 0);
		assert_int_equal(vmc_call_reply(c, &text, &error, PATIENT),
				 rows[i].want);
		vmc_call_free(c);
		script_finish(&b);
	}
}

static void large_call_is_refused(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	char *text = malloc(70000);
	struct script_broker b;
	struct vmc_call *c;

	memset(text, 'x', 70000);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + 70000 - 3, "\"}", 3);
	script_start(&b, steps);
	assert_int_equal(vmc_call_start(&c, VM, B "GetInfo", text,
					VMC_CALL_LOCAL, PATIENT),
			 -EMSGSIZE);
	script_finish(&b);
	free(text);
}

/* ---- messages
 * ---------------------------------------------------------------- */

static void messages_keep_their_boundaries(void **state)
{
	static const size_t sizes[] = {0, 1, 255, 256, 65536, 100000};
	char *buf = malloc(100000), *got = malloc(100000);
	int fd[2];
	size_t len;

	memset(buf, 'm', 100000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(vmc_send_msg(fd[0], buf, sizes[i]), 0);
		assert_int_equal(vmc_recv_msg(fd[1], got, 100000, &len), 1);
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(buf, got, len);
	}
	close(fd[0]);
	assert_int_equal(vmc_recv_msg(fd[1], got, 100000, &len), 0);
	/* Nobody reads: an error, not a signal. */
	assert_int_equal(vmc_send_msg(fd[1], buf, 1), -EPIPE);
	close(fd[1]);
	free(buf);
	free(got);
}

/* Both sides of the library could agree on something else. */
static void the_length_is_little_endian(void **state)
{
	static const struct {
		size_t len;
		unsigned char header[4];
	} rows[] = {
		{0x00000081, {0x81, 0, 0, 0}},
		{0x0000807f, {0x7f, 0x80, 0, 0}},
		{0x0000feff, {0xff, 0xfe, 0, 0}},
		{0x00010203, {0x03, 0x02, 0x01, 0}},
		{0x000fedcb, {0xcb, 0xed, 0x0f, 0}},
		{VMC_MSG_MAX, {0, 0, 0x10, 0}},
	};
	char *buf = calloc(1, VMC_MSG_MAX);
	unsigned char got[4];
	int fd[2], status;
	pid_t pid;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		pid = fork();
		if (pid == 0)
			_exit(vmc_send_msg(fd[0], buf, rows[i].len) != 0);
		close(fd[0]);
		assert_int_equal(recv(fd[1], got, 4, MSG_WAITALL), 4);
		assert_memory_equal(got, rows[i].header, 4);
		for (size_t n = 0; n < rows[i].len;) {
			ssize_t r = read(fd[1], buf, VMC_MSG_MAX);

			assert_true(r > 0);
			n += (size_t)r;
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		close(fd[1]);
	}
	free(buf);
}

static int recv_of(const char *bytes, size_t n, size_t size)
{
	char got[16];
	size_t len;
	int fd[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(write(fd[0], bytes, n), n);
	close(fd[0]);
	r = vmc_recv_msg(fd[1], got, size, &len);
	close(fd[1]);
	return r;
}

static void message_lengths_are_checked(void **state)
{
	int fd[2];

	assert_int_equal(recv_of("\4\0\0\0abcd", 8, 4), 1);
	assert_int_equal(recv_of("\4\0\0\0abcd", 8, 3), -EMSGSIZE);
	assert_int_equal(recv_of("\4\0\0\0abc", 7, 16), -EPROTO);
	assert_int_equal(recv_of("\4\0\0", 3, 16), -EPROTO);
	assert_int_equal(recv_of("\4\0\0\0", 4, 16), -EPROTO);
	assert_int_equal(recv_of("\xff\xff\xff\xff", 4, SIZE_MAX), -EMSGSIZE);
	assert_int_equal(recv_of("\1\0\x10\0", 4, SIZE_MAX), -EMSGSIZE);
	assert_int_equal(recv_of("\0\0\0\1", 4, SIZE_MAX), -EMSGSIZE);
	assert_int_equal(recv_of("\0\0\0\x80", 4, SIZE_MAX), -EMSGSIZE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(vmc_send_msg(fd[0], "", VMC_MSG_MAX + 1), -EMSGSIZE);
	close(fd[0]);
	close(fd[1]);
}

static void version_and_text_are_there(void **state)
{
	assert_string_equal(vmc_version(), VMC_VERSION);
	assert_non_null(vmc_strerror());
}

/* The stream takes nothing any more: an error, and no SIGPIPE. */
static void no_signal_for_a_call_that_cannot_be_sent(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		{SCRIPT_DEAF, NULL, 0},
		REPLY("{\"parameters\":{\"id\":\"i-1\"}}"),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	struct vmc_call *c;

	script_start(&b, steps);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(vmc_call_start(&c, VM, "org.example.echo.Ping", NULL,
					0, PATIENT),
			 -ECONNRESET);
	script_finish(&b);
}

/* The stream of a call ends as @how says, without a reply. */
static void break_off(const char *method, const char *parameters,
		      const char *how, const char *why, const char *remedy)
{
	char reply[256];
	const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Connect", 0},
		REPLY("{\"parameters\":{\"id\":\"s-1\"}}"),
		{SCRIPT_EXPECT, method, 0},
		{SCRIPT_CLOSE, NULL, 0},
		{how ? SCRIPT_ACCEPT : SCRIPT_END, NULL, 0},
		{SCRIPT_EXPECT, "StreamStatus", 0},
		REPLY(reply),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	const char *text, *error;
	struct script_broker b;
	struct vmc_call *c;

	snprintf(reply, sizeof(reply),
		 "{\"parameters\":{\"stream\":{\"state\":\"ended\","
		 "\"reason\":\"%s\",\"bytes_in\":0,\"bytes_out\":9}}}",
		 how ? how : "");
	script_start(&b, steps);
	assert_int_equal(vmc_call_start(&c, VM, method, parameters, 0, PATIENT),
			 0);
	if (!how)
		script_finish(&b); /* the broker is gone */
	assert_int_equal(vmc_call_reply(c, &text, &error, PATIENT),
			 -ECONNRESET);
	assert_text_has(why);
	assert_text_has(remedy);
	vmc_call_free(c);
	if (how)
		script_finish(&b);
}

/* Who called for something hears that it may have been done, and by whom it
 * was cut off. */
static void a_call_that_is_broken_off(void **state)
{
	const char *power = "org.vmchannel.Power.PowerOff";

	break_off(power, NULL, "migrated", "moved elsewhere (migrated)",
		  "not known: look before");
	break_off(power, "{\"request\":\"r\"}", "daemon-lost",
		  "PowerOff had no answer",
		  "the same request is not done twice");
	break_off("org.vmchannel.Agent.Ping", NULL, "agent-lost",
		  "(agent-lost)", "ask again");
	break_off("org.example.Other.Method", NULL, "ok",
		  "the service closed its stream", "not known");
	break_off(power, NULL, NULL, "its broker is gone", "not known");
}

static void limit_files(rlim_t n, struct rlimit *ret_old)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_old), 0);
	l = *ret_old;
	l.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
}

/* Without a descriptor the stream stays; with one it is there. */
static void accept_again_when_there_is_room(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Listen", 0},
		REPLY("{\"parameters\":{},\"continues\":true}"),
		REPLY("{\"parameters\":{\"token\":\"t-1\",\"id\":\"i-1\","
		      "\"caller\":{\"side\":\"guest\",\"uid\":7,\"gid\":0}},"
		      "\"continues\":true}"),
		{SCRIPT_SWAP, NULL, 0},
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "\"token\":\"t-1\"", 0},
		REPLY("{\"parameters\":{\"id\":\"i-1\"}}"),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct vmc_caller caller = {.uid = 1};
	struct script_broker b;
	struct vmc_listener *l;
	struct rlimit old;
	int fd;

	script_start(&b, steps);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), 0);
	limit_files(3, &old);
	assert_int_equal(vmc_accept(l, &caller, PATIENT), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(caller.uid, 1);
	fd = vmc_accept(l, &caller, 0);
	assert_true(fd >= 0);
	assert_int_equal(caller.uid, 7);
	close(fd);
	vmc_listener_free(l);
	script_finish(&b);
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* Never before its time, not even by the part of a millisecond. */
static void timeouts_are_not_cut(void **state)
{
	static const struct script_step steps[] = {
		{SCRIPT_ACCEPT, NULL, 0},
		{SCRIPT_EXPECT, "Listen", 0},
		REPLY("{\"parameters\":{},\"continues\":true}"),
		{SCRIPT_EOF, NULL, 0},
		{SCRIPT_END, NULL, 0},
	};
	struct script_broker b;
	struct vmc_listener *l;

	script_start(&b, steps);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, 0), 0);
	for (int ms = 1; ms <= 5; ms++) {
		double begin = now_ms();

		assert_int_equal(vmc_accept(l, NULL, ms), -ETIMEDOUT);
		assert_true(now_ms() - begin >= ms);
	}
	vmc_listener_free(l);
	script_finish(&b);
}

/* In a child that is not root: its own folder first, then the system's. */
static void users_have_a_folder_of_their_own(void **state)
{
	int status;
	pid_t pid;

	unsetenv("VMCHANNEL_DIR");
	setenv("XDG_RUNTIME_DIR", "/nonexistent/xdg", 1);
	pid = fork();
	if (pid == 0) {
		bool both;

		if (geteuid() == 0 && setuid(65534))
			_exit(2);
		if (vmc_connect("web9", CHANNEL, 0, 0, NULL) != -ENOENT)
			_exit(3);
		both = strstr(vmc_strerror(),
			      "/nonexistent/xdg/vmchannel/web9 and "
			      "/run/vmchannel/web9") != NULL;
		_exit(both ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	if (geteuid() == 0) {
		assert_int_equal(vmc_connect("web9", CHANNEL, 0, 0, NULL),
				 -ENOENT);
		assert_null(strstr(vmc_strerror(), "/nonexistent/xdg"));
	}
	unsetenv("XDG_RUNTIME_DIR");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(version_and_text_are_there),
		TEST(missing_vm_names_the_folder),
		TEST(users_have_a_folder_of_their_own),
		TEST(timeouts_are_not_cut),
		TEST(accept_again_when_there_is_room),
		TEST(no_signal_for_a_call_that_cannot_be_sent),
		TEST(a_call_that_is_broken_off),
		TEST(header_cut_short),
		TEST(nonblocking_messages),
		TEST(empty_token_is_no_offer),
		TEST(every_event_has_its_type),
		TEST(what_is_no_socket_is_no_broker),
		TEST(bad_arguments_are_refused),
		TEST(dead_socket_is_refused),
		TEST(stream_begins_after_the_nul),
		TEST(split_reply_is_joined),
		TEST(messages_flag_is_sent),
		TEST(errors_have_errno_and_remedy),
		TEST(misbehaving_broker_is_eproto),
		TEST(endless_reply_is_cut_off),
		TEST(silent_broker_times_out),
		TEST(closing_broker_is_reset),
		TEST(no_descriptors_left_is_emfile),
		TEST(status_is_read),
		TEST(bad_status_is_eproto),
		TEST(offered_stream_is_accepted),
		TEST(listener_fd_is_readable_while_offers_wait),
		TEST(no_offer_times_out),
		TEST(bad_offer_is_eproto),
		TEST(refused_listen_leaves_nothing),
		TEST(events_are_read),
		TEST(bad_event_is_eproto),
		TEST(call_goes_through_a_stream),
		TEST(monitor_repeats_from_the_first),
		TEST(call_start_keeps_its_timeout),
		TEST(replies_of_operations_are_checked),
		TEST(call_is_upgraded),
		TEST(refused_calls_are_not_upgraded),
		TEST(structs_keep_their_sizes),
		TEST(local_call_asks_the_broker),
		TEST(bad_replies_to_calls),
		TEST(large_call_is_refused),
		TEST(messages_keep_their_boundaries),
		TEST(the_length_is_little_endian),
		TEST(message_lengths_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
