/* SPDX-License-Identifier: MIT */
/*
 * The worker's sandbox, tried from inside: each case is a child that enters
 * it and then does one thing. What must not work must kill the child (SIGSYS)
 * or be refused; what the worker needs must go on working.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/bus.h"
#include "host/ipc.h"
#include "host/sandbox.h"
#include "host/vm_watch.h"

/* A case's answer, as exit status. */
#define WORKED  0
#define REFUSED 7
#define BROKEN  8 /* the sandbox itself could not be entered */

static enum sandbox_who who = SANDBOX_WORKER;
static void *shared;
static int qemu[2];    /* the bus's end and QEMU's */
static int pair[2];    /* inherited, connected */
static int listener;   /* inherited, listening */
static char path[108]; /* its name */
static uid_t my_uid;

static int result(long r)
{
	return r < 0 ? REFUSED : WORKED;
}

/* ---- what must not work -------------------------------------------------- */

static int do_open(void)
{
	return result(open("/etc/passwd", O_RDONLY));
}

static int do_create(void)
{
	return result(
		open("/tmp/vmc-sandbox-escape", O_CREAT | O_WRONLY, 0600));
}

static int do_openat2(void)
{
	return result(syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0));
}

static int do_stat(void)
{
	struct stat st;

	return result(stat("/etc/passwd", &st));
}

static int do_unlink(void)
{
	return result(unlink(path));
}

static int do_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int do_connect(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	memcpy(sa.sun_path, path, sizeof(path));
	return result(connect(pair[0], (struct sockaddr *)&sa, sizeof(sa)));
}

static int do_bind(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	return result(
		bind(pair[0], (struct sockaddr *)&sa, sizeof(sa_family_t)));
}

static int do_fork(void)
{
	return result(fork());
}

static int do_vfork(void)
{
	return result(syscall(SYS_vfork));
}

static int do_exec(void)
{
	char *argv[] = {NULL};

	return result(execve("/bin/true", argv, argv));
}

