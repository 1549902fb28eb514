/* SPDX-License-Identifier: MIT */
/* The messages between supervisor and worker, and the configuration blob. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/children.h"
#include "host/config.h"
#include "host/ipc.h"
#include "host/link.h"

#define SUP IPC_FROM_SUPERVISOR
#define WRK IPC_FROM_WORKER
#define QMP IPC_FROM_QMP

/* One legal message of each type. */
static const struct {
	enum ipc_side from;
	bool fd;
	struct ipc_msg m;
} legal[] = {
	{SUP, true, {.type = IPC_CONFIG, .value = 1, .size = 77}},
	{SUP, false, {.type = IPC_CONFIG_FAILED, .text = "f:1: bad"}},
	{SUP, true, {.type = IPC_LINK}},
	{SUP, false, {.type = IPC_LINK_DETAIL, .text = ""}},
	{SUP, true, {.type = IPC_SERVICE, .request = UINT64_MAX}},
	{SUP, false, {.type = IPC_SERVICE, .request = 1, .value = -2}},
	{SUP, false, {.type = IPC_STOP}},
	{WRK, false, {.type = IPC_READY}},
	{WRK, false, {.type = IPC_LINK_ENDED, .value = 2, .error = 104}},
	{WRK,
	 false,
	 {.type = IPC_START,
	  .request = 0x0102030405060708,
	  .name = "org.example.x",
	  .caller = "guest:4294967295",
	  .stream = "00ff-12"}},
	{WRK, false, {.type = IPC_RELOAD}},
	{SUP, true, {.type = IPC_BUS}},
	{SUP, false, {.type = IPC_HOLD}},
	{SUP, false, {.type = IPC_THAW}},
	{SUP, false, {.type = IPC_ADOPT, .size = 989792}},
	{SUP, false, {.type = IPC_UPGRADE_FAILED, .text = "busy"}},
	{WRK, false, {.type = IPC_UPGRADE}},
	{WRK, false, {.type = IPC_HELD, .value = -5, .size = 80}},
	{WRK, false, {.type = IPC_ADOPTED, .value = -22}},
	{WRK, true, {.type = IPC_KEEP, .request = 7, .value = 1}},
	{WRK, false, {.type = IPC_DROP, .request = 7}},
	{WRK, false, {.type = IPC_MOVED}},
	{WRK, false, {.type = IPC_CLAIM, .text = "00ff"}},
	{SUP, false, {.type = IPC_CLAIMED, .value = -17}},
	{SUP, false, {.type = IPC_VMSTATE, .value = 2}},
	{SUP, false, {.type = IPC_LOOK}},
	{SUP, false, {.type = IPC_MEND, .text = "/run/vmstate.sock"}},
	{QMP, false, {.type = IPC_MENDED, .value = -5}},
};

/* What goes both ways. */
static const struct {
	bool fd;
	struct ipc_msg m;
} both[] = {
	{true, {.type = IPC_GIVE, .request = 9, .value = 2}},
	{false, {.type = IPC_LIFE, .value = 2}},
};

#define N_LEGAL (sizeof(legal) / sizeof(legal[0]))

static void test_round_trip(void **state)
{
	for (size_t i = 0; i < N_LEGAL; i++) {
		uint8_t buf[IPC_BYTES_MAX];
		struct ipc_msg m;
		size_t n = ipc_encode(&legal[i].m, legal[i].from, legal[i].fd,
				      buf);

		assert_true(n > 0);
		assert_true(ipc_decode(&m, legal[i].from, legal[i].fd, buf, n));
		assert_memory_equal(&m, &legal[i].m, sizeof(m));
	}
}

