/* SPDX-License-Identifier: MIT */
/*
 * ops_main.c - the operations process: channels, policy, signals
 *
 * A program like any other that uses libvmchannel: it announces a channel for
 * each interface and takes streams from it. The agent starts it, as root, and
 * again when it ends; it knows nothing of the link or the session.
 */
#include "guest/ops_main.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "guest/ops_bus.h"
#include "guest/ops_internal.h"
#include "guest/ops_offer.h"
#include "guest/settings.h"

#define VM "host"
/* Streams taken per wake-up, so that those which are there move, too. */
#define ACCEPT_MAX 16

uv_loop_t *ops_loop(struct ops *o)
{
	return &o->loop;
}

enum ops_back_end ops_back_end(const struct ops *o)
{
	(void)o;
	return ops_bus_possible() ? OPS_SYSTEMD : OPS_KERNEL;
}

/* ---- the end ------------------------------------------------------------- */

static void close_handle(void *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void stop(struct ops *o, int status)
{
	struct op_conn *c, *next;

	if (o->stopping)
		return;
	o->stopping = true;
	o->status = status;
	for (size_t i = 0; op_interfaces[i]; i++)
		if (op_interfaces[i]->stop)
			op_interfaces[i]->stop(o);
	for (size_t i = 0; i < o->n_channels; i++) {
		uv_poll_stop(&o->channels[i].poll);
		close_handle(&o->channels[i].poll);
		vmc_listener_free(o->channels[i].listener);
	}
	ops_offers_stop(o);
	for (c = LIST_FIRST(&o->conns); c; c = next) {
		next = LIST_NEXT(c, link);
		ops_conn_close(c);
	}
	ops_bus_stop(o);
	for (size_t i = 0; i < sizeof(o->signals) / sizeof(o->signals[0]); i++)
		close_handle(&o->signals[i]);
}

void ops_broker_gone(struct ops *o)
{
	log_info("ev=broker-gone");
	stop(o, EXIT_FAILURE);
}

/* ---- channels ------------------------------------------------------------ */

static void on_channel(uv_poll_t *h, int status, int events);

/* There is no room for more: they wait in the broker. */
static void pause_channels(struct ops *o)
{
	o->paused = true;
	for (size_t i = 0; i < o->n_channels; i++)
		uv_poll_stop(&o->channels[i].poll);
}

void ops_resume(struct ops *o)
{
	ops_offers_resume(o);
	if (!o->paused || o->stopping)
		return;
	o->paused = false;
	for (size_t i = 0; i < o->n_channels; i++)
		uv_poll_start(&o->channels[i].poll, UV_READABLE, on_channel);
}

/* Return: false if there is none to take now. */
static bool take_stream(struct ops_channel *ch)
{
	struct ops *o = ch->o;
	struct vmc_caller caller;
	int fd;

	if (o->n_conns >= OPS_CONNS_MAX) {
		log_limited(uv_hrtime() / 1000, LOG_LEVEL_WARNING,
			    "ev=limit limit=streams value=%d", OPS_CONNS_MAX);
		pause_channels(o);
		return false;
	}
	fd = vmc_accept(ch->listener, &caller, 0);
	if (fd >= 0)
		return ops_conn_new(o, ch->iface, fd, &caller) == 0;
	if (fd == -ECONNRESET)
		ops_broker_gone(o);
	return false;
}

static void on_channel(uv_poll_t *h, int status, int events)
{
	struct ops_channel *ch = h->data;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_MAX && take_stream(ch); i++)
		;
}

/* Return: 0; policy may keep an interface from being announced at all. */
static int announce(struct ops *o, const struct op_interface *iface)
{
	struct ops_channel *ch = &o->channels[o->n_channels];
	int r = vmc_listen(&ch->listener, VM, iface->name, 0);

	if (r == -EACCES) {
		log_info("ev=not-announced channel=%s", iface->name);
		return 0;
	}
	if (r < 0) {
		log_error("ev=announce channel=%s error=\"%s\"", iface->name,
			  vmc_strerror());
		return r;
	}
	ch->o = o;
	ch->iface = iface;
	uv_poll_init(&o->loop, &ch->poll, vmc_listener_fd(ch->listener));
	ch->poll.data = ch;
	uv_poll_start(&ch->poll, UV_READABLE, on_channel);
	o->n_channels++;
	return 0;
}

static int announce_all(struct ops *o)
{
	size_t n = 0;
	int r = 0;

	while (op_interfaces[n])
		n++;
	o->channels = calloc(n + 1, sizeof(*o->channels));
	if (!o->channels)
		return -ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++)
		r = announce(o, op_interfaces[i]);
	return r;
}

/* ---- policy and signals -------------------------------------------------- */

static int load_policy(struct ops *o)
{
	char error[SETTINGS_ERROR_MAX] = "";
	struct policy *p;
	int r = settings_load_policy(&p, o->opt->config, error, sizeof(error));

	if (r < 0) {
		log_error("%s", error);
		return r;
	}
	policy_free(o->policy);
	o->policy = p;
	return 0;
}

static void reload(struct ops *o)
{
	/* Else the old one stays; it was logged. */
	if (load_policy(o) == 0 && !o->stopping)
		ops_offers_update(o);
}

static void on_signal(uv_signal_t *h, int number)
{
	struct ops *o = h->data;

	if (number == SIGCHLD)
		ops_children_reap(o);
	else if (number == SIGHUP)
		reload(o);
	else
		stop(o, EXIT_SUCCESS);
}

static void watch_signals(struct ops *o)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uv_signal_init(&o->loop, &o->signals[i]);
		o->signals[i].data = o;
		uv_signal_start(&o->signals[i], on_signal, numbers[i]);
	}
}

/* ---- start --------------------------------------------------------------- */

/* What is to be remembered: beside the agent's directory, which goes with the
 * agent. */
static int open_files(struct ops *o)
{
	char dir[PATH_MAX - 16], path[PATH_MAX];
	int r = vmdir_path(dir, sizeof(dir), o->opt->dir, VM);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s.events", dir);
	r = ops_events_new(&o->events, path);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s.requests", dir);
	return ops_requests_new(&o->requests, path, ops_boot(o));
}

static int start(struct ops *o)
{
	int r;

	if (o->opt->dir && setenv("VMCHANNEL_DIR", o->opt->dir, 1) < 0)
		return -errno;
	r = load_policy(o);
	if (r == 0)
		r = open_files(o);
	if (r == 0)
		r = ops_offers_new(o);
	if (r < 0)
		return r;
	watch_signals(o);
	/* Events come before the first subscriber can. */
	for (size_t i = 0; op_interfaces[i]; i++)
		if (op_interfaces[i]->start)
			(void)op_interfaces[i]->start(o);
	r = announce_all(o);
	if (r < 0)
		stop(o, EXIT_FAILURE);
	else
		ops_offers_update(o);
	return 0;
}

int ops_main(const struct options *opt)
{
	static struct ops o;

	/* It is not to be taken for the agent. */
	prctl(PR_SET_NAME, "vmchannel-ops");
	log_init("vmchannel-operations");
	if (opt->debug)
		log_set_level(LOG_LEVEL_DEBUG);
	o.opt = opt;
	LIST_INIT(&o.conns);
	LIST_INIT(&o.watched);
	uv_loop_init(&o.loop);
	if (start(&o) < 0)
		return EXIT_FAILURE;
	uv_run(&o.loop, UV_RUN_DEFAULT);
	ops_bus_free(&o);
	ops_events_free(o.events);
	ops_requests_free(o.requests);
	ops_offers_free(&o);
	policy_free(o.policy);
	free(o.channels);
	return o.status;
}
