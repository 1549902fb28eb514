/* SPDX-License-Identifier: MIT */
/*
 * killat.c - kill workers at a chosen system call, before it happens or after
 *
 * killat FD COMMAND... becomes COMMAND, and leaves a process behind that traces
 * it and its children. Whatever has --worker among its arguments is stopped at
 * each system call. FD is a stream socket; a line each:
 *
 *	birth CALL in|out N   the next worker, counted from its first call
 *	now CALL in|out N     the present one, counted from here
 *	count                 what the present one has called: CALL N..., end
 *
 *	worker PID            there is a new one
 *	killed PID NS         it came there; CLOCK_MONOTONIC
 *	gone PID              it has ended
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS_MAX   1024 /* numbers of system calls */
#define WORKERS_MAX 4    /* two during an upgrade, and those that just died */
#define OPTIONS                                                             \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
	 PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

struct point {
	bool armed, birth, out;
	long call;
	unsigned int n;
};

struct worker {
	pid_t pid; /* 0: free */
	long call; /* it is within; -1: none */
	struct point at;
	unsigned int count[CALLS_MAX];
};

static struct worker workers[WORKERS_MAX];
static struct worker *present;
static struct point next_birth;
static int talk;

/* libc's header and the kernel's exclude each other. */
static long trace(long request, pid_t pid, uintptr_t addr, uintptr_t data)
{
	return syscall(SYS_ptrace, request, (long)pid, addr, data);
}

__attribute__((noreturn)) static void fail(const char *what)
{
	dprintf(STDERR_FILENO, "killat: %s: %s\n", what, strerror(errno));
	_exit(2);
}

static struct worker *find_worker(pid_t pid)
{
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		if (workers[i].pid == pid)
			return &workers[i];
	}
	return NULL;
}

/* ---- what is killed when ---- */

static void strike(struct worker *w)
{
	struct timespec ts;

	w->at.armed = false;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	kill(w->pid, SIGKILL);
	dprintf(talk, "killed %d %lld\n", (int)w->pid,
		(long long)ts.tv_sec * 1000000000 + ts.tv_nsec);
}

static bool is_there(const struct worker *w, bool out)
{
	return w->at.armed && w->at.out == out && w->at.call == w->call &&
	       w->count[w->call] == w->at.n;
}

static void on_call(struct worker *w)
{
	struct ptrace_syscall_info info;

	if (trace(PTRACE_GET_SYSCALL_INFO, w->pid, sizeof(info),
		  (uintptr_t)&info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		w->call = (long)info.entry.nr;
		if (w->call < 0 || w->call >= CALLS_MAX)
			w->call = -1;
		if (w->call < 0)
			return;
		w->count[w->call]++;
		if (is_there(w, false))
			strike(w);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && w->call >= 0) {
		if (is_there(w, true))
			strike(w);
		w->call = -1;
	}
}

/* ---- what the kernel says ---- */

static bool is_worker(pid_t pid)
{
	char name[32], args[512];
	ssize_t n;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/cmdline", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, args, sizeof(args));
	if (fd >= 0)
		close(fd);
	return n > 0 && memmem(args, (size_t)n, "\0--worker", 10);
}

static void on_exec(pid_t pid)
{
	struct worker *w = find_worker(0);

	if (!w || !is_worker(pid))
		return;
	*w = (struct worker){.pid = pid, .call = -1};
	if (next_birth.armed)
		w->at = next_birth;
	next_birth.armed = false;
	present = w;
	dprintf(talk, "worker %d\n", (int)pid);
}

static void on_end(pid_t pid)
{
	struct worker *w = find_worker(pid);

	if (!w)
		return;
	dprintf(talk, "gone %d\n", (int)pid);
	w->pid = 0;
	if (w == present)
		present = NULL;
}

/* Return: how it goes on. */
static long on_stop(pid_t pid, int status, int *signal)
{
	int event = status >> 16, sig = WSTOPSIG(status);
	struct worker *w = find_worker(pid);

	*signal = 0;
	if (event == PTRACE_EVENT_STOP && sig != SIGTRAP)
		return PTRACE_LISTEN; /* stopped as a job is */
	if (event == PTRACE_EVENT_EXEC)
		on_exec(pid);
	else if (event == 0 && sig == (SIGTRAP | 0x80) && w)
		on_call(w);
	else if (event == 0 && sig != (SIGTRAP | 0x80))
		*signal = sig; /* its own */
	return find_worker(pid) ? PTRACE_SYSCALL : PTRACE_CONT;
}

/* Return: is there anybody left? */
static bool reap(void)
{
	int status, signal;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
		if (WIFSTOPPED(status)) {
			long how = on_stop(pid, status, &signal);

			/* One that was killed meanwhile is told next. */
			trace(how, pid, 0, (uintptr_t)signal);
		} else {
			on_end(pid);
		}
	}
	return pid == 0 || errno != ECHILD;
}

