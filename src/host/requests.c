/* SPDX-License-Identifier: MIT */
/*
 * requests.c - what the worker may ask of the supervisor
 *
 * ipc_recv() has checked the form; here each request is checked against the
 * supervisor's own tables.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "broker/service_spawn.h"
#include "broker/users_nss.h"
#include "host/loaded.h"
#include "host/supervisor.h"

static void on_ready(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	(void)m;
	(void)fd;
	if (s->worker_ready)
		return;
	s->worker_ready = true;
	supervisor_send_config(s, false);
	supervisor_announce(s);
	worker_greet(s);
}

static const char *end_name(int32_t why)
{
	switch (why) {
	case BROKER_LINK_EOF:
		return "eof";
	case BROKER_LINK_STUCK:
		return "no-answer";
	default:
		return "error";
	}
}

static void on_link_ended(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	uint64_t now = supervisor_now_ms();

	(void)fd;
	if (s->link_fd < 0)
		return;
	/* QEMU takes one client; before the next is tried. */
	supervisor_drop_link(s);
	if (s->stopping)
		return;
	log_limited(now * 1000u, LOG_LEVEL_INFO,
		    "ev=link-ended why=%s error=%d", end_name(m->value),
		    (int)m->error);
	if (s->opt->link_fd >= 0) {
		supervisor_stop(s, "the link's descriptor has ended");
		return;
	}
	link_lost(&s->link, now);
}

static int start_service(struct supervisor *s, const struct ipc_msg *m)
{
	const struct service *svc = services_find(&s->services, m->name);
	int pid, fd, r;

	if (!svc)
		return -ENOENT; /* withdrawn by a reload that it did not see */
	r = children_reserve(&s->children, svc->name, svc->max_streams);
	if (r < 0)
		return r;
	fd = service_spawn_as(svc, m->caller, m->stream, user_resolve_nss,
			      &pid);
	if (fd >= 0 && pid > 0)
		children_add(&s->children, pid, svc->name);
	return fd;
}

static void on_start(struct supervisor *s, const struct ipc_msg *m, int unused)
{
	struct ipc_msg answer = {.type = IPC_SERVICE, .request = m->request};
	int fd = s->stopping ? -ESHUTDOWN : start_service(s, m);

	(void)unused;
	if (fd < 0) {
		answer.value = fd;
		log_limited(supervisor_now_ms() * 1000u, LOG_LEVEL_WARNING,
			    "ev=service-failed channel=%s error=\"%s\"",
			    m->name, strerror(-fd));
	}
	worker_tell(s, &answer, fd);
	if (fd >= 0)
		close(fd);
}

static void on_reload(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	(void)m;
	(void)fd;
	supervisor_reload(s, true);
}

static void on_upgrade(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	(void)m;
	(void)fd;
	upgrade_begin(s, true);
}

static void on_held(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	(void)fd;
	upgrade_held(s, m);
}

/* A worker that names two the same, or too many, is not believed; what comes
 * of it is its own loss. */
static void on_keep(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy >= 0)
		keep_add(&s->keep, m->request, m->value, copy);
}

static void on_drop(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	(void)fd;
	keep_drop(&s->keep, m->request);
}

static void on_moved(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	(void)m;
	(void)fd;
	s->linger_ms = supervisor_now_ms() + MOVED_MS;
}

static void on_claim(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	struct ipc_msg answer = {.type = IPC_CLAIMED, .value = -EBUSY};

	(void)fd;
	if (rate_take(&s->claims, supervisor_now_ms()))
		answer.value = loaded_claim_again(&s->loaded, s->dir, m->text,
						  s->life == LIFE_INCOMING);
	else
		log_limited(supervisor_now_ms() * 1000u, LOG_LEVEL_WARNING,
			    "ev=claim-refused why=too-often count=%u",
			    s->claims.refused);
	worker_tell(s, &answer, -1);
}

static void on_life(struct supervisor *s, const struct ipc_msg *m, int fd)
{
	(void)fd;
	if (m->value >= 0 && m->value < LIFE_NUM)
		s->life = (enum life)m->value;
	if (s->life == LIFE_FENCED)
		qmp_look(s);
	qmp_mend(s);
}

/* @fd is closed afterwards; who wants to keep it makes a copy. */
static const struct request {
	void (*handle)(struct supervisor *s, const struct ipc_msg *m, int fd);
	bool last; /* counts from a dead worker, too */
} requests[IPC_TYPE_NUM] = {
	[IPC_READY] = {on_ready, false},
	[IPC_LINK_ENDED] = {on_link_ended, true},
	[IPC_START] = {on_start, false},
	[IPC_RELOAD] = {on_reload, false},
	[IPC_UPGRADE] = {on_upgrade, false},
	[IPC_HELD] = {on_held, false},
	[IPC_GIVE] = {upgrade_given, false},
	[IPC_KEEP] = {on_keep, true},
	[IPC_DROP] = {on_drop, true},
	[IPC_MOVED] = {on_moved, true},
	[IPC_CLAIM] = {on_claim, false},
	[IPC_LIFE] = {on_life, true},
};

/* Return: as ipc_recv(). */
static int handle_one(struct supervisor *s, bool dead)
{
	struct ipc_msg m;
	int fd = -1;
	int r = ipc_recv(s->pair, &m, IPC_FROM_WORKER, &fd);
	const struct request *q = r == 1 ? &requests[m.type] : NULL;

	if (q && !q->handle)
		r = -EPROTO;
	else if (q && (!dead || q->last))
		q->handle(s, &m, fd);
	if (fd >= 0)
		close(fd);
	return r;
}

void requests_last(struct supervisor *s)
{
	while (s->pair >= 0 && handle_one(s, true) == 1)
		;
}

void requests_handle(struct supervisor *s)
{
	for (int i = 0; i < REQUESTS_PER_TURN && s->pair >= 0; i++) {
		int r = handle_one(s, false);

		if (r == 1)
			continue;
		if (r == -EAGAIN)
			return;
		/* Gone, or not to be believed: either way it is over. */
		if (r < 0)
			log_error("ev=worker-nonsense error=\"%s\" action=kill",
				  strerror(-r));
		worker_kill(s);
		return;
	}
}
