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

#define WORKER_ARGS_MAX 12

/* A worker reads what it is given as fast as it can. */
#define GIVE_MS 1000u

/* The worker is told everything again: nothing is inherited but descriptors.
 */
static void make_args(const struct supervisor *s, bool adopt, const char **argv)
{
	const struct options *o = s->opt;
	size_t n = 0;

	argv[n++] = "vmchanneld";
	argv[n++] = "--worker";
	argv[n++] = o->sandbox ? "--sandbox=on" : "--sandbox=off";
	if (adopt)
		argv[n++] = "--adopt";
	/* Once a handshake was made, a state would be of no use. */
	if (!adopt && s->life == LIFE_INCOMING)
		argv[n++] = "--incoming";
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

pid_t worker_spawn(const struct supervisor *s, bool adopt, int arena_fd,
		   int *ret_pair)
{
	const char *argv[WORKER_ARGS_MAX];
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	make_args(s, adopt, argv);
	pid = spawn_self(s->exe_fd, argv,
			 (const int[]){sv[1], s->vm_fds[1], s->vm_fds[2],
				       s->state_fd, arena_fd},
			 WORKER_FD_NUM - WORKER_FD_PAIR);
	close(sv[1]);
	if (pid < 0)
		close(sv[0]);
	else
		*ret_pair = sv[0];
	return pid;
}

int worker_start(struct supervisor *s)
{
	pid_t pid = worker_spawn(s, false, s->arena_fd, &s->pair);

	if (pid < 0)
		return pid;
	s->worker = pid;
	s->worker_ready = false;
	s->started_ms = supervisor_now_ms();
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

void worker_give(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	int r = 0;

	if (s->pair >= 0)
		r = ipc_send_wait(s->pair, m, IPC_FROM_SUPERVISOR, fd, GIVE_MS);
	if (r == -EAGAIN)
		worker_kill(s);
}

static void give_kept(struct supervisor *s)
{
	for (size_t i = 0; i < s->keep.n; i++) {
		const struct kept *k = &s->keep.list[i];
		const struct ipc_msg m = {
			.type = IPC_GIVE,
			.request = k->request,
			.value = k->kind,
		};

		worker_give(s, &m, k->fd);
	}
}

void worker_greet(struct supervisor *s)
{
	const struct ipc_msg life = {.type = IPC_LIFE, .value = (int)s->life};
	const struct ipc_msg link = {.type = IPC_LINK};

	give_kept(s);
	worker_tell(s, &life, -1);
	qmp_greet(s);
	if (s->stopping)
		return;
	/* Before the link: a state that waits comes before the handshake. */
	bus_join(s);
	if (s->link_fd >= 0)
		worker_tell(s, &link, s->link_fd);
	else
		link_begin(&s->link, supervisor_now_ms());
}

/* Return: ms to wait before the next one. */
static unsigned int restart_pause(struct supervisor *s, uint64_t now)
{
	uint64_t *slot;
	uint64_t before;

	if (now - s->started_ms >= LIVED_MS)
		return 0;
	slot = &s->deaths[s->n_deaths % DEATHS_MAX];
	before = *slot; /* DEATHS_MAX deaths ago */
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

	s->worker = 0;
	s->worker_ready = false;
	requests_last(s);
	close(s->pair);
	s->pair = -1;
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
	if (upgrade_alone(s)) {
		log_error("ev=worker-died %s successor=ready", how);
		return;
	}
	upgrade_failed(s, "the old worker has died");
	s->restart_ms = now + restart_pause(s, now);
	log_error("ev=worker-died %s restart_ms=%u", how,
		  (unsigned int)(s->restart_ms - now));
}
