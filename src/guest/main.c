/* SPDX-License-Identifier: MIT */
/*
 * main.c - vmchannel-agent, the guest's broker
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "broker/service_spawn.h"
#include "guest/notify.h"
#include "guest/operations.h"
#include "guest/ops_main.h"
#include "guest/options.h"
#include "guest/port.h"
#include "guest/privileges.h"
#include "guest/settings.h"

/* The guest's programs come as they are; policy decides by who they are. */
#define SOCKET_MODE 0666
/* Callers and streams at their limits, and what services are started with. */
#define FILES_MAX 4096

struct agent {
	uv_loop_t loop;
	struct options opt;
	struct broker *broker;
	struct port port;
	struct operations operations;
	uv_signal_t signals[4];
	char path[PATH_MAX];
	int fds[3]; /* lock, control, connect */
};

/* ---- what the broker asks of us --------------------------------------------
 */

static void on_link_ended(void *data, int fd, enum broker_link_end why,
			  int error)
{
	struct agent *a = data;

	(void)fd;
	port_link_ended(&a->port, why, error);
}

static void on_service_start(void *data, const struct service *svc,
			     const char *caller, const char *stream_id,
			     uint64_t request)
{
	struct agent *a = data;
	int pid;
	int fd = service_spawn_as(svc, caller, stream_id, user_resolve_files,
				  &pid);

	broker_service_ready(a->broker, request, fd);
}

static void reload(struct agent *a)
{
	char error[SETTINGS_ERROR_MAX] = "";
	struct settings s;

	if (settings_load(&s, a->opt.config, error, sizeof(error)) < 0) {
		log_error("ev=reload error=\"%s\": the old settings stay",
			  error);
		broker_reloaded(a->broker, error);
		return;
	}
	if (s.switch_user && !privileges_can_switch())
		log_warning("ev=reload: User= is new in services.d; restart "
			    "vmchannel-agent to use it");
	broker_set_policy(a->broker, s.policy);
	broker_set_services(a->broker, s.services);
	broker_reloaded(a->broker, NULL);
	operations_reload(&a->operations);
	log_info("ev=reload");
}

static void on_reload(void *data)
{
	reload(data);
}

static const struct broker_ops ops = {
	.link_ended = on_link_ended,
	.service_start = on_service_start,
	.reload = on_reload,
};

/* ---- signals
 * ------------------------------------------------------------------ */

static void stop(struct agent *a)
{
	notify_manager("STOPPING=1");
	operations_stop(&a->operations);
	broker_stop(a->broker);
	broker_free(a->broker);
	a->broker = NULL;
	port_stop(&a->port);
	for (size_t i = 0; i < sizeof(a->signals) / sizeof(a->signals[0]); i++)
		uv_close((uv_handle_t *)&a->signals[i], NULL);
}

static void reap(struct agent *a)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		operations_ended(&a->operations, pid, status);
}

static void on_signal(uv_signal_t *h, int number)
{
	struct agent *a = h->data;

	if (number == SIGCHLD)
		reap(a);
	else if (number == SIGHUP)
		reload(a);
	else if (a->broker)
		stop(a);
}

static void watch_signals(struct agent *a)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uv_signal_init(&a->loop, &a->signals[i]);
		a->signals[i].data = a;
		uv_signal_start(&a->signals[i], on_signal, numbers[i]);
	}
}

/* ---- start
 * ---------------------------------------------------------------------- */

/* Enough that a program which the agent wakes waits until the agent sleeps. */
#define AGENT_NICE (-12)

/*
 * A program that the agent delivers to runs when the agent has delivered all
 * there is, not in between: 6 instead of 36 switches per MiB.
 */
static void run_in_batches(void)
{
	if (setpriority(PRIO_PROCESS, 0, AGENT_NICE) < 0)
		log_debug("ev=no-nice error=\"%s\"", strerror(errno));
	broker_batch();
}

/* What the broker's own limits add up to is more than the usual 1024. */
static void allow_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES_MAX)
		return;
	l.rlim_cur = l.rlim_max < FILES_MAX ? l.rlim_max : FILES_MAX;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		log_debug("ev=files-limit error=\"%s\"", strerror(errno));
}

static int claim(struct agent *a)
{
	char err[VMDIR_ERROR_MAX];
	int r = vmdir_path(a->path, sizeof(a->path), a->opt.dir, "host");

	if (r < 0) {
		log_error("no place for the sockets: %s; use --dir DIR (short)",
			  strerror(-r));
		return r;
	}
	r = vmdir_claim(a->path, SOCKET_MODE, a->fds, err, sizeof(err));
	if (r == -EBUSY)
		log_error("%s is in use: an agent runs already; stop it or use "
			  "--dir",
			  a->path);
	else if (r < 0 && err[0])
		log_error("%s", err);
	else if (r < 0)
		log_error("cannot make %s: %s; run as root or use --dir",
			  a->path, strerror(-r));
	return r;
}

static int make_broker(struct agent *a, struct settings *s)
{
	struct broker_config cfg = {
		.role = VMC_ROLE_GUEST,
		.vm = "host",
		.control_fd = a->fds[1],
		.connect_fd = a->fds[2],
		.owner = geteuid(),
		.ops = &ops,
		.data = a,
	};
	int r = broker_new(&a->broker, &a->loop, &cfg);

	if (r < 0) {
		log_error("cannot start: %s", strerror(-r));
		settings_done(s);
		return r;
	}
	broker_set_policy(a->broker, s->policy);
	broker_set_services(a->broker, s->services);
	return 0;
}

static int start(struct agent *a)
{
	char error[SETTINGS_ERROR_MAX] = "";
	struct settings s;
	int r;

	r = settings_load(&s, a->opt.config, error, sizeof(error));
	if (r < 0) {
		log_error("%s", error);
		return r;
	}
	r = claim(a);
	if (r < 0) {
		settings_done(&s);
		return r;
	}
	if (privileges_drop(s.switch_user) < 0)
		log_warning("ev=privileges-kept");
	r = make_broker(a, &s);
	if (r < 0)
		goto err_release;
	watch_signals(a);
	r = port_start(&a->port, &a->loop, a->broker, a->opt.port,
		       a->opt.device);
	if (r < 0) {
		log_error("cannot watch for ports: %s", strerror(-r));
		goto err_release;
	}
	return 0;
err_release:
	vmdir_release(a->path, a->fds);
	return r;
}

int main(int argc, char **argv)
{
	static struct agent a;
	int r;

	log_init("vmchannel-agent");
	r = options_parse(&a.opt, argc, argv);
	if (r >= 0)
		return r;
	if (a.opt.operations)
		return ops_main(&a.opt);
	if (a.opt.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	run_in_batches();
	allow_files();
	uv_loop_init(&a.loop);
	if (start(&a) < 0)
		return EXIT_FAILURE;
	operations_start(&a.operations, &a.loop, &a.opt);
	notify_manager("READY=1");
	broker_run(a.broker); /* until a signal frees it */
	uv_run(&a.loop, UV_RUN_DEFAULT);
	uv_loop_close(&a.loop);
	vmdir_release(a.path, a.fds);
	return EXIT_SUCCESS;
}
