/* SPDX-License-Identifier: MIT */
/*
 * upgrade.c - replacing the running program, nothing lost
 *
 * 1. the program that is installed now looks at our state (--check-state)
 * 2. execve(): the same process, lock, sockets and children
 * 3. a new worker is started; when it is ready the old one stands still
 * 4. it writes its state, sends its descriptors, which are passed on at once
 * 5. the new one loads; only when it says so is the old one told to end
 *
 * Nobody touches a program's socket between 4 and 5. Until then everything can
 * be undone: the new worker is killed and the old one goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/arena.h"
#include "host/resume.h"
#include "host/supervisor.h"

/* hold_ms of docs/continuity.md: programs wait this long at most. */
#define HOLD_MS 2000u
/* Until the new worker has entered its sandbox; nobody waits for it. */
#define START_MS 10000u
/* The new program reads a few kilobytes and the configuration. */
#define CHECK_MS 5000u

/* ---- asking and becoming the new program ---- */

/* The command line again, behind what the next program is to do first. */
static const char **next_argv(const struct options *o, const char *first)
{
	const char **argv = calloc((size_t)o->argc + 2, sizeof(*argv));
	int from = 1;

	if (!argv)
		return NULL;
	/* We have taken over ourselves: that one was for us. */
	if (o->resume_fd >= 0)
		from = 2;
	argv[0] = o->argv[0];
	argv[1] = first;
	for (int i = from; i < o->argc; i++)
		argv[2 + i - from] = o->argv[i];
	return argv;
}

static void run_program(int exe, const char *const *argv)
{
	syscall(SYS_execveat, exe, "", argv, environ, AT_EMPTY_PATH);
}

__attribute__((noreturn)) static void
run_check(int exe, int state, const char *const *argv, int out)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(out, STDERR_FILENO) < 0 || fcntl(state, F_SETFD, 0) < 0)
		_exit(EXIT_RUN);
	run_program(exe, argv);
	_exit(EXIT_RUN);
}