/* ---- what we are told ---- */

static void say_counts(void)
{
	for (long i = 0; present && i < CALLS_MAX; i++) {
		char *name;

		if (present->count[i] == 0)
			continue;
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE,
							(int)i);
		dprintf(talk, "%s %u\n", name ? name : "?", present->count[i]);
		free(name);
	}
	dprintf(talk, "end\n");
}

static void obey(const char *line)
{
	char when[8], call[64], side[8];
	unsigned int n;
	struct point p = {.armed = true};

	if (!strcmp(line, "count")) {
		say_counts();
		return;
	}
	if (sscanf(line, "%7s %63s %7s %u", when, call, side, &n) != 4)
		fail(line);
	p.call = seccomp_syscall_resolve_name(call);
	p.out = !strcmp(side, "out");
	p.n = n;
	if (!strcmp(when, "birth")) {
		next_birth = p;
	} else if (present) {
		memset(present->count, 0, sizeof(present->count));
		present->at = p;
	}
}

/* Return: false at the end of file. */
static bool hear(void)
{
	static char buf[4096];
	static size_t len;
	ssize_t n = read(talk, buf + len, sizeof(buf) - 1 - len);
	char *end;

	if (n <= 0)
		return false;
	len += (size_t)n;
	while ((end = memchr(buf, '\n', len))) {
		*end = '\0';
		obey(buf);
		len -= (size_t)(end + 1 - buf);
		memmove(buf, end + 1, len);
	}
	return len < sizeof(buf) - 1;
}

__attribute__((noreturn)) static void watch(pid_t pid, int ready)
{
	sigset_t set;
	int child;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	child = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child < 0)
		fail("signalfd");
	if (trace(PTRACE_SEIZE, pid, 0, OPTIONS) < 0)
		fail("ptrace");
	if (write(ready, "", 1) != 1)
		fail("pipe");
	close(ready);
	for (;;) {
		struct pollfd p[] = {{.fd = child, .events = POLLIN},
				     {.fd = talk, .events = POLLIN}};
		struct signalfd_siginfo si;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		while (read(child, &si, sizeof(si)) > 0)
			;
		if (!reap())
			_exit(0);
		/* Who is traced goes on without us. */
		if (p[1].revents && !hear())
			_exit(0);
	}
}

int main(int argc, char **argv)
{
	int go[2], ready[2];
	pid_t pid, tracer = 0;

	if (argc < 3) {
		dprintf(STDERR_FILENO, "usage: killat FD COMMAND...\n");
		return 2;
	}
	talk = atoi(argv[1]);
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
		fail("pipe");
	/* Nobody's child: COMMAND waits for its own. */
	pid = fork();
	if (pid == 0) {
		pid_t me = getppid();

		tracer = fork();
		if (tracer > 0 || (tracer == 0 && setsid() < 0))
			_exit(0);
		tracer = getpid();
		if (write(ready[1], &tracer, sizeof(tracer)) < 0 ||
		    read(go[0], &pid, 1) != 1)
			_exit(2);
		close(go[1]);
		watch(me, ready[1]);
	}
	waitpid(pid, NULL, 0);
	close(ready[1]);
	if (read(ready[0], &tracer, sizeof(tracer)) != sizeof(tracer))
		fail("fork");
	prctl(PR_SET_PTRACER, tracer, 0, 0, 0);
	/* It attaches; without the right to, its end of the pipe closes. */
	if (write(go[1], "", 1) != 1 || read(ready[0], &pid, 1) != 1)
		return 3;
	close(talk);
	execv(argv[2], argv + 2);
	fail(argv[2]);
}
