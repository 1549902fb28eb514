/* SPDX-License-Identifier: MIT */
/*
 * worker.c - a broker in a sandbox
 *
 * Order of life: prepare everything that needs rights, enter the sandbox,
 * say so, wait for the configuration, and only then look at local programs
 * and the guest.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "host/config.h"
#include "host/confine.h"
#include "host/ipc.h"
#include "host/supervisor.h"
#include "host/worker.h"

/* The goodbye is lost if the link is closed before QEMU has read it, and the
 * guest's programs would wait for a daemon that comes back. QEMU on a busy
 * machine takes its time; the supervisor has more patience than this. */
#define GOODBYE_MS 2000
/* The supervisor reads as fast as it can. */
#define DROP_MS         1000u
#define GOODBYE_STEP_MS 5

void worker_fail(struct worker *w, const char *what, int r)
{
	log_error("ev=%s error=\"%s\"", what, strerror(-r));
	w->status = EXIT_RUN;
	broker_quit(w->broker);
}

void worker_say(struct worker *w, const struct ipc_msg *m, int fd)
{
	int r = ipc_send(WORKER_FD_PAIR, m, IPC_FROM_WORKER, fd);

	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		return; /* gone: the pair's end of file says so too */
	worker_fail(w, "supervisor-deaf", r);
}

/* ---- what the broker asks ---- */

static void on_link_ended(void *data, int fd, enum broker_link_end why,
			  int error)
{
	struct worker *w = data;
	const struct ipc_msg m = {
		.type = IPC_LINK_ENDED,
		.value = (int32_t)why,
		.error = error,
	};

	/* The supervisor has a copy, which it closes before it connects anew.
	 */
	if (why == BROKER_LINK_STUCK)
		shutdown(fd, SHUT_RDWR);
	close(fd);
	w->link_fd = -1;
	worker_say(w, &m, -1);
	worker_happened(w, LIFE_EV_CUT);
}

static void on_service_start(void *data, const struct service *svc,
			     const char *caller, const char *stream_id,
			     uint64_t request)
{
	struct worker *w = data;
	struct ipc_msg m = {.type = IPC_START, .request = request};
	int r;

	snprintf(m.name, sizeof(m.name), "%s", svc->name);
	snprintf(m.caller, sizeof(m.caller), "%s", caller);
	snprintf(m.stream, sizeof(m.stream), "%s", stream_id);
	r = ipc_send(WORKER_FD_PAIR, &m, IPC_FROM_WORKER, -1);
	/* Busy starting others: this one is refused rather than waited for. */
	if (r < 0)
		broker_service_ready(w->broker, request, r);
	else
		w->starting++;
}

static void on_reload(void *data)
{
	const struct ipc_msg m = {.type = IPC_RELOAD};

	worker_say(data, &m, -1);
}

static void on_upgrade(void *data)
{
	worker_say(data, &(struct ipc_msg){.type = IPC_UPGRADE}, -1);
}

static bool on_keep(void *unused, uint64_t number, int fd)
{
	const struct ipc_msg m = {
		.type = IPC_KEEP,
		.request = number,
		.value = STATE_FD_STREAM,
	};

	(void)unused;
	return ipc_send(WORKER_FD_PAIR, &m, IPC_FROM_WORKER, fd) == 0;
}

/* Must arrive; many may end at one moment. */
static void on_drop(void *data, uint64_t number)
{
	const struct ipc_msg m = {.type = IPC_DROP, .request = number};
	int r = ipc_send_wait(WORKER_FD_PAIR, &m, IPC_FROM_WORKER, -1, DROP_MS);

	if (r == -EAGAIN)
		worker_fail(data, "supervisor-deaf", r);
}

static const struct broker_ops ops = {
	.link_ended = on_link_ended,
	.service_start = on_service_start,
	.reload = on_reload,
	.peer_up = worker_peer_up,
	.upgrade = on_upgrade,
	.keep = on_keep,
	.drop = on_drop,
};

/* ---- what the supervisor says ---- */

static int read_blob(int fd, size_t len, uint8_t **ret)
{
	uint8_t *buf;
	ssize_t n;

	if (len > CONFIG_BLOB_MAX)
		return -EFBIG;
	buf = malloc(len ? len : 1);
	if (!buf)
		return -ENOMEM;
	n = pread(fd, buf, len, 0);
	if (n < 0 || (size_t)n != len) {
		free(buf);
		return n < 0 ? -errno : -EINVAL;
	}
	*ret = buf;
	return 0;
}

