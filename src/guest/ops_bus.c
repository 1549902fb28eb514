/* SPDX-License-Identifier: MIT */
/*
 * ops_bus.c - one connection to the system bus, driven by the loop
 *
 * sd-bus says what it waits for: a descriptor, events, a time. After each
 * thing that may have changed these, arm() asks it anew. A connection that
 * fails is closed from the loop only, never from within one of its callbacks.
 */
#include "guest/ops_bus.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "broker/log.h"
#include "guest/ops_internal.h"

#define SYSTEM_BUS "unix:path=/run/dbus/system_bus_socket"

struct link {
	struct ops_bus *b;
	sd_bus *sd;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned int handles;
};

struct request {
	LIST_ENTRY(request) link;
	struct ops_bus *b;
	struct op_call *call;
	sd_bus_slot *slot;
	ops_bus_done_fn *fn;
	void *data;
};

struct watch {
	LIST_ENTRY(watch) link;
	struct ops_bus *b;
	const struct ops_bus_name *signal;
	sd_bus_slot *slot;
	ops_bus_signal_fn *fn;
	void *data;
};

struct up {
	LIST_ENTRY(up) link;
	ops_bus_up_fn *fn;
	void *data;
};

struct ops_bus {
	struct ops *o;
	const char *const *rules; /* of a monitor; NULL: it is none */
	ops_bus_signal_fn *fn;
	void *data;
	bool monitors;    /* it was made one */
	struct link *now; /* NULL: not connected */
	uv_timer_t retry;
	unsigned int retry_ms;
	bool stopping;
	unsigned int n_requests;
	LIST_HEAD(, request) requests;
	LIST_HEAD(, watch) watches;
	LIST_HEAD(, up) ups;
};

static void on_poll(uv_poll_t *h, int status, int events);
static void on_timer(uv_timer_t *h);
static struct link *connected(struct ops_bus *b);

bool ops_bus_possible(void)
{
	return sd_booted() > 0;
}

static struct ops_bus *new_bus(struct ops *o)
{
	struct ops_bus *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->o = o;
	b->retry_ms = OPS_BUS_RETRY_MS;
	uv_timer_init(&o->loop, &b->retry);
	b->retry.data = b;
	return b;
}

static struct ops_bus *get(struct ops *o)
{
	if (!o->bus)
		o->bus = new_bus(o);
	return o->bus;
}

/* ---- a call -------------------------------------------------------------- */

/* The request is gone after. */
static void finish(struct request *q, const struct ops_bus_answer *a)
{
	struct request copy = *q;

	LIST_REMOVE(q, link);
	q->b->n_requests--;
	sd_bus_slot_unref(q->slot);
	free(q);
	if (copy.call)
		op_on_cancel(copy.call, NULL, NULL);
	copy.fn(copy.b->o, copy.call, a, copy.data);
}

static void fail(struct request *q, int error, const char *text)
{
	const struct ops_bus_answer a = {
		.error = error,
		.name = "",
		.text = text,
	};

	finish(q, &a);
}

static void on_cancelled(struct op_call *call, void *data)
{
	struct request *q = data;
	const struct ops_bus_answer a = {
		.given_up = true,
		.error = -ECANCELED,
		.name = "",
		.text = "",
	};

	(void)call;
	q->call = NULL;
	finish(q, &a);
}

static int on_reply(sd_bus_message *m, void *data, sd_bus_error *err)
{
	struct request *q = data;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	const struct ops_bus_answer a = {
		.m = e ? NULL : m,
		.error = e ? -sd_bus_error_get_errno(e) : 0,
		.name = e && e->name ? e->name : "",
		.text = e && e->message ? e->message : "",
	};

	(void)err;
	finish(q, &a);
	return 1;
}

static int send_call(struct request *q, const struct ops_bus_name *method,
		     const char *types, va_list args)
{
	struct link *l = connected(q->b);
	/* With an op_call its deadline ends it. */
	uint64_t limit = q->call ? UINT64_MAX : OPS_BUS_DEADLINE_US;
	sd_bus_message *m = NULL;
	int r;

	if (!l)
		return -ENOTCONN;
	r = sd_bus_message_new_method_call(l->sd, &m, method->service,
					   method->path, method->interface,
					   method->member);
	if (r >= 0 && types)
		r = sd_bus_message_appendv(m, types, args);
	if (r >= 0)
		r = sd_bus_call_async(l->sd, &q->slot, m, on_reply, q, limit);
	sd_bus_message_unref(m);
	return r;
}

