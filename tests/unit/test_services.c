/* SPDX-License-Identifier: MIT */
/* services.d: files, folders, users, and the process behind a stream. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/conf_dir.h"
#include "broker/service_file.h"
#include "broker/service_spawn.h"
#include "broker/services.h"
#include "broker/users.h"

static char tmp[64];

static int make_tmp(void **state)
{
	snprintf(tmp, sizeof(tmp), "/tmp/vmc-services-XXXXXX");
	return mkdtemp(tmp) ? 0 : -1;
}

static int remove_tmp(void **state)
{
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", tmp);
	return system(cmd);
}

static void put(const char *name, const char *text)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", tmp, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fputs(text, f) < 0, 0);
	fclose(f);
}

static int parse(struct service *s, const char *text, char *err, size_t size)
{
	return service_parse(s, "org.example.x", "x.conf", text, strlen(text),
			     err, size);
}

/* ---- one file --------------------------------------------------------- */

static void test_command(void **state)
{
	struct service s;
	char err[256];

	assert_int_equal(
		parse(&s,
		      "# comment\n; too\n\n[Service]\n"
		      "Command = /bin/echo  \"a b\" c\"d e\"f \"\" \"\\\"\\\\\"\n"
		      "User=nobody\nMaxStreams=256\nMessages=yes\n",
		      err, sizeof(err)),
		0);
	assert_string_equal(s.name, "org.example.x");
	assert_string_equal(s.origin, "x.conf");
	assert_string_equal(s.user, "nobody");
	assert_int_equal(s.max_streams, 256);
	assert_true(s.messages);
	assert_null(s.socket);
	assert_string_equal(s.argv[0], "/bin/echo");
	assert_string_equal(s.argv[1], "a b");
	assert_string_equal(s.argv[2], "cd ef");
	assert_string_equal(s.argv[3], "");
	assert_string_equal(s.argv[4], "\"\\");
	assert_null(s.argv[5]);
	service_clear(&s);
}

static void test_defaults(void **state)
{
	struct service s;
	char err[256];

	assert_int_equal(
		parse(&s, "[Service]\nSocket=/run/x", err, sizeof(err)), 0);
	assert_string_equal(s.socket, "/run/x");
	assert_null(s.argv[0]);
	assert_null(s.user);
	assert_false(s.messages);
	assert_int_equal(s.max_streams, SERVICE_STREAMS_DEFAULT);
	service_clear(&s);
}

static void test_file_errors(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"", "x.conf:1: Command or Socket is missing"},
		{"[Service]\n", "x.conf:1: Command or Socket is missing"},
		{"Command=/a\n", "x.conf:1: expected the section [Service]"},
		{"[Unit]\nCommand=/a\n",
		 "x.conf:1: expected the section [Service]"},
		{"[Service] x\n", "x.conf:1: expected the section [Service]"},
		{"[Service\n", "x.conf:1: expected KEY=VALUE"},
		{"[Service]\n\nComand=/a\n",
		 "x.conf:3: \"Comand\": unknown key; legal are Command, "
		 "Socket, User, MaxStreams, Messages"},
		{"[Service]\ncommand=/a\n",
		 "x.conf:2: \"command\": unknown key; legal are Command, "
		 "Socket, User, MaxStreams, Messages"},
		{"[Service]\nnonsense\n", "x.conf:2: expected KEY=VALUE"},
		{"[Service]\nCommand=a b\n",
		 "x.conf:2: Command: \"a\" must begin with / (there is no "
		 "search path)"},
		{"[Service]\nCommand=\n",
		 "x.conf:2: Command: the command is empty"},
		{"[Service]\nCommand=/a \"b\n",
		 "x.conf:2: Command: a double quote is not closed"},
		{"[Service]\nCommand=/a \"b\\\"\n",
		 "x.conf:2: Command: a double quote is not closed"},
		{"[Service]\nCommand=/a\nCommand=/b\n",
		 "x.conf:3: Command is given twice"},
		{"[Service]\nCommand=/a\n  --more\n",
		 "x.conf:3: remove the space at the beginning of the line"},
		{"[Service]\nCommand=/a ; b\n",
		 "x.conf:2: \" ;\" would start a comment; put it in a script"},
		{"[Service]\nCommand=/a\r\n",
		 "x.conf:2: carriage return; save the file with Unix line "
		 "ends"},
		{"[Service]\nCommand=/a\nSocket=/b\n",
		 "x.conf:3: Command and Socket exclude each other"},
		{"[Service]\nSocket=/b\nUser=u\n",
		 "x.conf:3: User means nothing with Socket; remove it"},
		{"[Service]\nSocket=b\n",
		 "x.conf:2: Socket: \"b\" must begin with /"},
		{"[Service]\nCommand=/a\nUser=a b\n",
		 "x.conf:3: User: expected a user's name or number"},
		{"[Service]\nCommand=/a\nUser=\n",
		 "x.conf:3: User: expected a user's name or number"},
		{"[Service]\nCommand=/a\nMaxStreams=0\n",
		 "x.conf:3: MaxStreams: \"0\": expected 1..256"},
		{"[Service]\nCommand=/a\nMaxStreams=257\n",
		 "x.conf:3: MaxStreams: \"257\": expected 1..256"},
		{"[Service]\nCommand=/a\nMaxStreams=99999\n",
		 "x.conf:3: MaxStreams: \"99999\": expected 1..256"},
		{"[Service]\nCommand=/a\nMaxStreams=-1\n",
		 "x.conf:3: MaxStreams: \"-1\": expected 1..256"},
		{"[Service]\nCommand=/a\nMaxStreams=\n",
		 "x.conf:3: MaxStreams: \"\": expected 1..256"},
		{"[Service]\nCommand=/a\nMessages=true\n",
		 "x.conf:3: Messages: \"true\": expected yes or no"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct service s = {.name = "untouched"};
		char err[256] = "";

		assert_int_equal(parse(&s, rows[i].text, err, sizeof(err)),
				 -EINVAL);
		assert_string_equal(err, rows[i].error);
		assert_string_equal(s.name, "untouched");
	}
}