static int do_ptrace(void)
{
	return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int do_kill(void)
{
	return result(kill(getppid(), 0));
}

static int do_tgkill_other(void)
{
	return result(syscall(SYS_tgkill, getpid() - 1, getpid() - 1, 0));
}

static int do_vm_read(void)
{
	return result(
		syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int do_mmap_exec(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
		       ? REFUSED
		       : WORKED;
}

static int do_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int do_setuid(void)
{
	return result(setuid(0));
}

static int do_unshare(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int do_prctl(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int do_ioctl_tty(void)
{
	char c = 'x';

	return result(ioctl(0, TIOCSTI, &c));
}

static int do_fcntl_owner(void)
{
	return result(fcntl(pair[0], F_SETOWN, getpid()));
}

static int do_add_seals(void)
{
	return result(fcntl(pair[0], F_ADD_SEALS, F_SEAL_WRITE));
}

static int do_sockopt_ip(void)
{
	int one = 1;

	return result(setsockopt(pair[0], 6, 1, &one, sizeof(one)));
}

static int do_socketpair_inet(void)
{
	int sv[2];

	return result(socketpair(AF_INET, SOCK_STREAM, 0, sv));
}

static int do_io_uring(void)
{
	return result(syscall(SYS_io_uring_setup, 1, NULL));
}

static int do_bpf(void)
{
	return result(syscall(SYS_bpf, 0, NULL, 0));
}

static int do_memfd(void)
{
	return result(memfd_create("x", 0));
}

static int do_userfault(void)
{
	return result(syscall(SYS_userfaultfd, 0));
}

#ifdef __x86_64__
/* The same calls by their 32-bit numbers. */
static int do_int80(void)
{
	long r;

	/* open("/", O_RDONLY) is 5 there */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(5), "b"(0), "c"(0));
	return result(r);
}

static int do_x32(void)
{
	return result(syscall(0x40000000 | SYS_getppid));
}
#endif

/* clang-format off */
#define FORBIDDEN(X)                                                          \
	X(open)                                                               \
	X(create)                                                             \
	X(openat2) X(stat) X(unlink) X(socket) X(connect) X(bind) X(fork)     \
		X(vfork) X(exec) X(ptrace) X(kill) X(tgkill_other) X(vm_read) \
			X(mmap_exec) X(mprotect_exec) X(setuid) X(unshare)    \
				X(prctl) X(ioctl_tty) X(fcntl_owner) X(add_seals) \
					X(sockopt_ip) X(socketpair_inet)      \
						X(io_uring) X(bpf) X(memfd)   \
							X(userfault)
/* clang-format on */

static const struct {
	const char *name;
	int (*run)(void);
} forbidden[] = {
#define X(name) {#name, do_##name},
	FORBIDDEN(X)
#undef X
#ifdef __x86_64__
		{"int80", do_int80},
	{"x32", do_x32},
#endif
};

static int do_epoll(void)
{
	return result(epoll_create1(0));
}

static int do_timerfd(void)
{
	return result(timerfd_create(CLOCK_MONOTONIC, 0));
}

static int do_socketpair(void)
{
	int sv[2];

	return result(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
}

static int do_fionread(void)
{
	int n;

	return result(ioctl(pair[0], FIONREAD, &n));
}

static int do_read(void)
{
	char c;

	return result((int)read(pair[0], &c, 1));
}

static int (*const workers[])(void) = {
	do_epoll, do_timerfd, do_socketpair, do_fionread, do_read,
};

/* ---- what the worker needs ------------------------------------------------
 */

static int do_accept(void)
{
	return result(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
}

static int do_getrandom(void)
{
	char c;

	return result((int)getrandom(&c, 1, 0));
}

static int do_getsockopt(void)
{
	struct ucred u;
	socklen_t len = sizeof(u);

	return result(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &u, &len));
}

static bool can_accept(void)
{
	struct ucred u;
	socklen_t len = sizeof(u);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	/* The parent's own ids, not "nobody's". */
	return fd >= 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) == 0 &&
	       u.uid == my_uid && u.pid > 0;
}

static bool can_receive_fd(void)
{
	struct ipc_msg m;
	int fd = -1;

	return ipc_recv(pair[0], &m, IPC_FROM_SUPERVISOR, &fd) == 1 &&
	       fd >= 0 && write(fd, "", 0) == 0;
}

static bool can_wait(void)
{
	struct epoll_event ev = {.events = EPOLLIN}, out;
	struct pollfd p = {.fd = pair[0], .events = POLLOUT};
	int inner = epoll_create1(EPOLL_CLOEXEC);

	return inner >= 0 && epoll_ctl(inner, EPOLL_CTL_ADD, 0, &ev) != -2 &&
	       epoll_wait(inner, &out, 1, 0) >= 0 && poll(&p, 1, 0) == 1;
}

static bool can_allocate(void)
{
	struct timespec ts;
	uint8_t entropy[32];
	char *big = malloc(8u << 20);
	char *p = big ? realloc(big, 16u << 20) : NULL;

	if (!p)
		return false;
	memset(p, 1, 16u << 20);
	free(p);
	return getrandom(entropy, sizeof(entropy), 0) ==
		       (ssize_t)sizeof(entropy) &&
	       clock_gettime(CLOCK_MONOTONIC, &ts) == 0 && getpid() > 0;
}

static int do_needed(void)
{
	if (!can_accept())
		return 10;
	if (!can_receive_fd())
		return 11;
	if (!can_wait())
		return 12;
	return can_allocate() ? WORKED : 13;
}

/* All that sd-bus does with a connection: the greeting, a message, the end. */
static bool serves_qemu(void)
{
	char answer[512];
	struct iovec iov = {.iov_base = answer, .iov_len = sizeof(answer)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct bus b;
	bool ok;

	bus_init(&b, shared);
	if (bus_connect(&b, qemu[0]) < 0)
		return false;
	for (uint64_t i = 1; i < 10; i++)
		bus_turn(&b, i);
	ok = b.conn && b.n.refused == 1 &&
	     recvmsg(qemu[1], &mh, MSG_DONTWAIT) > 100;
	shutdown(qemu[1], SHUT_RDWR);
	bus_turn(&b, 10);
	ok = ok && !b.conn;
	bus_done(&b);
	return ok;
}

static int do_needed_by_the_bus(void)
{
	struct pollfd p = {.fd = pair[0], .events = POLLOUT};
	uint8_t id[16];
	struct stat st;
	void *big;

	if (!can_accept())
		return 10;
	if (!can_receive_fd())
		return 11;
	if (poll(&p, 1, 0) != 1 ||
	    getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id) ||
	    fstat(pair[0], &st) < 0)
		return 12;
	big = malloc(2u << 20);
	if (!big)
		return 13;
	memset(big, 1, 2u << 20);
	free(big);
	if (madvise(shared, 4096, MADV_REMOVE) < 0)
		return 14;
	return serves_qemu() ? WORKED : 15;
}

/* A line of QEMU's, and an answer to the supervisor. */
static int do_needed_by_qmp(void)
{
	const struct ipc_msg ready = {.type = IPC_READY};
	struct ipc_msg m;
	int fd = -1;
	struct pollfd p = {.fd = pair[0], .events = POLLOUT};
	struct vm_watch w;
	struct timespec ts;
	size_t len;
	ssize_t n;
	const char *out;

	if (ipc_recv(pair[0], &m, IPC_FROM_SUPERVISOR, &fd) != 1 ||
	    poll(&p, 1, 0) != 1)
		return 10;
	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		return 11;
	vm_watch_init(&w, 0);
	n = recv(qemu[0], qmp_watch_room(&w.qmp), QMP_READ_STEP, 0);
	if (n <= 0 || vm_watch_input(&w, (size_t)n, 0) < 0)
		return 12;
	out = qmp_watch_output(&w.qmp, &len);
	if (send(qemu[0], out, len, MSG_NOSIGNAL) != (ssize_t)len)
		return 13;
	vm_watch_done(&w);
	return ipc_send(pair[0], &ready, IPC_FROM_QMP, -1) == 0 ? WORKED : 14;
}

/* A limit the kernel keeps: one descriptor more than allowed. */
static int do_too_many_files(void)
{
	unsigned int n = 0;
	int sv[2];

	while (n <= SANDBOX_FILES_MAX &&
	       socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0)
		n += 2;
	return n <= SANDBOX_FILES_MAX && errno == EMFILE ? REFUSED : WORKED;
}

static int do_too_much_memory(void)
{
	static const size_t most[SANDBOX_WHO_NUM] = {
		[SANDBOX_WORKER] = SANDBOX_DATA_MAX,
		[SANDBOX_BUS] = SANDBOX_BUS_DATA_MAX,
		[SANDBOX_QMP] = SANDBOX_QMP_DATA_MAX,
	};

	return malloc(most[who] + 4096) ? WORKED : REFUSED;
}

static int do_abort(void)
{
	abort();
}

/* ---- running one ------------------------------------------------------------
 */

static const struct sandbox_user nobody = {false, 0, 0};

static int run_as(const struct sandbox_user *user, int (*what)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		char missing[256];

		_exit(sandbox_enter(who, user, missing, sizeof(missing)) < 0
			      ? BROKEN
			      : what());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int run(int (*what)(void))
{
	return run_as(&nobody, what);
}

static void check_forbidden(const struct sandbox_user *user)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		int status = run_as(user, forbidden[i].run);
		bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
		bool refused =
			WIFEXITED(status) && WEXITSTATUS(status) == REFUSED;

		if (!killed && !refused)
			fail_msg("%s: wait status 0x%x", forbidden[i].name,
				 (unsigned int)status);
	}
}

static void test_forbidden(void **state)
{
	check_forbidden(&nobody);
}

/* The same, and what only the worker may. */
static void check_forbidden_to_others(enum sandbox_who other)
{
	who = other;
	check_forbidden(&nobody);
	for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
		int status = run(workers[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("case %zu: wait status 0x%x", i,
				 (unsigned int)status);
	}
}

static void test_forbidden_to_the_bus(void **state)
{
	check_forbidden_to_others(SANDBOX_BUS);
}

/* And what only the bus process may. */
static void test_forbidden_to_qmp(void **state)
{
	static int (*const others[])(void) = {do_accept, do_getrandom,
					      do_getsockopt};

	check_forbidden_to_others(SANDBOX_QMP);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(WTERMSIG(run(others[i])), SIGSYS);
}

/* Most are not merely refused: the process that tries is not ours any more. */
static void test_killed(void **state)
{
	static int (*const deadly[])(void) = {
		do_fork, do_exec,   do_connect,   do_socket, do_ptrace,
		do_kill, do_setuid, do_mmap_exec, do_unlink,
	};

	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
		int status = run(deadly[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("case %zu: wait status 0x%x", i,
				 (unsigned int)status);
	}
}

static int connect_listener(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, path, sizeof(path));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void check_needed(int (*what)(void))
{
	const struct ipc_msg m = {.type = IPC_LINK};
	int client = connect_listener();
	int status;

	assert_int_equal(ipc_send(pair[1], &m, IPC_FROM_SUPERVISOR, 2), 0);
	status = run(what);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), WORKED);
	close(client);
}

static void test_needed(void **state)
{
	check_needed(do_needed);
}

static void test_needed_by_the_bus(void **state)
{
	static const char auth[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	/* a call of a method Ping of "/", without arguments */
	static const uint8_t ping[] = {
		'l', 1, 0,   1, 0, 0, 0, 0, 1,   0,   0,   0,   0x1d, 0, 0, 0,
		1,   1, 'o', 0, 1, 0, 0, 0, '/', 0,   0,   0,   0,    0, 0, 0,
		3,   1, 's', 0, 4, 0, 0, 0, 'P', 'i', 'n', 'g', 0,    0, 0, 0,
	};

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, qemu), 0);
	assert_int_equal(send(qemu[1], auth, sizeof(auth) - 1, 0),
			 sizeof(auth) - 1);
	assert_int_equal(send(qemu[1], ping, sizeof(ping), 0), sizeof(ping));
	who = SANDBOX_BUS;
	check_needed(do_needed_by_the_bus);
}

static void test_needed_by_qmp(void **state)
{
	static const char greeting[] = "{\"QMP\": {}}\n";
	const struct ipc_msg look = {.type = IPC_LOOK};
	int status;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, qemu), 0);
	assert_int_equal(send(qemu[1], greeting, sizeof(greeting) - 1, 0),
			 sizeof(greeting) - 1);
	assert_int_equal(ipc_send(pair[1], &look, IPC_FROM_SUPERVISOR, -1), 0);
	json_object_seed(0);
	who = SANDBOX_QMP;
	status = run(do_needed_by_qmp);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), WORKED);
}