static struct request *new_request(struct ops *o, struct op_call *call,
				   ops_bus_done_fn *fn, void *data)
{
	struct ops_bus *b = get(o);
	struct request *q;

	if (!b || b->stopping || b->n_requests >= OPS_BUS_CALLS_MAX)
		return NULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	*q = (struct request){.b = b, .call = call, .fn = fn, .data = data};
	LIST_INSERT_HEAD(&b->requests, q, link);
	b->n_requests++;
	return q;
}

static void arm(struct link *l)
{
	uint64_t until = UINT64_MAX, now = uv_hrtime() / 1000;
	int events = sd_bus_get_events(l->sd);

	if (events < 0 || sd_bus_get_timeout(l->sd, &until) < 0) {
		/* It has ended: have the timer's function see to it. */
		events = 0;
		until = 0;
	}
	uv_poll_start(&l->poll,
		      (events & POLLIN ? UV_READABLE : 0) |
			      (events & POLLOUT ? UV_WRITABLE : 0),
		      on_poll);
	if (until == UINT64_MAX) {
		uv_timer_stop(&l->timer);
		return;
	}
	uv_update_time(&l->b->o->loop);
	uv_timer_start(&l->timer, on_timer,
		       until > now ? (until - now) / 1000 + 1 : 0, 0);
}

void ops_bus_call(struct ops *o, struct op_call *call,
		  const struct ops_bus_name *method, ops_bus_done_fn *fn,
		  void *data, const char *types, ...)
{
	struct request *q = new_request(o, call, fn, data);
	const struct ops_bus_answer no_room = {
		.error = -EBUSY,
		.name = "",
		.text = "too many calls are under way",
	};
	va_list args;
	int r;

	if (!q) {
		fn(o, call, &no_room, data);
		return;
	}
	if (call)
		op_on_cancel(call, on_cancelled, q);
	va_start(args, types);
	r = send_call(q, method, types, args);
	va_end(args);
	if (r < 0)
		fail(q, r, "the system bus cannot be reached");
	else
		arm(o->bus->now);
}

/* ---- errors -------------------------------------------------------------- */