static void test_length_is_exact(void **state)
{
	for (size_t i = 0; i < N_LEGAL; i++) {
		uint8_t buf[IPC_BYTES_MAX + 1] = {0};
		struct ipc_msg m;
		size_t n = ipc_encode(&legal[i].m, legal[i].from, legal[i].fd,
				      buf);

		for (size_t len = 0; len < n; len++)
			assert_false(ipc_decode(&m, legal[i].from, legal[i].fd,
						buf, len));
		assert_false(
			ipc_decode(&m, legal[i].from, legal[i].fd, buf, n + 1));
	}
}

/* Neither side takes the other's messages as its own, nor a descriptor where
 * none belongs, nor misses one. */
static void test_direction_and_fd(void **state)
{
	for (size_t i = 0; i < N_LEGAL; i++) {
		uint8_t buf[IPC_BYTES_MAX], none[IPC_BYTES_MAX];
		enum ipc_side other = legal[i].from == SUP ? WRK : SUP;
		struct ipc_msg m;
		size_t n = ipc_encode(&legal[i].m, legal[i].from, legal[i].fd,
				      buf);

		assert_false(ipc_decode(&m, other, legal[i].fd, buf, n));
		assert_false(
			ipc_decode(&m, legal[i].from, !legal[i].fd, buf, n));
		assert_int_equal(
			ipc_encode(&legal[i].m, other, legal[i].fd, none), 0);
		assert_int_equal(ipc_encode(&legal[i].m, legal[i].from,
					    !legal[i].fd, none),
				 0);
	}
}

static void test_both_ways(void **state)
{
	static const enum ipc_side sides[] = {SUP, WRK};

	for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
		for (size_t j = 0; j < 2; j++) {
			uint8_t buf[IPC_BYTES_MAX];
			struct ipc_msg m;
			size_t n = ipc_encode(&both[i].m, sides[j], both[i].fd,
					      buf);

			assert_true(n > 0);
			assert_true(ipc_decode(&m, sides[1 - j], both[i].fd,
					       buf, n));
			assert_memory_equal(&m, &both[i].m, sizeof(m));
			assert_false(
				ipc_decode(&m, sides[j], !both[i].fd, buf, n));
		}
	}
}

static void test_unknown_types(void **state)
{
	struct ipc_msg m = {.type = IPC_TYPE_NUM};
	uint8_t buf[IPC_BYTES_MAX];

	assert_int_equal(ipc_encode(&m, SUP, false, buf), 0);
	for (unsigned int type = 0; type < 65536; type++) {
		if (type > IPC_NONE && type < IPC_TYPE_NUM)
			continue;
		buf[0] = (uint8_t)type;
		buf[1] = (uint8_t)(type >> 8);
		assert_false(ipc_decode(&m, SUP, false, buf, 2));
		assert_false(ipc_decode(&m, WRK, false, buf, 2));
	}
}

static void test_positive_result_is_refused(void **state)
{
	struct ipc_msg m = {.type = IPC_SERVICE, .value = 1};
	uint8_t buf[IPC_BYTES_MAX];

	assert_int_equal(ipc_encode(&m, SUP, false, buf), 0);
	assert_int_equal(ipc_encode(&m, SUP, true, buf), 0);
}

static size_t put_start(uint8_t *buf, const char *name, const char *caller,
			const char *stream)
{
	const char *s[] = {name, caller, stream};
	size_t n = 10;

	memset(buf, 0, n);
	buf[0] = IPC_START;
	for (int i = 0; i < 3; i++) {
		size_t len = strlen(s[i]);

		buf[n++] = (uint8_t)len;
		buf[n++] = (uint8_t)(len >> 8);
		memcpy(buf + n, s[i], len);
		n += len;
	}
	return n;
}