static void test_nul_byte(void **state)
{
	static const char text[] = "[Service]\nCommand=/a\0b\n";
	struct service s;
	char err[256];

	assert_int_equal(service_parse(&s, "x", "f", text, sizeof(text) - 1,
				       err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err, "f:2: a NUL byte is not allowed here");
}

/* inih would cut the line and read the rest as another one. */
static void test_long_line(void **state)
{
	struct service s;
	char text[1024] = "[Service]\nCommand=/", err[256];
	size_t head = strlen(text), fits = 0;

	for (size_t n = 1; n < 600; n++) {
		memset(text + head, 'x', n);
		text[head + n] = '\0';
		if (parse(&s, text, err, sizeof(err)) < 0)
			break;
		assert_int_equal(strlen(s.argv[0]), n + 1);
		service_clear(&s);
		fits = n;
	}
	assert_true(fits > 100);
	assert_non_null(strstr(err, "x.conf:2: the line is longer than "));
}

static void test_argument_limit(void **state)
{
	char *argv[SERVICE_ARGS_MAX + 1];
	char text[2 * SERVICE_ARGS_MAX + 3];

	for (size_t i = 0; i <= SERVICE_ARGS_MAX; i++)
		memcpy(text + 2 * i, "a ", 3);
	assert_string_equal(service_split(argv, text),
			    "more than 32 words; use a script");
	assert_null(argv[0]);
	text[2 * (size_t)SERVICE_ARGS_MAX] = '\0';
	assert_null(service_split(argv, text));
	assert_string_equal(argv[SERVICE_ARGS_MAX - 1], "a");
	assert_null(argv[SERVICE_ARGS_MAX]);
	free(argv[0]);
}

static void test_socket_length(void **state)
{
	char text[200] = "[Service]\nSocket=/", err[256];
	size_t head = strlen(text);
	struct service s;

	memset(text + head, 'x', 106); /* 107 and the NUL is sun_path */
	assert_int_equal(parse(&s, text, err, sizeof(err)), 0);
	service_clear(&s);
	memset(text + head, 'x', 107);
	assert_int_equal(parse(&s, text, err, sizeof(err)), -EINVAL);
	assert_string_equal(
		err, "x.conf:2: Socket: the path is longer than 107 bytes");
}

/* ---- folders ----------------------------------------------------------- */

static int load(struct services *s, const char *a, const char *b, char *err,
		size_t size)
{
	char one[128], two[128];
	const char *dirs[] = {one, two, NULL};

	snprintf(one, sizeof(one), "%s/%s", tmp, a);
	snprintf(two, sizeof(two), "%s/%s", tmp, b);
	return services_load(s, dirs, err, size);
}

static void test_folders(void **state)
{
	struct services s = {0};
	char err[512], dir[96];

	snprintf(dir, sizeof(dir), "%s/a", tmp);
	mkdir(dir, 0700);
	snprintf(dir, sizeof(dir), "%s/b", tmp);
	mkdir(dir, 0700);
	put("a/one.conf", "[Service]\nCommand=/a/one\n");
	put("a/.hidden.conf", "nonsense");
	put("a/other.txt", "nonsense");
	put("b/one.conf", "[Service]\nnonsense is not even read\n");
	put("b/two.conf", "[Service]\nCommand=/b/two\n");
	assert_int_equal(load(&s, "a", "b", err, sizeof(err)), 0);
	assert_int_equal(s.n, 2);
	assert_string_equal(services_find(&s, "one")->argv[0], "/a/one");
	assert_string_equal(services_find(&s, "two")->argv[0], "/b/two");
	assert_null(services_find(&s, "three"));

	/* an error leaves the old table alone */
	put("b/bad..name.conf", "[Service]\nCommand=/x\n");
	assert_int_equal(load(&s, "a", "b", err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "/b/bad..name.conf:1: \"bad..name\" is not "
				    "a channel name; rename the file"));
	assert_int_equal(s.n, 2);
	services_done(&s);

	/* folders that are not there hold nothing */
	assert_int_equal(load(&s, "no", "none", err, sizeof(err)), 0);
	assert_int_equal(s.n, 0);
	services_done(&s);
}

static void test_service_limit(void **state)
{
	struct services s = {0};
	char name[64], err[512], dir[96];

	snprintf(dir, sizeof(dir), "%s/many", tmp);
	mkdir(dir, 0700);
	for (int i = 0; i < SERVICES_MAX; i++) {
		snprintf(name, sizeof(name), "many/s%03d.conf", i);
		put(name, "[Service]\nCommand=/x\n");
	}
	assert_int_equal(load(&s, "many", "no", err, sizeof(err)), 0);
	assert_int_equal(s.n, SERVICES_MAX);
	services_done(&s);
	put("many/zzz.conf", "[Service]\nCommand=/x\n");
	assert_int_equal(load(&s, "many", "no", err, sizeof(err)), -E2BIG);
	assert_non_null(strstr(err, "/zzz.conf:1: more than 64 services"));
}

static void test_file_kinds(void **state)
{
	static char big[SERVICE_FILE_MAX + 2];
	struct services s = {0};
	char err[512], path[96];

	snprintf(path, sizeof(path), "%s/odd", tmp);
	mkdir(path, 0700);
	memset(big, '\n', SERVICE_FILE_MAX + 1);
	memcpy(big, "[Service]\nCommand=/x", 20);
	put("odd/big.conf", big);
	assert_int_equal(load(&s, "odd", "no", err, sizeof(err)), -EFBIG);
	assert_non_null(strstr(err, "/big.conf:1: the file is too big"));
	big[SERVICE_FILE_MAX] = '\0';
	put("odd/big.conf", big);
	assert_int_equal(load(&s, "odd", "no", err, sizeof(err)), 0);
	services_done(&s);

	snprintf(path, sizeof(path), "%s/odd/fifo.conf", tmp);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(load(&s, "odd", "no", err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "/fifo.conf:1: not a regular file"));
}

static void test_policy_folder(void **state)
{
	struct policy_caller who = {.side = VMC_PRINCIPAL_GUEST};
	char err[512], dir[96];
	const char *dirs[] = {dir, NULL};
	struct policy_verdict v;
	struct policy *p = NULL;

	snprintf(dir, sizeof(dir), "%s/p", tmp);
	mkdir(dir, 0700);
	put("p/20-b.conf", "connect a * allow\n");
	put("p/10-a.conf", "connect a guest:0 deny\n");
	assert_int_equal(policy_load(&p, VMC_PRINCIPAL_HOST, dirs,
				     group_resolve_files, err, sizeof(err)),
			 0);
	policy_check(p, POLICY_CONNECT, "a", &who, &v);
	assert_false(v.allowed);
	assert_non_null(strstr(v.rule, "/p/10-a.conf:1"));
	policy_check(p, POLICY_CONNECT, "zz", &who, &v);
	assert_string_equal(v.rule, "built-in:5");
	policy_free(p);

	put("p/30-c.conf", "\n\nconnect a\n");
	assert_int_equal(policy_load(&p, VMC_PRINCIPAL_HOST, dirs,
				     group_resolve_files, err, sizeof(err)),
			 -EINVAL);
	assert_non_null(strstr(err, "/p/30-c.conf:3: expected"));
}

/* ---- users ------------------------------------------------------------- */

static void test_users(void **state)
{
	char passwd[96], group[96];
	struct user_ids ids;
	gid_t gid = 0;

	put("passwd", "root:x:0:0:root:/root:/bin/sh\n"
		      "broken line\n"
		      "bad:x:-1:0::/:/bin/sh\n"
		      "ann:x:1000:100:Ann,,,:/home/ann:/bin/sh\n"
		      "off:x:4294967295:1::/:/bin/sh\n"
		      "short:x:7:7\n");
	put("group", "users:x:100:ann\n"
		     "audio:x:29:bob,ann\n"
		     "video:x:44:annie,xann\n"
		     "adm:x:4:ann\n"
		     "empty:x:9:\n");
	snprintf(passwd, sizeof(passwd), "%s/passwd", tmp);
	snprintf(group, sizeof(group), "%s/group", tmp);

	assert_int_equal(user_resolve_in(&ids, "ann", passwd, group), 0);
	assert_int_equal(ids.uid, 1000);
	assert_int_equal(ids.gid, 100);
	assert_string_equal(ids.home, "/home/ann");
	assert_int_equal(ids.n_groups, 3);
	assert_int_equal(ids.groups[0], 100);
	assert_int_equal(ids.groups[1], 29);
	assert_int_equal(ids.groups[2], 4);

	assert_int_equal(user_resolve_in(&ids, "1000", passwd, group), 0);
	assert_string_equal(ids.name, "ann");
	assert_int_equal(user_resolve_in(&ids, "4711", passwd, group), 0);
	assert_int_equal(ids.uid, 4711);
	assert_int_equal(ids.gid, 4711);
	assert_int_equal(ids.n_groups, 1);
	assert_string_equal(ids.home, "/");
	assert_int_equal(user_resolve_in(&ids, "4711", "/no/such", group), 0);

	assert_int_equal(user_resolve_in(&ids, "bob", passwd, group), -ENOENT);
	assert_int_equal(user_resolve_in(&ids, "bad", passwd, group), -ENOENT);
	assert_int_equal(user_resolve_in(&ids, "off", passwd, group), -ENOENT);
	assert_int_equal(user_resolve_in(&ids, "short", passwd, group),
			 -ENOENT);
	assert_int_equal(user_resolve_in(&ids, "4294967295", passwd, group),
			 -ENOENT);

	assert_true(group_resolve_in("audio", &gid, group));
	assert_int_equal(gid, 29);
	assert_false(group_resolve_in("audi", &gid, group));
}

static void test_group_limit(void **state)
{
	char passwd[96], group[96];
	struct user_ids ids;
	FILE *f;

	put("passwd2", "ann:x:1000:100::/:\n");
	snprintf(passwd, sizeof(passwd), "%s/passwd2", tmp);
	snprintf(group, sizeof(group), "%s/group2", tmp);
	f = fopen(group, "we");
	assert_non_null(f);
	for (int i = 0; i < USER_GROUPS_MAX + 5; i++)
		fprintf(f, "g%d:x:%d:ann\n", i, 2000 + i);
	fclose(f);
	assert_int_equal(user_resolve_in(&ids, "ann", passwd, group), 0);
	assert_int_equal(ids.n_groups, USER_GROUPS_MAX);
}

/* ---- processes ----------------------------------------------------------- */

/* Reads until the end; the service's process has 10 s. */
static size_t slurp(int fd, char *buf, size_t size)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t r;

		assert_int_equal(poll(&p, 1, 10000), 1);
		r = read(fd, buf + n, size - 1 - n);
		assert_true(r >= 0);
		if (r == 0)
			break;
		n += (size_t)r;
	}
	buf[n] = '\0';
	return n;
}