/* What D-Bus says when a service, or a method of a newer one, is not there. */
static bool is_missing(const char *name)
{
	static const char *const names[] = {
		SD_BUS_ERROR_SERVICE_UNKNOWN,
		SD_BUS_ERROR_NAME_HAS_NO_OWNER,
		SD_BUS_ERROR_UNKNOWN_METHOD,
		SD_BUS_ERROR_UNKNOWN_INTERFACE,
		SD_BUS_ERROR_UNKNOWN_OBJECT,
		SD_BUS_ERROR_UNKNOWN_PROPERTY,
		SD_BUS_ERROR_NOT_SUPPORTED,
		"org.freedesktop.systemd1.NoSuchUnit",
		"org.freedesktop.login1.SleepVerbNotSupported",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

void ops_bus_refuse(struct op_call *call, const struct ops_bus_answer *a)
{
	if (is_missing(a->name))
		op_not_supported(call, a->text);
	else if (a->name[0] != '\0')
		op_failed_as(call, a->name, a->text);
	else
		op_failed(call, a->error, a->text);
}

void ops_bus_done(struct ops *o, struct op_call *call,
		  const struct ops_bus_answer *a, void *data)
{
	(void)o;
	(void)data;
	if (!call)
		return;
	if (a->m)
		op_reply(call, json_object());
	else
		ops_bus_refuse(call, a);
}

/* ---- signals ------------------------------------------------------------- */

static int on_signal(sd_bus_message *m, void *data, sd_bus_error *err)
{
	struct watch *w = data;

	(void)err;
	if (!sd_bus_message_get_destination(m))
		w->fn(w->b->o, m, w->data);
	return 0; /* others may want it, too */
}

static int install(struct link *l, struct watch *w)
{
	const struct ops_bus_name *s = w->signal;

	return sd_bus_match_signal_async(l->sd, &w->slot, s->service, s->path,
					 s->interface, s->member, on_signal,
					 NULL, w);
}

int ops_bus_watch(struct ops *o, const struct ops_bus_name *signal,
		  ops_bus_signal_fn *fn, void *data)
{
	struct ops_bus *b = get(o);
	struct watch *w = b ? calloc(1, sizeof(*w)) : NULL;
	struct link *had = b ? b->now : NULL;

	if (!w)
		return -ENOMEM;
	*w = (struct watch){.b = b, .signal = signal, .fn = fn, .data = data};
	LIST_INSERT_HEAD(&b->watches, w, link);
	/* A new connection installs all of them. */
	if (connected(b) && had) {
		if (install(had, w) < 0)
			log_warning("ev=bus-match member=%s", signal->member);
		arm(had);
	}
	return 0;
}

int ops_bus_on_up(struct ops *o, ops_bus_up_fn *fn, void *data)
{
	struct ops_bus *b = get(o);
	struct up *u = b ? calloc(1, sizeof(*u)) : NULL;

	if (!u)
		return -ENOMEM;
	u->fn = fn;
	u->data = data;
	LIST_INSERT_HEAD(&b->ups, u, link);
	if (b->now)
		fn(o, data);
	else
		(void)connected(b); /* calls it */
	return 0;
}

/* ---- the connection ------------------------------------------------------ */

static void on_retry(uv_timer_t *h)
{
	(void)connected(h->data);
}

static void later(struct ops_bus *b)
{
	if (b->stopping ||
	    (!b->rules && LIST_EMPTY(&b->watches) && LIST_EMPTY(&b->ups)))
		return;
	uv_update_time(&b->o->loop);
	uv_timer_start(&b->retry, on_retry, b->retry_ms, 0);
	b->retry_ms = b->retry_ms * 2 < OPS_BUS_RETRY_MAX_MS
			      ? b->retry_ms * 2
			      : OPS_BUS_RETRY_MAX_MS;
}

static void on_closed(uv_handle_t *h)
{
	struct link *l = h->data;

	if (--l->handles == 0)
		free(l);
}

static void disconnect(struct ops_bus *b)
{
	struct link *l = b->now;
	struct request *q, *next;
	struct watch *w;

	if (!l)
		return;
	b->now = NULL;
	uv_poll_stop(&l->poll);
	uv_close((uv_handle_t *)&l->poll, on_closed);
	uv_close((uv_handle_t *)&l->timer, on_closed);
	LIST_FOREACH(w, &b->watches, link)
	w->slot = sd_bus_slot_unref(w->slot);
	/* What their functions call for goes to the next connection. */
	q = LIST_FIRST(&b->requests);
	LIST_INIT(&b->requests);
	if (q)
		q->link.le_prev = &q;
	for (; q; q = next) {
		next = LIST_NEXT(q, link);
		fail(q, -ECONNRESET, "the system bus has ended");
	}
	sd_bus_close_unref(l->sd);
}

static void process(struct link *l)
{
	struct ops_bus *b = l->b;
	int r = 1;

	for (int i = 0; i < OPS_BUS_BURST && r > 0; i++)
		r = sd_bus_process(l->sd, NULL);
	if (r >= 0 && sd_bus_is_open(l->sd) > 0) {
		if (sd_bus_is_ready(l->sd) > 0)
			b->retry_ms = OPS_BUS_RETRY_MS;
		arm(l);
		return;
	}
	log_info("ev=bus-ended error=%d again_ms=%u", -r, b->retry_ms);
	disconnect(b);
	later(b);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	(void)status;
	(void)events;
	process(h->data);
}

static void on_timer(uv_timer_t *h)
{
	process(h->data);
}

/* ---- a monitor ----------------------------------------------------------- */

static int on_seen(sd_bus_message *m, void *data, sd_bus_error *err)
{
	const struct ops_bus *b = data;

	(void)err;
	if (sd_bus_message_is_method_call(m, NULL, NULL) > 0)
		b->fn(b->o, m, b->data);
	return 1; /* a monitor must not answer */
}

static int on_monitor(sd_bus_message *m, void *data, sd_bus_error *err)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	struct ops_bus *b = data;

	(void)err;
	b->monitors = !e;
	if (e)
		log_info("ev=bus-monitor error=\"%s\": who calls is not known",
			 e->name);
	return 1;
}

static int become_monitor(struct ops_bus *b, sd_bus *sd)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(
		sd, &m, "org.freedesktop.DBus", "/org/freedesktop/DBus",
		"org.freedesktop.DBus.Monitoring", "BecomeMonitor");

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "s");
	for (size_t i = 0; r >= 0 && b->rules[i]; i++)
		r = sd_bus_message_append(m, "s", b->rules[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "u", 0u);
	if (r >= 0)
		r = sd_bus_call_async(sd, NULL, m, on_monitor, b, 0);
	sd_bus_message_unref(m);
	return r;
}