static void test_memory_of_qmp(void **state)
{
	who = SANDBOX_QMP;
	assert_int_equal(WEXITSTATUS(run(do_too_much_memory)), REFUSED);
}

static void test_memory_of_the_bus(void **state)
{
	int status;

	who = SANDBOX_BUS;
	status = run(do_too_much_memory);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), REFUSED);
}

static void test_limits(void **state)
{
	int status = run(do_too_many_files);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), REFUSED);
	status = run(do_too_much_memory);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), REFUSED);
}

/* An assertion ends with SIGABRT, so that the log tells it from an attack. */
static void test_abort(void **state)
{
	int status = run(do_abort);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- what the kernel says about the process
 * ----------------------------------- */

static int status_pipe[2];

static int do_sleep(void)
{
	char c;

	(void)!write(status_pipe[1], "x", 1);
	(void)!read(pair[0], &c, 1);
	return WORKED;
}

static char *read_status(pid_t pid, char *buf, size_t size)
{
	char name[64];
	FILE *f;
	size_t n;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	f = fopen(name, "re");
	assert_non_null(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
	return buf;
}

static void check_status(const struct sandbox_user *user)
{
	char buf[8192], missing[256], c;
	pid_t pid;

	assert_int_equal(pipe(status_pipe), 0);
	pid = fork();
	if (pid == 0)
		_exit(sandbox_enter(who, user, missing, sizeof(missing)) < 0
			      ? BROKEN
			      : do_sleep());
	close(status_pipe[1]);
	assert_int_equal(read(status_pipe[0], &c, 1), 1);
	close(status_pipe[0]);
	read_status(pid, buf, sizeof(buf));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_non_null(strstr(buf, "NoNewPrivs:\t1"));
	assert_non_null(strstr(buf, "Seccomp:\t2"));
	assert_non_null(strstr(buf, "CapInh:\t0000000000000000"));
	assert_non_null(strstr(buf, "CapPrm:\t0000000000000000"));
	assert_non_null(strstr(buf, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(buf, "CapAmb:\t0000000000000000"));
	if (geteuid() == 0)
		assert_non_null(strstr(buf, "CapBnd:\t0000000000000000"));
	if (user->change) {
		assert_non_null(
			strstr(buf, "Uid:\t54321\t54321\t54321\t54321"));
		assert_non_null(
			strstr(buf, "Gid:\t54322\t54322\t54322\t54322"));
		assert_non_null(strstr(buf, "Groups:\t \n"));
	}
}

static void test_status(void **state)
{
	check_status(&nobody);
}

/* All of it again for a worker that changes its user. */
static void test_other_user(void **state)
{
	static const struct sandbox_user other = {true, 54321, 54322};

	if (geteuid() != 0)
		skip();
	check_status(&other);
	check_forbidden(&other);
}

/* Where unshare() is refused, the rest must hold: as an ordinary user. */
static int drop_then(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char missing[256] = "";

		if (setresgid(54322, 54322, 54322) < 0 ||
		    setresuid(54321, 54321, 54321) < 0 ||
		    sandbox_enter(who, &nobody, missing, sizeof(missing)) < 0)
			_exit(BROKEN);
		_exit(what());
	}
	waitpid(pid, &status, 0);
	return status;
}

static void test_ordinary_user(void **state)
{
	if (geteuid() != 0)
		skip(); /* then all other cases are this one */
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		int status = drop_then(forbidden[i].run);

		if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) &&
		    !(WIFEXITED(status) && WEXITSTATUS(status) == REFUSED))
			fail_msg("%s: wait status 0x%x", forbidden[i].name,
				 (unsigned int)status);
	}
}

static int set_up(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	my_uid = getuid();
	snprintf(path, sizeof(path), "/tmp/vmc-sandbox-%d", (int)getpid());
	memcpy(sa.sun_path, path, sizeof(path));
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(listener, 8) < 0)
		return -1;
	return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
}

static int tear_down(void **state)
{
	close(listener);
	return unlink(path);
}

static int back_to_the_worker(void **state)
{
	who = SANDBOX_WORKER;
	return 0;
}

#define OTHER(f) cmocka_unit_test_teardown(f, back_to_the_worker)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_needed),
		OTHER(test_forbidden_to_the_bus),
		OTHER(test_needed_by_the_bus),
		OTHER(test_memory_of_the_bus),
		OTHER(test_forbidden_to_qmp),
		OTHER(test_needed_by_qmp),
		OTHER(test_memory_of_qmp),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_other_user),
		cmocka_unit_test(test_ordinary_user),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