static int apply_config(struct worker *w, int fd, size_t len)
{
	struct services *services = malloc(sizeof(*services));
	struct policy *policy = NULL;
	uint8_t *buf = NULL;
	int r = services ? read_blob(fd, len, &buf) : -ENOMEM;

	if (r == 0)
		r = config_parse(buf, len, services, &policy);
	free(buf);
	if (r < 0) {
		free(services);
		return r;
	}
	broker_set_policy(w->broker, policy);
	broker_set_services(w->broker, services);
	malloc_trim(0);
	return 0;
}

static void on_config(struct worker *w, const struct ipc_msg *m, int fd)
{
	int r = apply_config(w, fd, m->size);

	close(fd);
	if (r < 0) {
		log_error("ev=bad-config error=\"%s\"", strerror(-r));
		w->status = EXIT_RUN;
		broker_quit(w->broker);
		return;
	}
	w->configured = true;
	if (m->value)
		broker_reloaded(w->broker, NULL);
}

static void on_config_failed(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)fd;
	broker_reloaded(w->broker, m->text);
}

static void on_link(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)m;
	if (w->link_fd >= 0) {
		broker_link_detach(w->broker);
		close(w->link_fd);
	}
	w->link_fd = fd;
	worker_happened(w, LIFE_EV_ATTACH);
	broker_link_attach(w->broker, fd, BROKER_LINK_SOCKET);
}

static void on_link_detail(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)fd;
	broker_link_detail(w->broker, m->text);
}

static void on_service(struct worker *w, const struct ipc_msg *m, int fd)
{
	if (w->starting > 0)
		w->starting--;
	broker_service_ready(w->broker, m->request, fd >= 0 ? fd : m->value);
}

static void on_stop(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)fd;
	w->stopping = true;
	w->at_once = m->value != 0;
	broker_quit(w->broker);
}

/* Not here: other callbacks of this turn still run. */
static void on_hold(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)m;
	(void)fd;
	w->hold = true;
	broker_quit(w->broker);
}

static void on_thaw(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)m;
	(void)fd;
	worker_happened(w, LIFE_EV_REFUSED);
}

static void on_upgrade_failed(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)fd;
	broker_upgraded(w->broker, m->text);
}

/* All was given: the session is ours. */
static void on_life(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)fd;
	if (w->may_run || m->value < 0 || m->value >= LIFE_NUM)
		return;
	w->may_run = true;
	if (w->adopt)
		broker_upgraded(w->broker, NULL); /* who asked for it is here */
	else
		worker_take_left(w);
	worker_set_life(w, (enum life)m->value);
}

static void (*const handlers[IPC_TYPE_NUM])(struct worker *w,
					    const struct ipc_msg *m, int fd) = {
	[IPC_CONFIG] = on_config,
	[IPC_CONFIG_FAILED] = on_config_failed,
	[IPC_LINK] = on_link,
	[IPC_LINK_DETAIL] = on_link_detail,
	[IPC_SERVICE] = on_service,
	[IPC_STOP] = on_stop,
	[IPC_BUS] = worker_on_bus,
	[IPC_CLAIMED] = worker_on_claimed,
	[IPC_HOLD] = on_hold,
	[IPC_THAW] = on_thaw,
	[IPC_ADOPT] = worker_on_adopt,
	[IPC_GIVE] = worker_on_give,
	[IPC_LIFE] = on_life,
	[IPC_UPGRADE_FAILED] = on_upgrade_failed,
	[IPC_VMSTATE] = worker_on_vmstate,
	[IPC_VM] = worker_on_vm,
};

bool worker_hear(struct worker *w)
{
	struct ipc_msg m;
	int fd = -1;
	int r = ipc_recv(WORKER_FD_PAIR, &m, IPC_FROM_SUPERVISOR, &fd);

	if (r == 1 && !handlers[m.type]) {
		r = -EPROTO;
		if (fd >= 0)
			close(fd);
	}
	if (r == 1) {
		handlers[m.type](w, &m, fd);
		return !w->stopping && !w->hold;
	}
	if (r == -EAGAIN)
		return false;
	if (r < 0)
		worker_fail(w, "supervisor-nonsense", r);
	/* Without a supervisor there is no way on; the next one starts clean.
	 */
	w->stopping = true;
	broker_quit(w->broker);
	return false;
}

static void on_pair(uv_poll_t *h, int status, int events)
{
	(void)status;
	(void)events;
	struct worker *w = h->data;

	while (worker_hear(w))
		;
}

void worker_wait(struct worker *w, int ms)
{
	struct pollfd p = {.fd = WORKER_FD_PAIR, .events = POLLIN};

	if (poll(&p, 1, ms) > 0)
		worker_hear(w);
}

