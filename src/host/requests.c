/* SPDX-License-Identifier: MIT */
/*
 * requests.c - what the worker may ask of the supervisor
 *
 * ipc_recv() has checked the form; here each request is checked against the
 * supervisor's own tables.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "broker/service_spawn.h"
#include "host/supervisor.h"
#include "host/users_nss.h"

static void on_ready(struct supervisor *s, const struct ipc_msg *m)
{
	(void)m;
	if (s->worker_ready)
		return;
	s->worker_ready = true;
	supervisor_send_config(s, false);
	supervisor_announce(s);
	/* Before the link: a state that waits comes before the handshake. */
	bus_join(s);
	if (!s->stopping)
		link_begin(&s->link, supervisor_now_ms());
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

static void on_link_ended(struct supervisor *s, const struct ipc_msg *m)
{
	uint64_t now = supervisor_now_ms();

	if (!s->worker_ready || s->link.searching || s->stopping)
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

static void on_start(struct supervisor *s, const struct ipc_msg *m)
{
	struct ipc_msg answer = {.type = IPC_SERVICE, .request = m->request};
	int fd = s->stopping ? -ESHUTDOWN : start_service(s, m);

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

static void on_reload(struct supervisor *s, const struct ipc_msg *m)
{
	(void)m;
	supervisor_reload(s, true);
}

static void (*const handlers[IPC_TYPE_NUM])(struct supervisor *s,
					    const struct ipc_msg *m) = {
	[IPC_READY] = on_ready,
	[IPC_LINK_ENDED] = on_link_ended,
	[IPC_START] = on_start,
	[IPC_RELOAD] = on_reload,
};

void requests_handle(struct supervisor *s)
{
	for (int i = 0; i < REQUESTS_PER_TURN && s->pair >= 0; i++) {
		struct ipc_msg m;
		int fd = -1;
		int r = ipc_recv(s->pair, &m, IPC_FROM_WORKER, &fd);

		if (r == 1 && !handlers[m.type]) {
			r = -EPROTO;
			if (fd >= 0)
				close(fd);
		}
		if (r == 1) {
			handlers[m.type](s, &m);
			continue;
		}
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
