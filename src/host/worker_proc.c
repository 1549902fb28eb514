/* SPDX-License-Identifier: MIT */
/*
 * worker_proc.c - starting the worker, and what happens when it dies
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/spawn.h"
#include "host/supervisor.h"

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

int worker_start(struct supervisor *s)
{
	const char *argv[WORKER_ARGS_MAX];
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	make_args(s->opt, argv);
	pid = spawn_self(s->exe_fd, argv,
			 (const int[]){sv[1], s->vm_fds[1], s->vm_fds[2]}, 3);
	close(sv[1]);
	if (pid < 0) {
		close(sv[0]);
		return pid;
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
