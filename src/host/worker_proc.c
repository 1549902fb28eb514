/* SPDX-License-Identifier: MIT */
/*
 * worker_proc.c - starting the worker, and what happens when it dies
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/supervisor.h"

/* Above those that the worker gets, so that placing them overwrites none. */
#define SAFE_FD 16

#define WORKER_ARGS_MAX 10

/* The worker is told everything again: nothing is inherited but descriptors.
 */
static void make_args(const struct options *o, const char **argv)
{
	size_t n = 0;

	argv[n++] = "vmchanneld";
	argv[n++] = "--worker";
	argv[n++] = o->sandbox ? "--sandbox=on" : "--sandbox=off";
	if (o->uuid) {
		argv[n++] = "--uuid";
		argv[n++] = o->uuid;
	}
	if (o->user) {
		argv[n++] = "--user";
		argv[n++] = o->user;
	}
	argv[n++] = o->vm;
	argv[n] = NULL;
}

/* A terminal's Ctrl-C and a service manager's TERM reach both processes; the
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

static int place_fds(const struct supervisor *s, int pair)
{
	int copies[3] = {pair, s->vm_fds[1], s->vm_fds[2]};

	/* All away from the targets first, then each to its target. */
	for (int i = 0; i < 3; i++) {
		copies[i] = fcntl(copies[i], F_DUPFD_CLOEXEC, SAFE_FD);
		if (copies[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(copies[i], WORKER_FD_PAIR + i) < 0)
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

__attribute__((noreturn)) static void run_worker(const struct supervisor *s,
						 int pair)
{
	const char *argv[WORKER_ARGS_MAX];
	int exe = fcntl(s->exe_fd, F_DUPFD_CLOEXEC, SAFE_FD);
	int r = place_fds(s, pair);

	make_args(s->opt, argv);
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
	log_error("ev=worker-exec error=\"%s\"", strerror(-r));
	_exit(EXIT_RUN);
}

int worker_start(struct supervisor *s)
{
	int sv[2];
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_worker(s, sv[1]);
	r = pid < 0 ? -errno : 0;
	close(sv[1]);
	if (r < 0) {
		close(sv[0]);
		return r;
	}
	s->worker = pid;
	s->pair = sv[0];
	s->worker_ready = false;
	s->restart_ms = 0;
	return 0;
}

void worker_kill(const struct supervisor *s)
{
	if (s->worker > 0)
		kill(s->worker, SIGKILL);
}

void worker_tell(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	int r;

	if (s->pair < 0)
		return;
	r = ipc_send(s->pair, m, IPC_FROM_SUPERVISOR, fd);
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		return; /* gone: SIGCHLD is on its way */
	log_error("ev=worker-deaf message=%d error=\"%s\" action=kill",
		  (int)m->type, strerror(-r));
	worker_kill(s);
}

/* Return: ms to wait before the next one. */
static unsigned int restart_pause(struct supervisor *s, uint64_t now)
{
	uint64_t *slot = &s->deaths[s->n_deaths % DEATHS_MAX];
	uint64_t before = *slot; /* DEATHS_MAX deaths ago */

	*slot = now;
	s->n_deaths++;
	if (s->n_deaths <= DEATHS_MAX || now - before > DEATHS_WINDOW_MS)
		return 0;
	return RESTART_PAUSE_MS;
}

static void describe_death(char *ret, size_t size, int wait_status)
{
	if (WIFSIGNALED(wait_status))
		snprintf(ret, size, "signal=%d", WTERMSIG(wait_status));
	else
		snprintf(ret, size, "status=%d", WEXITSTATUS(wait_status));
}

void worker_died(struct supervisor *s, int wait_status)
{
	uint64_t now = supervisor_now_ms();
	char how[32];

	close(s->pair);
	s->pair = -1;
	s->worker = 0;
	s->worker_ready = false;
	s->link.searching = false; /* until the next one is ready */
	if (s->stopping) {
		s->done = true;
		return;
	}
	describe_death(how, sizeof(how), wait_status);
	if (!s->announced) {
		log_error("ev=worker-failed %s", how);
		s->status = EXIT_RUN;
		s->done = true;
		return;
	}
	s->restart_ms = now + restart_pause(s, now);
	log_error("ev=worker-died %s restart_ms=%u", how,
		  (unsigned int)(s->restart_ms - now));
}
