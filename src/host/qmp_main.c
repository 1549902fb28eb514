/* SPDX-License-Identifier: MIT */
/*
 * qmp_main.c - a process around vm_watch.c
 *
 * It lives as long as one connection: what a QEMU that was taken over may do to
 * it ends there. It polls two descriptors and sleeps while nothing happens to
 * the VM.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/confine.h"
#include "host/qmp_main.h"
#include "host/vm_watch.h"

#define GO_ON (-1)

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static bool started_by_supervisor(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(QMP_FD_PAIR, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET;
}

/* Each of these returns GO_ON or the status to exit with. */

static int hear_supervisor(struct vm_watch *w)
{
	struct ipc_msg m;
	int fd = -1;
	int r = ipc_recv(QMP_FD_PAIR, &m, IPC_FROM_SUPERVISOR, &fd);

	if (r == -EAGAIN)
		return GO_ON;
	if (r == 1 && m.type == IPC_LOOK)
		vm_watch_look(w, now_ms());
	else if (r == 1 && m.type == IPC_MEND)
		vm_watch_mend(w, m.text, now_ms());
	else
		return r == 0 ? 0 : EXIT_RUN;
	return GO_ON;
}

/* One read per wake-up: a flood must not keep us from the supervisor. */
static int hear_qemu(struct vm_watch *w)
{
	char *room = qmp_watch_room(&w->qmp);
	ssize_t n;

	if (!room)
		return QMP_EXIT_NONSENSE;
	n = recv(QMP_FD_QEMU, room, QMP_READ_STEP, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return GO_ON;
	if (n <= 0)
		return QMP_EXIT_EOF;
	return vm_watch_input(w, (size_t)n, now_ms()) < 0 ? QMP_EXIT_NONSENSE
							  : GO_ON;
}

static int tell_qemu(struct vm_watch *w)
{
	size_t len;
	const char *out = qmp_watch_output(&w->qmp, &len);
	ssize_t n;

	if (len == 0)
		return GO_ON;
	n = send(QMP_FD_QEMU, out, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		qmp_watch_output_done(&w->qmp, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		return QMP_EXIT_EOF;
	return GO_ON;
}

/* A supervisor that does not keep up is told by our end, and the next
 * connection comes later. */
static int tell_supervisor(struct vm_watch *w)
{
	struct ipc_msg m;

	while (vm_watch_tell(w, &m)) {
		if (m.type == IPC_MENDED && m.value < 0)
			log_warning("ev=vmstate-mend error=\"%s\"", w->why);
		if (ipc_send(QMP_FD_PAIR, &m, IPC_FROM_QMP, -1) < 0)
			return EXIT_RUN;
	}
	return GO_ON;
}

static int timeout_ms(uint64_t due_ms)
{
	uint64_t now = now_ms();

	if (due_ms == VM_NEVER)
		return -1;
	return due_ms <= now ? 0 : (int)(due_ms - now);
}

static int turn(struct vm_watch *w)
{
	struct pollfd p[] = {
		{.fd = QMP_FD_PAIR, .events = POLLIN},
		{.fd = QMP_FD_QEMU, .events = POLLIN},
	};
	size_t len;
	int r = GO_ON;

	qmp_watch_output(&w->qmp, &len);
	if (len > 0)
		p[1].events |= POLLOUT;
	if (poll(p, 2, timeout_ms(vm_watch_due(w))) < 0 && errno != EINTR)
		return EXIT_RUN;
	if (p[0].revents)
		r = hear_supervisor(w);
	if (r == GO_ON && (p[1].revents & ~POLLOUT))
		r = hear_qemu(w);
	if (r == GO_ON && !vm_watch_tick(w, now_ms()))
		r = QMP_EXIT_MUTE;
	if (r == GO_ON)
		r = tell_qemu(w);
	return r == GO_ON ? tell_supervisor(w) : r;
}

int qmp_run(const struct options *opt)
{
	struct vm_watch w;
	char name[96];
	int r;

	if (!started_by_supervisor()) {
		fprintf(stderr, "vmchanneld: --qmp is for vmchanneld itself; "
				"leave it out\n");
		return EXIT_USAGE;
	}
	snprintf(name, sizeof(name), "vmchanneld: vm=%.64s role=qmp", opt->vm);
	log_init(name);
	prctl(PR_SET_NAME, "vmchanneld-qmp");
	syscall(SYS_close_range, (unsigned int)QMP_FD_END, ~0u, 0u);
	json_object_seed(0); /* while a file can be opened */
	r = confine(opt, SANDBOX_QMP);
	if (r >= 0)
		return r;
	vm_watch_init(&w, now_ms());
	do
		r = turn(&w);
	while (r == GO_ON);
	vm_watch_done(&w);
	return r;
}