/* ---- life ---- */

static int fail(const char *what, int r)
{
	log_error("ev=worker-start what=%s error=\"%s\"", what, strerror(-r));
	return EXIT_RUN;
}

static bool started_by_supervisor(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(WORKER_FD_PAIR, SOL_SOCKET, SO_TYPE, &type, &len) ==
		       0 &&
	       type == SOCK_SEQPACKET;
}

static int make_broker(struct worker *w, const struct options *opt)
{
	const struct broker_config cfg = {
		.role = VMC_ROLE_HOST,
		.vm = opt->vm,
		.uuid = opt->uuid,
		.control_fd = WORKER_FD_CONTROL,
		.connect_fd = WORKER_FD_CONNECT,
		.owner = geteuid(),
		.session_mem = w->arena.mem,
		.session_size = w->arena.size,
		.session_left = w->arena.left,
		.session_torn = w->arena.torn,
		.turn = &w->arena.head->turn,
		.incoming = opt->incoming,
		.ops = &ops,
		.data = w,
	};
	int r = uv_loop_init(&w->loop);

	if (r == 0)
		r = worker_life_init(w);
	if (r < 0)
		return r;
	r = broker_new(&w->broker, &w->loop, &cfg);
	if (r < 0)
		return r;
	r = uv_poll_init(&w->loop, &w->pair, WORKER_FD_PAIR);
	w->pair.data = w;
	return r < 0 ? r : uv_poll_start(&w->pair, UV_READABLE, on_pair);
}

/* Nobody is served before policy is there and the session is ours. */
static void wait_for_config(struct worker *w)
{
	const struct ipc_msg ready = {.type = IPC_READY};

	worker_say(w, &ready, -1);
	while (!(w->configured && w->may_run) && !w->stopping && w->status == 0)
		worker_wait(w, -1);
}

static void serve(struct worker *w)
{
	while (!w->stopping && w->status == 0) {
		broker_run(w->broker);
		if (w->hold)
			worker_hold(w);
	}
}

/* QEMU throws away what it has not read when the link is closed. */
static void say_goodbye(struct worker *w)
{
	int fd = w->link_fd;
	int waiting = 0;

	broker_stop(w->broker);
	for (int ms = 0; fd >= 0 && ms < GOODBYE_MS; ms += GOODBYE_STEP_MS) {
		if (ioctl(fd, SIOCOUTQ, &waiting) < 0 || waiting == 0)
			break;
		poll(NULL, 0, GOODBYE_STEP_MS);
	}
}

static void clean_up(struct worker *w)
{
	broker_free(w->broker);
	worker_life_close(w);
	uv_close((uv_handle_t *)&w->pair, NULL);
	while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0)
		; /* once more if it was told to stop */
	uv_loop_close(&w->loop);
	if (w->link_fd >= 0)
		close(w->link_fd);
}

static int map_memory(struct worker *w)
{
	void *p = mmap(NULL, STATE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED,
		       WORKER_FD_STATE, 0);
	int r;

	if (p == MAP_FAILED)
		return -errno;
	w->state = p;
	r = arena_open(&w->arena, WORKER_FD_ARENA);
	close(WORKER_FD_STATE);
	close(WORKER_FD_ARENA);
	return r;
}

int worker_run(const struct options *opt)
{
	struct worker w = {
		.link_fd = -1,
		.bus = -1,
		.adopt = opt->adopt,
		.life = opt->incoming ? LIFE_INCOMING : LIFE_SERVING,
	};
	char name[96];
	int r;

	if (!started_by_supervisor()) {
		fprintf(stderr,
			"vmchanneld: --worker is for vmchanneld itself; "
			"leave it out\n");
		return EXIT_USAGE;
	}
	snprintf(name, sizeof(name), "vmchanneld: vm=%.64s role=worker",
		 opt->vm);
	log_init(name);
	prctl(PR_SET_NAME, "vmchanneld-work");
	syscall(SYS_close_range, (unsigned int)WORKER_FD_NUM, ~0u, 0u);
	broker_batch();
	r = map_memory(&w);
	if (r == 0)
		r = make_broker(&w, opt);
	if (r < 0)
		return fail("broker", r);
	r = confine(opt, SANDBOX_WORKER);
	if (r >= 0)
		return r;
	wait_for_config(&w);
	serve(&w);
	/* The sockets are another worker's: not a byte, not a shutdown. */
	if (w.at_once)
		_exit(w.status);
	if (w.stopping)
		say_goodbye(&w);
	clean_up(&w);
	return w.status;
}
