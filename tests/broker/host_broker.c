/* SPDX-License-Identifier: MIT */
/*
 * host_broker.c - a broker in the host's role, for tests without a VM
 *
 *	host_broker DIR LINK [CONFIG]
 *
 * Listens on the unix socket LINK, as QEMU does for its chardev, and takes one
 * link at a time. SIGTERM ends it in order, SIGUSR1 cuts the link.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "broker/broker.h"
#include "broker/conf_dir.h"
#include "broker/log.h"
#include "broker/service_spawn.h"

struct host {
	uv_loop_t loop;
	struct broker *broker;
	uv_poll_t link_poll;
	uv_signal_t signals[3];
	const char *config;
	int fds[3];
	int listening, link;
};

static void on_link_ended(void *data, int fd, enum broker_link_end why,
			  int error)
{
	struct host *h = data;

	(void)why;
	(void)error;
	close(fd);
	h->link = -1;
}

static void on_service_start(void *data, const struct service *svc,
			     const char *caller, const char *stream_id,
			     uint64_t request)
{
	struct host *h = data;
	int pid;

	broker_service_ready(h->broker, request,
			     service_spawn_as(svc, caller, stream_id,
					      user_resolve_files, &pid));
}

static int load(struct host *h)
{
	char policy_dir[PATH_MAX], service_dir[PATH_MAX], error[512] = "";
	const char *policy_dirs[] = {NULL, NULL};
	const char *service_dirs[] = {NULL, NULL};
	struct services *s = calloc(1, sizeof(*s));
	struct policy *p;

	if (h->config) {
		snprintf(policy_dir, sizeof(policy_dir), "%s/policy.d",
			 h->config);
		snprintf(service_dir, sizeof(service_dir), "%s/services.d",
			 h->config);
		policy_dirs[0] = policy_dir;
		service_dirs[0] = service_dir;
	}
	if (policy_load(&p, VMC_PRINCIPAL_HOST, policy_dirs,
			group_resolve_files, error, sizeof(error)) < 0 ||
	    services_load(s, service_dirs, error, sizeof(error)) < 0) {
		free(s);
		broker_reloaded(h->broker, error);
		return -1;
	}
	broker_set_policy(h->broker, p);
	broker_set_services(h->broker, s);
	return 0;
}

static void on_reload(void *data)
{
	struct host *h = data;

	if (load(h) == 0)
		broker_reloaded(h->broker, NULL);
}

static const struct broker_ops ops = {
	.link_ended = on_link_ended,
	.service_start = on_service_start,
	.reload = on_reload,
};

static void on_knock(uv_poll_t *p, int status, int events)
{
	struct host *h = p->data;
	int fd =
		accept4(h->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)status;
	(void)events;
	if (fd < 0)
		return;
	if (h->link >= 0) {
		broker_link_detach(h->broker);
		close(h->link);
	}
	h->link = fd;
	broker_link_attach(h->broker, fd, BROKER_LINK_SOCKET);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct host *h = s->data;

	if (number == SIGCHLD) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		return;
	}
	if (number == SIGUSR1) {
		if (h->link >= 0) {
			broker_link_detach(h->broker);
			close(h->link);
			h->link = -1;
		}
		return;
	}
	broker_stop(h->broker);
	broker_free(h->broker);
	uv_close((uv_handle_t *)&h->link_poll, NULL);
	for (int i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&h->signals[i], NULL);
}

static int listen_on(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 4) < 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	static const int numbers[] = {SIGTERM, SIGUSR1, SIGCHLD};
	static struct host h = {.link = -1};
	struct broker_config cfg = {.role = VMC_ROLE_HOST, .vm = "test"};
	char path[PATH_MAX], err[VMDIR_ERROR_MAX];

	if (argc < 3)
		return 2;
	h.config = argc > 3 ? argv[3] : NULL;
	log_init("host-broker");
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&h.loop);
	h.listening = listen_on(argv[2]);
	if (h.listening < 0 ||
	    vmdir_path(path, sizeof(path), argv[1], "test") < 0 ||
	    vmdir_claim(path, 0600, h.fds, err, sizeof(err)) < 0) {
		perror(argv[1]);
		return 1;
	}
	cfg.control_fd = h.fds[1];
	cfg.connect_fd = h.fds[2];
	cfg.owner = geteuid();
	cfg.ops = &ops;
	cfg.data = &h;
	if (broker_new(&h.broker, &h.loop, &cfg) < 0 || load(&h) < 0)
		return 1;
	uv_poll_init(&h.loop, &h.link_poll, h.listening);
	h.link_poll.data = &h;
	uv_poll_start(&h.link_poll, UV_READABLE, on_knock);
	for (int i = 0; i < 3; i++) {
		uv_signal_init(&h.loop, &h.signals[i]);
		h.signals[i].data = &h;
		uv_signal_start(&h.signals[i], on_signal, numbers[i]);
	}
	broker_run(h.broker);
	uv_run(&h.loop, UV_RUN_DEFAULT);
	uv_loop_close(&h.loop);
	vmdir_release(path, h.fds);
	return 0;
}