/* What a worker that was taken over might send. */
static void test_hostile_strings(void **state)
{
	static const struct {
		const char *name, *caller, *stream;
		bool ok;
	} rows[] = {
		{"a", "host:0", "x", true},
		{"a/b", "host:0", "x", false},
		{"../a", "host:0", "x", false},
		{"", "host:0", "x", false},
		{"a", "host:", "x", false},
		{"a", "root:0", "x", false},
		{"a", "guest:-1", "x", false},
		{"a", "guest:12345678901", "x", false},
		{"a", "host:0 ", "x", false},
		{"a", "host:0", "", false},
		{"a", "host:0", "x=y", false},
		{"a", "host:0", "x\ny", false},
	};
	char name[VMC_NAME_MAX + 2], stream[IPC_STREAM_MAX + 2];
	uint8_t buf[IPC_BYTES_MAX];
	struct ipc_msg m;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = put_start(buf, rows[i].name, rows[i].caller,
				     rows[i].stream);

		assert_int_equal(ipc_decode(&m, WRK, false, buf, n),
				 rows[i].ok);
	}
	memset(name, 'n', sizeof(name));
	memset(stream, 's', sizeof(stream));
	name[VMC_NAME_MAX] = stream[IPC_STREAM_MAX] = '\0';
	assert_true(ipc_decode(&m, WRK, false, buf,
			       put_start(buf, name, "host:0", stream)));
	name[VMC_NAME_MAX] = 'n';
	name[VMC_NAME_MAX + 1] = '\0';
	assert_false(ipc_decode(&m, WRK, false, buf,
				put_start(buf, name, "host:0", stream)));
	name[VMC_NAME_MAX] = '\0';
	stream[IPC_STREAM_MAX] = 's';
	stream[IPC_STREAM_MAX + 1] = '\0';
	assert_false(ipc_decode(&m, WRK, false, buf,
				put_start(buf, name, "host:0", stream)));
}

static void test_nul_inside(void **state)
{
	uint8_t buf[IPC_BYTES_MAX];
	size_t n = put_start(buf, "abc", "host:0", "x");
	struct ipc_msg m;

	buf[13] = '\0'; /* "a\0c" */
	assert_false(ipc_decode(&m, WRK, false, buf, n));
}

/* ---- over a real pair --------------------------------------------------- */

static void make_pair(int sv[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
}

static int open_count(void)
{
	int n = 0;

	for (int i = 0; i < 64; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static void test_socket(void **state)
{
	struct ipc_msg m = {.type = IPC_LINK};
	int sv[2], fd = -1;

	make_pair(sv);
	assert_int_equal(ipc_recv(sv[1], &m, SUP, &fd), -EAGAIN);
	assert_int_equal(ipc_send(sv[0], &m, SUP, 0), 0);
	memset(&m, 0xff, sizeof(m));
	assert_int_equal(ipc_recv(sv[1], &m, SUP, &fd), 1);
	assert_int_equal(m.type, IPC_LINK);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	close(sv[0]);
	assert_int_equal(ipc_recv(sv[1], &m, SUP, &fd), 0);
	close(sv[1]);
}

static void send_raw(int sock, const void *p, size_t n, const int *fds,
		     size_t n_fds)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} c = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&c.h), fds, n_fds * sizeof(int));
		mh.msg_control = &c;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &mh, 0), n);
}

/* Wrong packets are refused and no descriptor of them stays open. */
static void test_socket_hostile(void **state)
{
	static const uint8_t link[2] = {IPC_LINK, 0};
	uint8_t big[IPC_BYTES_MAX + 1] = {IPC_LINK, 0};
	const int fds[] = {0, 1, 2, 0};
	struct ipc_msg m;
	int sv[2], fd = -1, before;

	make_pair(sv);
	before = open_count();
	for (size_t n = 2; n <= 4; n++) {
		send_raw(sv[0], link, sizeof(link), fds, n);
		assert_int_equal(ipc_recv(sv[1], &m, SUP, &fd), -EPROTO);
	}
	send_raw(sv[0], link, sizeof(link), NULL, 0);
	assert_int_equal(ipc_recv(sv[1], &m, SUP, &fd), -EPROTO);
	send_raw(sv[0], big, sizeof(big), fds, 1);
	assert_int_equal(ipc_recv(sv[1], &m, SUP, &fd), -EPROTO);
	send_raw(sv[0], link, sizeof(link), fds, 1);
	assert_int_equal(ipc_recv(sv[1], &m, WRK, &fd), -EPROTO);
	assert_int_equal(open_count(), before);
	assert_int_equal(fd, -1);
	close(sv[0]);
	close(sv[1]);
}