/* What it says until it ends, or as much of it as fits. */
static void read_answer(int fd, char *text, size_t size)
{
	uint64_t end = supervisor_now_ms() + CHECK_MS;
	size_t n = 0;

	while (n + 1 < size) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = supervisor_now_ms();
		ssize_t got;

		if (now >= end || poll(&p, 1, (int)(end - now)) <= 0)
			break;
		got = read(fd, text + n, size - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* Return: has it ended well? One that does not end is killed. */
static bool ended_well(pid_t pid)
{
	uint64_t end = supervisor_now_ms() + CHECK_MS;
	int status = -1;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (supervisor_now_ms() >= end)
			kill(pid, SIGKILL);
		poll(NULL, 0, 1);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Return: would it take over? @text: why not. */
static bool check_program(const struct supervisor *s, int exe, int state,
			  char *text, size_t size)
{
	char first[40];
	const char **argv;
	int out[2];
	pid_t pid;

	snprintf(first, sizeof(first), "--check-state=%d", state);
	argv = next_argv(s->opt, first);
	text[0] = '\0';
	if (!argv || pipe2(out, O_CLOEXEC) < 0) {
		free(argv);
		return false;
	}
	pid = fork();
	if (pid == 0)
		run_check(exe, state, argv, out[1]);
	free(argv);
	close(out[1]);
	if (pid > 0)
		read_answer(out[0], text, size);
	close(out[0]);
	return pid > 0 && ended_well(pid);
}

static int become(const struct supervisor *s, int exe, int state)
{
	char first[40];
	const char **argv;
	int r;

	snprintf(first, sizeof(first), "--resume=%d", state);
	argv = next_argv(s->opt, first);
	if (!argv)
		return -ENOMEM;
	resume_inherit(s, true);
	(void)fcntl(state, F_SETFD, 0);
	run_program(exe, argv);
	r = -errno;
	resume_inherit(s, false);
	free(argv);
	return r;
}

static void tell_asker(struct supervisor *s, const char *why)
{
	struct ipc_msg m = {.type = IPC_UPGRADE_FAILED};

	if (!s->up.asked)
		return;
	s->up.asked = false;
	snprintf(m.text, sizeof(m.text), "%s", why);
	for (char *c = m.text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	worker_tell(s, &m, -1);
}

/* What kept it from happening goes to the log and to who asked. */
static void refuse(struct supervisor *s, const char *why)
{
	log_error("ev=upgrade-failed error=\"%s\" action=keep-old", why);
	tell_asker(s, why);
}

/* A worker that its guest has taken over could keep us executing programs. Who
 * may send us a signal may do as it likes. */
static bool asks_too_often(struct supervisor *s)
{
	uint64_t now = supervisor_now_ms();

	if (!s->up.asked || rate_take(&s->upgrades, now))
		return false;
	log_limited(now * 1000u, LOG_LEVEL_WARNING,
		    "ev=upgrade-refused why=too-often count=%u",
		    s->upgrades.refused);
	tell_asker(s, "too many upgrades within a minute; wait a minute, or "
		      "send SIGUSR2 to vmchanneld");
	return true;
}

/* Return: a negative errno, or 0 with @text if the new one does not want. */
static int try_program(struct supervisor *s, char *text, size_t size)
{
	int exe = open(s->exe_path, O_RDONLY | O_CLOEXEC);
	int state;
	int r = 0;

	if (exe < 0)
		return -errno;
	state = resume_write(s);
	if (state < 0) {
		close(exe);
		return state;
	}
	if (check_program(s, exe, state, text, size))
		r = become(s, exe, state);
	else if (!text[0])
		snprintf(text, size, "%.200s does not understand our state",
			 s->exe_path);
	close(state);
	close(exe);
	return r;
}

void upgrade_begin(struct supervisor *s, bool asked)
{
	const char *why = upgrade_why_not(s);
	char text[IPC_TEXT_MAX + 1];
	bool before = s->up.asked;
	int r;

	s->up.asked = asked;
	if (why) {
		refuse(s, why);
		s->up.asked |= before && s->up.phase != UPGRADE_NONE;
		return;
	}
	if (asks_too_often(s))
		return;
	log_info("ev=upgrade program=\"%s\"", s->exe_path);
	r = try_program(s, text, sizeof(text));
	if (r < 0)
		snprintf(text, sizeof(text), "%.200s: %s", s->exe_path,
			 strerror(-r));
	refuse(s, text);
}

/* ---- replacing the worker ---- */

static void forget_next(struct supervisor *s)
{
	if (s->up.pair >= 0)
		close(s->up.pair);
	if (s->up.arena_fd >= 0)
		close(s->up.arena_fd);
	s->up.pair = s->up.arena_fd = -1;
	s->up.worker = 0;
	s->up.phase = UPGRADE_NONE;
}

void upgrade_failed(struct supervisor *s, const char *why)
{
	bool held = s->up.phase >= UPGRADE_HOLDING;

	if (s->up.phase == UPGRADE_NONE)
		return;
	if (s->up.worker > 0) {
		/* Before the other goes on, or both could touch a socket. */
		kill(s->up.worker, SIGKILL);
		waitpid(s->up.worker, NULL, 0);
	}
	forget_next(s);
	if (s->worker <= 0)
		s->restart_ms = supervisor_now_ms(); /* it died meanwhile */
	if (held)
		worker_tell(s, &(struct ipc_msg){.type = IPC_THAW}, -1);
	/* It may have died meanwhile; the worker was not told. */
	if (s->bus_pid <= 0)
		bus_tell(s);
	qmp_tell(s);
	refuse(s, why);
}

void upgrade_continue(struct supervisor *s)
{
	int r;

	s->up.phase = UPGRADE_STARTING;
	s->up.due_ms = supervisor_now_ms() + START_MS;
	s->up.arena_fd = r = supervisor_memory(ARENA_NAME, ARENA_SIZE);
	if (r >= 0)
		r = worker_spawn(s, true, s->up.arena_fd, &s->up.pair);
	if (r > 0) {
		s->up.worker = r;
		return;
	}
	upgrade_failed(s, strerror(-r));
}

/* The new worker reads while it is being given; wait for it, not for ever. */
static int tell_next(const struct supervisor *s, const struct ipc_msg *m,
		     int fd)
{
	return ipc_send_wait(s->up.pair, m, IPC_FROM_SUPERVISOR, fd, HOLD_MS);
}

static void on_next_ready(struct supervisor *s)
{
	const struct ipc_msg config = {
		.type = IPC_CONFIG,
		.size = (uint32_t)s->config_len,
	};

	if (tell_next(s, &config, s->config_fd) < 0) {
		upgrade_failed(s, "the new worker takes no configuration");
		return;
	}
	s->up.phase = UPGRADE_HOLDING;
	s->up.due_ms = supervisor_now_ms() + HOLD_MS;
	worker_tell(s, &(struct ipc_msg){.type = IPC_HOLD}, -1);
}

void upgrade_given(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	if (s->up.phase == UPGRADE_HOLDING && tell_next(s, m, fd) < 0)
		upgrade_failed(s, "the new worker takes no descriptors");
}

void upgrade_held(struct supervisor *s, const struct ipc_msg *m)
{
	const struct ipc_msg adopt = {.type = IPC_ADOPT, .size = m->size};

	if (s->up.phase != UPGRADE_HOLDING)
		return;
	if (m->value < 0) {
		/* It was saved at the same moment, perhaps. */
		upgrade_failed(s, m->value == -EBUSY
					  ? upgrade_not_in(LIFE_FENCED)
					  : strerror(-m->value));
		return;
	}
	s->up.phase = UPGRADE_ADOPTING;
	if (tell_next(s, &adopt, -1) < 0)
		upgrade_failed(s, "the new worker takes no state");
}

/* From here on there is one worker. */
static void take_place(struct supervisor *s)
{
	s->worker = s->up.worker;
	s->pair = s->up.pair;
	s->worker_ready = true;
	s->started_ms = supervisor_now_ms();
	s->life = LIFE_SERVING;
	close(s->arena_fd);
	s->arena_fd = s->up.arena_fd;
	s->up.arena_fd = s->up.pair = -1;
	s->up.worker = 0;
	s->up.phase = UPGRADE_NONE;
	s->up.asked = false;
	keep_clear(&s->keep); /* the new one has names of its own */
}

static void on_next_adopted(struct supervisor *s, const struct ipc_msg *m)
{
	const struct ipc_msg stop = {.type = IPC_STOP, .value = 1};

	if (m->value < 0) {
		upgrade_failed(s, "the new worker does not understand the "
				  "old one's state");
		return;
	}
	if (s->pair >= 0) {
		worker_tell(s, &stop, -1);
		close(s->pair);
	}
	take_place(s);
	log_info("ev=upgraded version=%s", VMC_VERSION);
	if (s->up.reloaded)
		supervisor_send_config(s, false);
	s->up.reloaded = false;
	worker_greet(s);
}

static void on_next(struct supervisor *s, const struct ipc_msg *m)
{
	if (m->type == IPC_READY && s->up.phase == UPGRADE_STARTING)
		on_next_ready(s);
	else if (m->type == IPC_ADOPTED && s->up.phase == UPGRADE_ADOPTING)
		on_next_adopted(s, m);
	else
		upgrade_failed(s, "the new worker talks nonsense");
}

void upgrade_handle(struct supervisor *s)
{
	struct ipc_msg m;
	int fd = -1;
	int r = ipc_recv(s->up.pair, &m, IPC_FROM_WORKER, &fd);

	if (fd >= 0)
		close(fd);
	if (r == 1)
		on_next(s, &m);
	else if (r != -EAGAIN)
		upgrade_failed(s, "the new worker has ended");
}

bool upgrade_alone(struct supervisor *s)
{
	/* The state is complete and the descriptors are there. */
	return s->up.phase == UPGRADE_ADOPTING;
}
