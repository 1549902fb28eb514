/* SPDX-License-Identifier: MIT */
/*
 * bus_proc.c - starting the bus process, and bringing it and workers together
 *
 * It starts when somebody connects to vmstate.sock for the first time: most
 * VMs never do. When it dies it is started again by the next connection.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "host/bus_ipc.h"
#include "host/qemu_group.h"
#include "host/spawn.h"
#include "host/supervisor.h"

#define VMSTATE_SOCKET "vmstate.sock"
#define VMSTATE_MODE   0600 /* whoever connects is believed to be the VM */

void bus_listen(struct supervisor *s)
{
	int fd = vmdir_socket(s->dir, VMSTATE_SOCKET, VMSTATE_MODE);

	if (fd >= 0)
		s->bus_listener = fd;
	else /* QEMU will say so, too, if it is told to connect */
		log_warning("ev=no-vmstate socket=\"%s/" VMSTATE_SOCKET
			    "\" error=\"%s\"",
			    s->dir, strerror(-fd));
}

int bus_admit(const struct supervisor *s)
{
	if (!s->opt->qemu_group || s->bus_listener < 0)
		return 0;
	return qemu_group_admit(s->dir, VMSTATE_SOCKET, s->qemu_gid);
}

static int spawn_bus(struct supervisor *s, int pair)
{
	const char *argv[SPAWN_ARGS_MAX];
	pid_t pid;

	spawn_args(s->opt, "--bus", argv);
	pid = spawn_self(s->exe_fd, argv,
			 (const int[]){pair, s->bus_listener, s->bus_fd}, 3);
	if (pid < 0)
		return pid;
	s->bus_pid = pid;
	s->bus_start_ms = supervisor_now_ms();
	return 0;
}

static void forget(struct supervisor *s)
{
	if (s->bus_pair >= 0)
		close(s->bus_pair);
	if (s->bus_fd >= 0)
		close(s->bus_fd);
	s->bus_pair = s->bus_fd = -1;
	s->bus_pid = 0;
}

void bus_tell(struct supervisor *s)
{
	struct ipc_msg m = {.type = IPC_VMSTATE, .value = IPC_VMSTATE_WAITING};

	if (s->bus_listener < 0)
		m.value = IPC_VMSTATE_OFF;
	else if (s->bus_lost)
		m.value = IPC_VMSTATE_LOST;
	/* Not to a worker of another program; its successor is told. */
	if (s->worker_ready && s->up.phase == UPGRADE_NONE)
		worker_tell(s, &m, -1);
}

static int start(struct supervisor *s)
{
	int sv[2];
	int r;

	s->bus_fd = supervisor_memory("vmstate", BUS_STATE_SIZE);
	if (s->bus_fd < 0)
		return s->bus_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	s->bus_pair = sv[0];
	r = spawn_bus(s, sv[1]);
	close(sv[1]);
	return r;
}

void bus_wanted(struct supervisor *s)
{
	int r;

	if (s->bus_pid > 0 || s->stopping)
		return;
	s->bus_restart_ms = 0;
	r = start(s);
	if (r < 0) {
		log_error("ev=bus-start error=\"%s\"", strerror(-r));
		forget(s);
		s->bus_restart_ms = supervisor_now_ms() + RESTART_PAUSE_MS;
		return;
	}
	s->bus_lost = false;
	bus_join(s);
}

/* The worker's end of @sv, with what it reads first already in it. */
static int introduce(struct supervisor *s, const int sv[2])
{
	const struct bus_msg state = {.type = BUS_STATE};
	const struct bus_msg worker = {.type = BUS_WORKER};
	int r = bus_ipc_send(sv[0], &state, BUS_FROM_BUS, s->bus_fd);

	if (r == 0)
		r = bus_ipc_send(s->bus_pair, &worker, BUS_FROM_SUPERVISOR,
				 sv[0]);
	return r;
}

void bus_join(struct supervisor *s)
{
	const struct ipc_msg m = {.type = IPC_BUS};
	int sv[2];
	int r;

	bus_tell(s);
	if (s->bus_pid <= 0 || !s->worker_ready)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		log_error("ev=bus-join error=\"%s\"", strerror(errno));
		return;
	}
	r = introduce(s, sv);
	if (r == 0)
		worker_tell(s, &m, sv[1]);
	else
		log_error("ev=bus-join error=\"%s\"", strerror(-r));
	close(sv[0]);
	close(sv[1]);
}

void bus_path(const struct supervisor *s, char *ret, size_t size)
{
	snprintf(ret, size, "%s/" VMSTATE_SOCKET, s->dir);
}

void bus_died(struct supervisor *s, int wait_status)
{
	uint64_t now = supervisor_now_ms();

	/* QEMU does not connect by itself; see qmp_mend(). */
	log_error("ev=bus-died status=0x%x migration=fails-until-object-add",
		  (unsigned int)wait_status);
	s->bus_lost = true;
	/* One that cannot even start is not tried in a circle. */
	if (now - s->bus_start_ms < RESTART_PAUSE_MS)
		s->bus_restart_ms = now + RESTART_PAUSE_MS;
	forget(s);
	bus_tell(s);
	qmp_mend(s);
}

bool bus_is_awaited(const struct supervisor *s)
{
	return s->bus_listener >= 0 && s->bus_pid <= 0 &&
	       s->bus_restart_ms == 0 && !s->stopping;
}

void bus_end(struct supervisor *s)
{
	char path[sizeof(s->dir) + sizeof("/" VMSTATE_SOCKET)];

	if (s->bus_pid > 0) {
		kill(s->bus_pid, SIGKILL);
		waitpid(s->bus_pid, NULL, 0);
	}
	forget(s);
	if (s->bus_listener < 0)
		return;
	close(s->bus_listener);
	s->bus_listener = -1;
	bus_path(s, path, sizeof(path));
	unlink(path);
}