/* A reader that never reads costs an error, not a wait. */
static void test_socket_full(void **state)
{
	struct ipc_msg m = {.type = IPC_LINK_DETAIL};
	int sv[2], r = 0;

	make_pair(sv);
	for (int i = 0; i < 100000 && r == 0; i++)
		r = ipc_send(sv[0], &m, SUP, -1);
	assert_int_equal(r, -EAGAIN);
	close(sv[0]);
	close(sv[1]);
}

/* ---- configuration blob ---------------------------------------------------
 */

static char one[] = "/etc/x.conf", two[] = "";

static uint8_t *make_blob(size_t *len)
{
	static const char rule[] = "connect a guest:1 allow weight=3\n";
	struct service list[] = {
		{.name = "a.b", .max_streams = 1, .origin = one},
		{.name = "c",
		 .max_streams = SERVICE_STREAMS_MAX,
		 .messages = true,
		 .origin = two},
	};
	struct services s = {.list = list, .n = 2};
	struct policy *p;
	uint8_t *blob;
	char err[128];

	assert_int_equal(policy_new(&p, VMC_PRINCIPAL_HOST), 0);
	assert_int_equal(policy_add_text(p, "f", rule, strlen(rule), NULL, err,
					 sizeof(err)),
			 0);
	policy_seal(p);
	blob = config_blob(&s, p, len);
	assert_non_null(blob);
	policy_free(p);
	return blob;
}

static void test_blob(void **state)
{
	struct policy_caller who = {.side = VMC_PRINCIPAL_GUEST, .uid = 1};
	struct policy_verdict v;
	struct services s;
	struct policy *p;
	size_t len;
	uint8_t *blob = make_blob(&len);

	assert_int_equal(config_parse(blob, len, &s, &p), 0);
	free(blob);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.list[0].name, "a.b");
	assert_string_equal(s.list[0].origin, "/etc/x.conf");
	assert_null(s.list[0].argv[0]);
	assert_true(services_find(&s, "c")->messages);
	assert_int_equal(services_find(&s, "c")->max_streams,
			 SERVICE_STREAMS_MAX);
	policy_check(p, POLICY_CONNECT, "a", &who, &v);
	assert_string_equal(v.rule, "f:1");
	assert_int_equal(v.weight, 3);
	policy_check(p, POLICY_CONNECT, "b", &who, &v);
	assert_string_equal(v.rule, "built-in:5"); /* sealed */
	services_done(&s);
	policy_free(p);
}