static int open_monitor(struct ops_bus *b, sd_bus **ret)
{
	const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
	sd_bus *sd = NULL;
	int r = sd_bus_new(&sd);

	if (r >= 0)
		r = sd_bus_set_address(sd, address ? address : SYSTEM_BUS);
	if (r >= 0)
		r = sd_bus_set_bus_client(sd, 1);
	if (r >= 0)
		r = sd_bus_set_monitor(sd, 1);
	if (r >= 0)
		r = sd_bus_add_filter(sd, NULL, on_seen, b);
	if (r >= 0)
		r = sd_bus_start(sd);
	if (r >= 0)
		r = become_monitor(b, sd);
	if (r < 0)
		sd_bus_close_unref(sd);
	else
		*ret = sd;
	return r;
}

void ops_bus_eavesdrop(struct ops *o, const char *const *rules,
		       ops_bus_signal_fn *fn, void *data)
{
	struct ops_bus *b = o->monitor ? NULL : new_bus(o);

	if (!b)
		return;
	b->rules = rules;
	b->fn = fn;
	b->data = data;
	o->monitor = b;
	(void)connected(b);
}

bool ops_bus_monitors(const struct ops *o)
{
	return o->monitor && o->monitor->now && o->monitor->monitors;
}

void ops_bus_catch_up(struct ops *o)
{
	if (o->monitor && o->monitor->now)
		process(o->monitor->now);
}

/* ---- to begin and to end ------------------------------------------------- */

static int open_link(struct ops_bus *b, struct link *l)
{
	int r = b->rules ? open_monitor(b, &l->sd) : sd_bus_open_system(&l->sd);

	if (r < 0)
		return r;
	l->b = b;
	l->handles = 2;
	l->poll.data = l->timer.data = l;
	r = uv_poll_init(&b->o->loop, &l->poll, sd_bus_get_fd(l->sd));
	if (r < 0) {
		sd_bus_close_unref(l->sd);
		return r;
	}
	uv_timer_init(&b->o->loop, &l->timer);
	return 0;
}

/* Return: the connection, made now if there is none; NULL: it cannot be. */
static struct link *connected(struct ops_bus *b)
{
	struct link *l;
	struct watch *w;
	struct up *u;
	int r;

	if (b->now || b->stopping)
		return b->now;
	l = calloc(1, sizeof(*l));
	r = l ? open_link(b, l) : -ENOMEM;
	if (r < 0) {
		free(l);
		log_limited(uv_hrtime() / 1000, LOG_LEVEL_INFO,
			    "ev=bus-connect error=\"%s\"", strerror(-r));
		later(b);
		return NULL;
	}
	uv_timer_stop(&b->retry);
	b->now = l;
	LIST_FOREACH(w, &b->watches, link)
	if (install(l, w) < 0)
		log_warning("ev=bus-match member=%s", w->signal->member);
	arm(l);
	LIST_FOREACH(u, &b->ups, link)
	u->fn(b->o, u->data);
	return b->now;
}

static void stop_bus(struct ops_bus *b)
{
	if (!b || b->stopping)
		return;
	b->stopping = true;
	disconnect(b);
	uv_close((uv_handle_t *)&b->retry, NULL);
}

void ops_bus_stop(struct ops *o)
{
	stop_bus(o->monitor);
	stop_bus(o->bus);
}

static void free_bus(struct ops_bus *b)
{
	struct watch *w;
	struct up *u;

	if (!b)
		return;
	while ((w = LIST_FIRST(&b->watches)) != NULL) {
		LIST_REMOVE(w, link);
		free(w);
	}
	while ((u = LIST_FIRST(&b->ups)) != NULL) {
		LIST_REMOVE(u, link);
		free(u);
	}
	free(b);
}

void ops_bus_free(struct ops *o)
{
	free_bus(o->monitor);
	free_bus(o->bus);
	o->monitor = o->bus = NULL;
}
