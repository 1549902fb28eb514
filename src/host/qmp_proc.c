/* SPDX-License-Identifier: MIT */
/*
 * qmp_proc.c - the supervisor's side of vmchanneld's own QMP connection
 */
#include "host/qmp_proc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/qmp_main.h"
#include "host/spawn.h"
#include "host/supervisor.h"

static bool is_wanted(const struct supervisor *s)
{
	return s->qmp.search.addr.sun_path[0] != '\0';
}

int qmp_init(struct supervisor *s)
{
	int r;

	s->qmp.vm = IPC_VM_OFF;
	if (!s->opt->qmp_events)
		return 0;
	s->qmp.vm = IPC_VM_WAITING;
	r = link_init(&s->qmp.search, s->opt->qmp_events);
	s->qmp.search.max_ms = QMP_RETRY_MAX_MS;
	return r;
}

/* ---- the worker ---- */

/* Not to a worker of another program; its successor is told. */
void qmp_tell(struct supervisor *s)
{
	const struct ipc_msg m = {.type = IPC_VM, .value = (int)s->qmp.vm};

	s->qmp.untold = false;
	s->qmp.told_ms = supervisor_now_ms();
	if (is_wanted(s) && s->qmp.listens && s->worker_ready &&
	    s->up.phase == UPGRADE_NONE)
		worker_tell(s, &m, -1);
}

void qmp_greet(struct supervisor *s)
{
	s->qmp.listens = true;
	qmp_tell(s);
}

static void tell_later(struct supervisor *s)
{
	s->qmp.untold = true;
	if (supervisor_now_ms() - s->qmp.told_ms >= QMP_TELL_MS)
		qmp_tell(s);
}

/* ---- the process ---- */

static void tell_process(struct supervisor *s, const struct ipc_msg *m)
{
	/* One that does not read is no loss. */
	if (s->qmp.ready &&
	    ipc_send(s->qmp.pair, m, IPC_FROM_SUPERVISOR, -1) < 0)
		kill(s->qmp.pid, SIGKILL);
}

void qmp_look(struct supervisor *s)
{
	tell_process(s, &(struct ipc_msg){.type = IPC_LOOK});
}

static int start(struct supervisor *s, int qemu_fd)
{
	const char *argv[SPAWN_ARGS_MAX];
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	spawn_args(s->opt, "--qmp", argv);
	pid = spawn_self(s->exe_fd, argv, (const int[]){sv[1], qemu_fd}, 2);
	close(sv[1]);
	if (pid < 0) {
		close(sv[0]);
		return pid;
	}
	s->qmp.pid = pid;
	s->qmp.pair = sv[0];
	return 0;
}

static void try_now(struct supervisor *s)
{
	int before = s->qmp.search.last_error;
	uint64_t now = supervisor_now_ms();
	int fd = link_try(&s->qmp.search, now);
	int r = fd < 0 ? fd : start(s, fd);

	if (fd >= 0)
		close(fd); /* the process's alone */
	if (r < 0 && fd >= 0)
		link_lost(&s->qmp.search, now);
	if (r < 0 && -r != before)
		log_limited(now * 1000u, LOG_LEVEL_INFO,
			    "ev=qmp-missing socket=\"%s\" error=\"%s\"",
			    s->qmp.search.addr.sun_path, strerror(-r));
}

void qmp_begin(struct supervisor *s)
{
	if (is_wanted(s) && s->qmp.pid <= 0 && !s->stopping)
		link_begin(&s->qmp.search, supervisor_now_ms());
}

uint64_t qmp_due(const struct supervisor *s)
{
	uint64_t at = UINT64_MAX;

	if (s->qmp.search.searching && !s->stopping)
		at = s->qmp.search.due_ms;
	if (s->qmp.untold && s->qmp.told_ms + QMP_TELL_MS < at)
		at = s->qmp.told_ms + QMP_TELL_MS;
	return at;
}

void qmp_on_time(struct supervisor *s)
{
	uint64_t now = supervisor_now_ms();

	if (s->qmp.untold && now >= s->qmp.told_ms + QMP_TELL_MS)
		qmp_tell(s);
	if (s->qmp.search.searching && !s->stopping &&
	    now >= s->qmp.search.due_ms)
		try_now(s);
}