/* Cut or changed anywhere: refused or read, never more than that. */
static void test_blob_broken(void **state)
{
	struct services s;
	struct policy *p;
	size_t len;
	uint8_t *blob = make_blob(&len);

	for (size_t n = 0; n < len; n++) {
		uint8_t *copy = malloc(n + 1); /* its end is watched */

		memcpy(copy, blob, n);
		if (config_parse(copy, n, &s, &p) == 0) {
			services_done(&s);
			policy_free(p);
		}
		free(copy);
	}
	for (size_t i = 0; i < len * 8; i++) {
		blob[i / 8] ^= (uint8_t)(1u << (i % 8));
		if (config_parse(blob, len, &s, &p) == 0) {
			services_done(&s);
			policy_free(p);
		}
		blob[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	memset(blob, 0xff, 4);
	assert_int_equal(config_parse(blob, len, &s, &p), -EINVAL);
	blob[0] = SERVICES_MAX + 1;
	blob[1] = blob[2] = blob[3] = 0;
	assert_int_equal(config_parse(blob, len, &s, &p), -EINVAL);
	free(blob);
}

/* ---- the supervisor's small tables ------------------------------------------
 */

static void test_children(void **state)
{
	struct children c = {0};

	for (int i = 0; i < 3; i++) {
		assert_int_equal(children_reserve(&c, "a", 3), 0);
		children_add(&c, 100 + i, "a");
	}
	assert_int_equal(children_reserve(&c, "a", 3), -EAGAIN);
	assert_int_equal(children_reserve(&c, "b", 1), 0);
	assert_true(children_remove(&c, 101));
	assert_false(children_remove(&c, 101));
	assert_int_equal(children_reserve(&c, "a", 3), 0);
	for (unsigned int i = 2; i < CHILDREN_MAX; i++) {
		assert_int_equal(children_reserve(&c, "b", CHILDREN_MAX), 0);
		children_add(&c, 1000 + (pid_t)i, "b");
	}
	assert_int_equal(children_reserve(&c, "z", 1), -EAGAIN);
	children_done(&c);
}

/* Whoever reads QEMU's words has three of its own. */
static void test_qmp_says_little(void **state)
{
	for (int type = IPC_NONE; type <= IPC_TYPE_NUM; type++) {
		const struct ipc_msg m = {
			.type = (enum ipc_type)type,
			.name = "org.example.x",
			.caller = "guest:0",
			.stream = "1",
		};
		uint8_t buf[IPC_BYTES_MAX];
		bool may = type == IPC_READY || type == IPC_VM ||
			   type == IPC_MENDED;

		assert_int_equal(ipc_encode(&m, QMP, false, buf) > 0, may);
		assert_int_equal(ipc_encode(&m, QMP, true, buf), 0);
	}
}

static void test_link_backoff(void **state)
{
	static const unsigned int steps[] = {50,  100,  200, 400,
					     800, 1000, 1000};
	struct link_search l;
	uint64_t now = 5000;

	assert_int_equal(link_init(&l, "/no/such/socket"), 0);
	assert_false(l.searching);
	link_begin(&l, now);
	assert_int_equal(l.due_ms, now);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		assert_int_equal(link_try(&l, now), -ENOENT);
		assert_int_equal(l.due_ms, now + steps[i]);
		assert_int_equal(l.last_error, ENOENT);
		now = l.due_ms;
	}
	/* another limit */
	l.max_ms = 3000;
	for (size_t i = 0; i < 4; i++)
		link_try(&l, now);
	assert_int_equal(l.due_ms - now, 3000);
	l.max_ms = LINK_RETRY_MAX_MS;
	link_try(&l, now);
	/* one that lived was real, one that was dropped at once was not */
	l.since_ms = now;
	link_lost(&l, now + LINK_PROVEN_MS - 1);
	assert_int_equal(l.due_ms - now, LINK_PROVEN_MS - 1 + 1000);
	link_lost(&l, now + LINK_PROVEN_MS);
	assert_int_equal(l.due_ms - now, LINK_PROVEN_MS + 50);
}

static void test_link_path(void **state)
{
	struct link_search l;
	char path[sizeof(l.addr.sun_path) + 1];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(link_init(&l, path), -ENAMETOOLONG);
	path[sizeof(path) - 2] = '\0';
	assert_int_equal(link_init(&l, path), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_length_is_exact),
		cmocka_unit_test(test_direction_and_fd),
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_positive_result_is_refused),
		cmocka_unit_test(test_hostile_strings),
		cmocka_unit_test(test_nul_inside),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_socket_hostile),
		cmocka_unit_test(test_socket_full),
		cmocka_unit_test(test_blob),
		cmocka_unit_test(test_blob_broken),
		cmocka_unit_test(test_children),
		cmocka_unit_test(test_qmp_says_little),
		cmocka_unit_test(test_link_backoff),
		cmocka_unit_test(test_link_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
