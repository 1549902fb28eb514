/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - fork, place descriptors, execute
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/options.h"
#include "host/spawn.h"

/* Above those that a child gets, so that placing them overwrites none. */
#define SAFE_FD 16

_Static_assert(SPAWN_FD_FIRST + SPAWN_FDS_MAX <= SAFE_FD, "none overwritten");

/* A terminal's Ctrl-C and a service manager's TERM reach all processes; the
 * supervisor alone decides. */
static void set_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT,
				      SIGPIPE};
	sigset_t none;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int place_fds(const int *fds, size_t n)
{
	int copies[SPAWN_FDS_MAX];

	/* All away from the targets first, then each to its target. */
	for (size_t i = 0; i < n; i++) {
		copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, SAFE_FD);
		if (copies[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < n; i++) {
		if (dup2(copies[i], SPAWN_FD_FIRST + (int)i) < 0)
			return -errno;
	}
	return 0;
}

/* Standard error is for the log; the rest is nobody's. */
static int leave_terminal(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		return -errno;
	return 0;
}

__attribute__((noreturn)) static void
run_child(int exe_fd, const char *const *argv, const int *fds, size_t n)
{
	int exe = fcntl(exe_fd, F_DUPFD_CLOEXEC, SAFE_FD);
	int r = place_fds(fds, n);

	set_signals();
	if (r == 0)
		r = leave_terminal();
	/* libuv's ring would be refused in the sandbox anyway. */
	setenv("UV_USE_IO_URING", "0", 1);
	unsetenv("NOTIFY_SOCKET");
	if (r == 0) {
		syscall(SYS_execveat, exe, "", argv, environ, AT_EMPTY_PATH);
		r = -errno;
	}
	log_error("ev=exec role=%s error=\"%s\"", argv[1], strerror(-r));
	_exit(EXIT_RUN);
}

pid_t spawn_self(int exe_fd, const char *const *argv, const int *fds, size_t n)
{
	pid_t pid;

	if (n > SPAWN_FDS_MAX)
		return -E2BIG;
	pid = fork();
	if (pid == 0)
		run_child(exe_fd, argv, fds, n);
	return pid < 0 ? -errno : pid;
}

void spawn_args(const struct options *o, const char *role,
		const char *argv[SPAWN_ARGS_MAX])
{
	size_t n = 0;

	argv[n++] = "vmchanneld";
	argv[n++] = role;
	argv[n++] = o->sandbox ? "--sandbox=on" : "--sandbox=off";
	if (o->user) {
		argv[n++] = "--user";
		argv[n++] = o->user;
	}
	argv[n++] = o->vm;
	argv[n] = NULL;
}
