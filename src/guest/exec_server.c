/* SPDX-License-Identifier: MIT */
/* exec_server.c - the process that serves one command */
#include "guest/exec_server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/exec_stream.h"
#include "guest/exec_tree.h"
#include "guest/ops_text.h"

/* Output that somebody else keeps open after the command has ended. */
#define DRAIN_MS 1000
/* From SIGHUP to SIGKILL. */
#define HANG_UP_MS 1000
/* Until the caller has read the last frame: what it sent and nobody read would
 * make it a reset. */
#define LINGER_MS 5000
/* Between two looks at what does not end though it was killed. */
#define AGAIN_MS     20
#define AGAIN_MAX_MS 1000

struct server {
	struct exec_cgroup group;
	struct exec_command command;
	struct exec_stream stream;
	int signals;
	bool told;  /* by the operations process, or its end */
	bool ended; /* the command */
	int status;
	int64_t ended_ms;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- signals ------------------------------------------------------------- */

static bool catch_signals(struct server *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals >= 0;
}

static void read_signals(struct server *s)
{
	struct signalfd_siginfo i;

	while (read(s->signals, &i, sizeof(i)) == (ssize_t)sizeof(i))
		if (i.ssi_signo != SIGCHLD)
			s->told = true;
}

static void reap(struct server *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != s->command.pid)
			continue;
		s->ended = true;
		s->status = status;
		s->ended_ms = now_ms();
		exec_stream_ended(&s->stream);
	}
}

/* ---- the end of all of it ------------------------------------------------ */

/* Return: is none left? Waits up to @ms for it. */
static bool wait_empty(struct server *s, int ms)
{
	struct pollfd p = {.fd = s->signals, .events = POLLIN};
	int64_t end = now_ms() + ms;

	while (!exec_tree_empty()) {
		int64_t left = end - now_ms();

		if (left <= 0)
			return false;
		(void)poll(&p, 1, (int)left);
		read_signals(s);
	}
	return true;
}

static void end_tree(struct server *s)
{
	bool empty = exec_tree_empty();

	if (!empty) {
		exec_tree_signal(SIGHUP);
		exec_tree_signal(SIGCONT); /* those that are stopped */
		empty = wait_empty(s, HANG_UP_MS);
	}
	for (int ms = AGAIN_MS; !empty;
	     ms = ms * 2 < AGAIN_MAX_MS ? ms * 2 : AGAIN_MAX_MS) {
		exec_cgroup_kill(&s->group);
		exec_tree_signal(SIGKILL);
		empty = wait_empty(s, ms);
	}
	/* What somebody else put there. */
	exec_cgroup_kill(&s->group);
	exec_cgroup_remove(&s->group);
}

static void close_all(struct server *s)
{
	struct exec_command *c = &s->command;

	if (c->in >= 0 && c->in != c->out)
		close(c->in);
	if (c->out >= 0)
		close(c->out);
	if (c->err >= 0)
		close(c->err);
	c->in = c->out = c->err = -1;
}

/* What the caller sends now is nobody's. */
static void linger(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int64_t end = now_ms() + LINGER_MS;
	char nobodys[4096];

	while (now_ms() < end && poll(&p, 1, (int)(end - now_ms())) >= 0)
		if (p.revents == 0 ||
		    recv(sock, nobodys, sizeof(nobodys), MSG_DONTWAIT) <= 0)
			return;
}

/* ---- serving ------------------------------------------------------------- */

/* Until there is something to do. */
static int patience(const struct server *s)
{
	int64_t left;

	if (!s->ended || s->stream.out.last)
		return -1;
	left = s->ended_ms + DRAIN_MS - now_ms();
	return left > 0 ? (int)left : 0;
}

/* Return: true once the last frame has gone. */
static bool serve(struct server *s)
{
	struct exec_stream *st = &s->stream;
	struct pollfd p[EXEC_FDS + 1];
	bool said = false;

	while (!s->told && !st->broken) {
		if (said && exec_stream_sent(st))
			return true;
		exec_stream_wants(st, p);
		p[EXEC_FDS] =
			(struct pollfd){.fd = s->signals, .events = POLLIN};
		if (poll(p, EXEC_FDS + 1, patience(s)) < 0 && errno != EINTR)
			return false;
		if (p[EXEC_FDS].revents) {
			read_signals(s);
			reap(s);
		}
		exec_stream_step(st, p);
		if (s->ended && !st->out.last && patience(s) == 0)
			exec_stream_last(st);
		if (s->ended && !said && exec_stream_drained(st)) {
			exec_stream_exit(st, s->status);
			said = true;
		}
	}
	return false;
}

/* ---- the beginning ------------------------------------------------------- */

static const char *name_of(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "EIO";
}

static void refuse(struct op_call *call, const struct exec_plan *plan,
		   const char *name, const struct exec_failure *f)
{
	const char *directory = plan->directory ? plan->directory : "/";
	const char *what = f->step == EXEC_STEP_DIRECTORY ? directory : name;

	if (f->step == EXEC_STEP_PREPARE)
		op_failed(call, f->error,
			  plan->pty ? "a terminal for the command"
				    : "a process for the command");
	else
		op_error(call, "CannotRun",
			 json_pack("{s:o,s:s}", "command",
				   op_text(what, OP_TEXT_MAX), "error",
				   name_of(f->error)));
}

/* A call that has ended meanwhile is one more reason to end. */
static void become_server(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	prctl(PR_SET_NAME, EXEC_PROCESS);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void exec_serve(struct op_call *call, const struct exec_plan *plan,
		const char *name)
{
	/* Large, and the only one of this process. */
	static struct server s;
	struct exec_failure failure;
	char *rest = NULL;
	size_t len = 0;
	int sock;

	become_server(getppid());
	if (!catch_signals(&s)) {
		op_failed(call, errno, "a process for the command");
		_exit(EXIT_FAILURE);
	}
	exec_cgroup_make(&s.group);
	if (!exec_spawn(&s.command, plan, &s.group, s.signals, &failure)) {
		end_tree(&s);
		refuse(call, plan, name, &failure);
		_exit(EXIT_FAILURE);
	}
	sock = op_upgrade(call, json_pack("{s:i}", "pid", (int)s.command.pid),
			  &rest, &len);
	if (sock >= 0) {
		exec_stream_begin(&s.stream, sock, &s.command, rest, len);
		if (serve(&s))
			shutdown(sock, SHUT_WR);
		else
			close(sock);
	}
	close_all(&s);
	end_tree(&s);
	if (sock >= 0 && !s.stream.broken && !s.told)
		linger(sock);
	_exit(EXIT_SUCCESS);
}
