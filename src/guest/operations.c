/* SPDX-License-Identifier: MIT */
/* operations.c - the agent's care for the operations process */
#include "guest/operations.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/log.h"

/* The first start after an end, and the slowest. */
#define DELAY_MS     100u
#define DELAY_MAX_MS 30000u
/* One that ran this long has not failed at once: begin anew. */
#define STEADY_MS 60000u

#define ARGS_MAX 8

static void begin(struct operations *o);

static void on_timer(uv_timer_t *h)
{
	begin(h->data);
}

static void fill_args(const struct options *opt, char *args[ARGS_MAX])
{
	static char name[] = "vmchannel-operations", mode[] = "--operations",
		    dir[] = "--dir", config[] = "--config", debug[] = "--debug";
	size_t n = 0;

	args[n++] = name;
	args[n++] = mode;
	if (opt->dir) {
		args[n++] = dir;
		args[n++] = opt->dir;
	}
	if (opt->config) {
		args[n++] = config;
		args[n++] = opt->config;
	}
	if (opt->debug)
		args[n++] = debug;
	args[n] = NULL;
}

__attribute__((noreturn)) static void child(const struct options *opt,
					    pid_t agent)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	char *args[ARGS_MAX];
	sigset_t none;

	/* It is nothing without the broker, and can end in order. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != agent)
		_exit(EXIT_FAILURE);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	unsetenv("NOTIFY_SOCKET"); /* the agent's own */
	fill_args(opt, args);
	/* Root gets back the capabilities that the agent gave up. */
	execv("/proc/self/exe", args);
	_exit(127);
}

static void later(struct operations *o)
{
	uv_timer_start(&o->timer, on_timer, o->delay_ms, 0);
	o->delay_ms =
		o->delay_ms * 2 < DELAY_MAX_MS ? o->delay_ms * 2 : DELAY_MAX_MS;
}

static void begin(struct operations *o)
{
	pid_t agent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		child(o->opt, agent);
	if (pid < 0) {
		log_warning("ev=operations-start error=\"%s\"",
			    strerror(errno));
		later(o);
		return;
	}
	o->pid = pid;
	uv_update_time(o->timer.loop);
	o->started_ms = uv_now(o->timer.loop);
	log_debug("ev=operations-started pid=%d", (int)pid);
}

void operations_start(struct operations *o, uv_loop_t *loop,
		      const struct options *opt)
{
	o->opt = opt;
	o->delay_ms = DELAY_MS;
	if (opt->no_operations || geteuid() != 0)
		return;
	o->on = true;
	uv_timer_init(loop, &o->timer);
	o->timer.data = o;
	begin(o);
}

void operations_ended(struct operations *o, pid_t pid, int status)
{
	if (!o->on || pid != o->pid)
		return;
	o->pid = 0;
	uv_update_time(o->timer.loop);
	if (uv_now(o->timer.loop) - o->started_ms >= STEADY_MS)
		o->delay_ms = DELAY_MS;
	log_warning("ev=operations-ended %s=%d again_ms=%u",
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status),
		    o->delay_ms);
	later(o);
}

void operations_reload(const struct operations *o)
{
	if (o->on && o->pid > 0)
		kill(o->pid, SIGHUP);
}

void operations_stop(struct operations *o)
{
	if (!o->on)
		return;
	o->on = false;
	if (o->pid > 0)
		kill(o->pid, SIGTERM);
	uv_close((uv_handle_t *)&o->timer, NULL);
}