static void forget(struct supervisor *s)
{
	if (s->qmp.pair >= 0)
		close(s->qmp.pair);
	s->qmp.pair = -1;
	s->qmp.pid = 0;
	s->qmp.ready = s->qmp.mending = false;
}

static const char *end_name(int wait_status)
{
	if (!WIFEXITED(wait_status))
		return "killed";
	switch (WEXITSTATUS(wait_status)) {
	case QMP_EXIT_EOF:
		return "eof";
	case QMP_EXIT_NONSENSE:
		return "nonsense";
	case QMP_EXIT_MUTE:
		return "no-greeting";
	default:
		return "error";
	}
}

void qmp_died(struct supervisor *s, int wait_status)
{
	uint64_t now = supervisor_now_ms();

	log_limited(now * 1000u, LOG_LEVEL_INFO, "ev=qmp-ended why=%s",
		    end_name(wait_status));
	/* One that never greeted was none, however long it was connected. */
	if (!s->qmp.ready)
		s->qmp.search.since_ms = now;
	forget(s);
	link_lost(&s->qmp.search, now);
	s->qmp.vm = IPC_VM_WAITING;
	qmp_tell(s);
}

void qmp_end(struct supervisor *s)
{
	if (s->qmp.pid > 0) {
		kill(s->qmp.pid, SIGKILL);
		waitpid(s->qmp.pid, NULL, 0);
	}
	forget(s);
}

/* ---- mending the bus ---- */

void qmp_mend(struct supervisor *s)
{
	struct ipc_msg m = {.type = IPC_MEND};
	uint64_t now = supervisor_now_ms();

	/* Somebody must answer when QEMU connects: it stands still until then.
	 * And a copy that has left may be on its way back. */
	if (!s->bus_lost || !s->qmp.ready || s->qmp.mending ||
	    !bus_is_awaited(s) || s->life == LIFE_FENCED)
		return;
	if (!rate_take(&s->qmp.mends, now)) {
		log_limited(now * 1000u, LOG_LEVEL_WARNING,
			    "ev=vmstate-mend why=too-often count=%u",
			    s->qmp.mends.refused);
		return;
	}
	bus_path(s, m.text, sizeof(m.text));
	s->qmp.mending = true;
	tell_process(s, &m);
}

/* ---- what the process says ---- */

static bool on_ready(struct supervisor *s, const struct ipc_msg *m)
{
	(void)m;
	if (s->qmp.ready)
		return false;
	s->qmp.ready = true;
	s->qmp.search.since_ms = supervisor_now_ms();
	log_limited(supervisor_now_ms() * 1000u, LOG_LEVEL_INFO,
		    "ev=qmp-connected");
	qmp_mend(s);
	return true;
}

static bool on_vm(struct supervisor *s, const struct ipc_msg *m)
{
	if (m->value <= IPC_VM_WAITING || m->value >= IPC_VM_NUM)
		return false;
	s->qmp.vm = (enum ipc_vm)m->value;
	tell_later(s);
	return true;
}

static bool on_mended(struct supervisor *s, const struct ipc_msg *m)
{
	if (!s->qmp.mending)
		return false;
	s->qmp.mending = false;
	if (m->value == 0)
		log_limited(supervisor_now_ms() * 1000u, LOG_LEVEL_INFO,
			    "ev=vmstate-mended");
	return true;
}

static bool handle(struct supervisor *s, const struct ipc_msg *m)
{
	switch ((int)m->type) {
	case IPC_READY:
		return on_ready(s, m);
	case IPC_VM:
		return on_vm(s, m);
	case IPC_MENDED:
		return on_mended(s, m);
	default:
		return false;
	}
}

void qmp_handle(struct supervisor *s)
{
	for (int i = 0; i < REQUESTS_PER_TURN && s->qmp.pair >= 0; i++) {
		struct ipc_msg m;
		int fd = -1;
		int r = ipc_recv(s->qmp.pair, &m, IPC_FROM_QMP, &fd);

		if (r == -EAGAIN)
			return;
		if (r == 1 && handle(s, &m))
			continue;
		/* Gone, or not to be believed: its death is handled then. */
		kill(s->qmp.pid, SIGKILL);
		close(s->qmp.pair);
		s->qmp.pair = -1;
	}
}