static struct service command(const char *text)
{
	struct service s = {.name = "org.example.x"};

	assert_null(service_split(s.argv, text));
	return s;
}

static void test_spawn(void **state)
{
	struct service s = command(
		"/bin/sh -c \"read x; echo got $x; echo $VMCHANNEL_CHANNEL "
		"$VMCHANNEL_CALLER $VMCHANNEL_STREAM; ls /proc/$$/fd\"");
	char buf[1024];
	int pid, fd, status;

	assert_int_equal(dup2(2, 99), 99); /* not close-on-exec, on purpose */
	fd = service_spawn(&s, "guest:7", "i-1", &pid);
	close(99);
	assert_true(fd >= 0);
	assert_true(pid > 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(write(fd, "hello\n", 6), 6);
	shutdown(fd, SHUT_WR);
	slurp(fd, buf, sizeof(buf));
	assert_string_equal(buf, "got hello\norg.example.x guest:7 i-1\n"
				 "0\n1\n2\n");
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	service_clear(&s);
}

static void test_spawn_environment(void **state)
{
	struct service s = command("/usr/bin/env");
	char buf[4096];
	int pid, fd;

	setenv("NOTIFY_SOCKET", "/run/secret", 1);
	setenv("LANG", "C.UTF-8", 1);
	fd = service_spawn(&s, "host:0", "i-2", &pid);
	assert_true(fd >= 0);
	slurp(fd, buf, sizeof(buf));
	assert_null(strstr(buf, "NOTIFY_SOCKET"));
	assert_non_null(strstr(buf, "LANG=C.UTF-8\n"));
	assert_non_null(strstr(buf, "PATH=/usr/local/sbin:"));
	close(fd);
	waitpid(pid, NULL, 0);
	service_clear(&s);
}

/* Signals 32 and 33 are the C library's: its posix_spawn() leaves them ignored
 * in whatever make starts, and nobody can set them through it. */
#define LIBC_SIGNALS UINT64_C(0x180000000)

/* A blocked or ignored signal of the broker is not the service's. */
static void test_spawn_signals(void **state)
{
	struct service s = command("/bin/grep Sig.*: /proc/self/status");
	char buf[1024], *ignored;
	sigset_t set, old;
	int pid, fd;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	fd = service_spawn(&s, "host:0", "i", &pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_true(fd >= 0);
	slurp(fd, buf, sizeof(buf));
	assert_non_null(strstr(buf, "SigBlk:\t0000000000000000"));
	ignored = strstr(buf, "SigIgn:\t");
	assert_non_null(ignored);
	assert_int_equal(strtoull(ignored + 8, NULL, 16) & ~LIBC_SIGNALS, 0);
	close(fd);
	waitpid(pid, NULL, 0);
	service_clear(&s);
}

static int fake_user(struct user_ids *ret, const char *user)
{
	static const struct user_ids ids = {
		.uid = 54321,
		.gid = 54322,
		.groups = {54322, 54323},
		.n_groups = 2,
		.name = "fake",
		.home = "/nowhere",
	};

	if (strcmp(user, "fake") != 0)
		return -ENOENT;
	*ret = ids;
	return 0;
}

static void test_spawn_user(void **state)
{
	struct service s = command("/bin/sh -c \"id -u; id -g; id -G; echo "
				   "$HOME $USER\"");
	char user[] = "fake", nobody[] = "fakes";
	char buf[256];
	int pid = -7, fd;

	s.user = nobody;
	assert_int_equal(service_spawn_as(&s, "host:0", "i", fake_user, &pid),
			 -ENOENT);
	s.user = user;
	fd = service_spawn_as(&s, "host:0", "i", fake_user, &pid);
	s.user = NULL;
	if (geteuid() != 0) {
		assert_int_equal(fd, -EPERM); /* told, not ignored */
		assert_int_equal(pid, -7);
		service_clear(&s);
		return;
	}
	assert_true(fd >= 0);
	slurp(fd, buf, sizeof(buf));
	assert_string_equal(buf, "54321\n54322\n54322 54323\n/nowhere fake\n");
	close(fd);
	waitpid(pid, NULL, 0);
	service_clear(&s);
}

static void test_spawn_failure(void **state)
{
	struct service s = command("/no/such/program");
	int pid = -7;

	assert_int_equal(service_spawn(&s, "host:0", "i", &pid), -ENOENT);
	assert_int_equal(pid, -7);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none left over */
	service_clear(&s);
}

static void test_socket_service(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct service s = {.name = "x"};
	int ls, fd, peer, pid = -7;
	char c;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/sock", tmp);
	s.socket = sa.sun_path;
	assert_int_equal(service_spawn(&s, "host:0", "i", &pid), -ENOENT);
	assert_int_equal(pid, -7);
	ls = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(ls, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(ls, 1), 0);
	fd = service_spawn(&s, "host:0", "i", &pid);
	assert_true(fd >= 0);
	assert_int_equal(pid, 0);
	peer = accept(ls, NULL, NULL);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(read(peer, &c, 1), 1);
	close(fd);
	close(peer);
	close(ls);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_file_errors),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_argument_limit),
		cmocka_unit_test(test_socket_length),
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_service_limit),
		cmocka_unit_test(test_file_kinds),
		cmocka_unit_test(test_policy_folder),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_group_limit),
		cmocka_unit_test(test_spawn),
		cmocka_unit_test(test_spawn_environment),
		cmocka_unit_test(test_spawn_signals),
		cmocka_unit_test(test_spawn_user),
		cmocka_unit_test(test_spawn_failure),
		cmocka_unit_test(test_socket_service),
	};

	return cmocka_run_group_tests(tests, make_tmp, remove_tmp);
}
