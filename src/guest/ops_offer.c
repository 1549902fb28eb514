/* SPDX-License-Identifier: MIT */
/* ops_offer.c - the channels of services that policy offers to the host */
#include "guest/ops_offer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/log.h"

#define VM "host"
/* Streams taken per wake-up, so that those which are there move, too. */
#define ACCEPT_MAX 16

struct offer_channel {
	LIST_ENTRY(offer_channel) link;
	struct ops_offers *of;
	struct vmc_listener *listener;
	uv_poll_t poll;
	bool keep; /* mark of an update */
	char interface[VMC_NAME_MAX + 1];
};

/* ---- streams ------------------------------------------------------------- */

static void on_channel(uv_poll_t *h, int status, int events);

static bool is_full(const struct ops_offers *of)
{
	return of->n_conns >= OFFER_CONNS_MAX ||
	       of->o->n_conns >= OPS_CONNS_MAX;
}

/* They wait in the broker. */
static void pause_channels(struct ops_offers *of)
{
	struct offer_channel *ch;

	log_limited(uv_hrtime() / 1000, LOG_LEVEL_WARNING,
		    "ev=limit limit=offer-streams value=%d", OFFER_CONNS_MAX);
	of->paused = true;
	LIST_FOREACH(ch, &of->channels, link)
	uv_poll_stop(&ch->poll);
}

void ops_offers_resume(struct ops *o)
{
	struct ops_offers *of = o->offers;
	struct offer_channel *ch;

	if (!of || !of->paused || o->stopping || is_full(of))
		return;
	of->paused = false;
	LIST_FOREACH(ch, &of->channels, link)
	uv_poll_start(&ch->poll, UV_READABLE, on_channel);
}

/* Return: false if there is none to take now. */
static bool take_stream(struct offer_channel *ch)
{
	struct vmc_caller caller;
	int fd;

	if (is_full(ch->of)) {
		pause_channels(ch->of);
		return false;
	}
	fd = vmc_accept(ch->listener, &caller, 0);
	if (fd >= 0)
		return offer_conn_new(ch->of, ch->interface, fd, &caller) == 0;
	if (fd == -ECONNRESET)
		ops_broker_gone(ch->of->o);
	return false;
}

static void on_channel(uv_poll_t *h, int status, int events)
{
	struct offer_channel *ch = h->data;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_MAX && take_stream(ch); i++)
		;
}

/* ---- channels ------------------------------------------------------------ */

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void withdraw(struct offer_channel *ch)
{
	LIST_REMOVE(ch, link);
	uv_poll_stop(&ch->poll);
	vmc_listener_free(ch->listener);
	uv_close((uv_handle_t *)&ch->poll, on_closed);
}

/* One that cannot be announced leaves the others alone; the next reload tries
 * again. */
static void announce(struct ops_offers *of, const char *interface)
{
	struct offer_channel *ch = calloc(1, sizeof(*ch));
	int r = ch ? vmc_listen(&ch->listener, VM, interface, 0) : -ENOMEM;

	if (r < 0) {
		log_error("ev=offer channel=%s error=\"%s\"", interface,
			  ch ? vmc_strerror() : "no memory");
		free(ch);
		return;
	}
	ch->of = of;
	ch->keep = true;
	snprintf(ch->interface, sizeof(ch->interface), "%s", interface);
	uv_poll_init(&of->o->loop, &ch->poll, vmc_listener_fd(ch->listener));
	ch->poll.data = ch;
	if (!of->paused)
		uv_poll_start(&ch->poll, UV_READABLE, on_channel);
	LIST_INSERT_HEAD(&of->channels, ch, link);
	log_info("ev=offered channel=%s", interface);
}

static struct offer_channel *find(const struct ops_offers *of,
				  const char *interface)
{
	struct offer_channel *ch;

	LIST_FOREACH(ch, &of->channels, link)
	{
		if (strcmp(ch->interface, interface) == 0)
			return ch;
	}
	return NULL;
}

void ops_offers_update(struct ops *o)
{
	struct ops_offers *of = o->offers;
	struct offer_channel *ch, *next;
	const char *interface;
	size_t pos = 0;

	LIST_FOREACH(ch, &of->channels, link)
	ch->keep = false;
	while ((interface = policy_offer_next(o->policy, &pos))) {
		ch = find(of, interface);
		if (ch)
			ch->keep = true;
		else
			announce(of, interface);
	}
	for (ch = LIST_FIRST(&of->channels); ch; ch = next) {
		next = LIST_NEXT(ch, link);
		if (!ch->keep)
			withdraw(ch);
	}
}

/* ---- start and end ------------------------------------------------------- */

int ops_offers_new(struct ops *o)
{
	o->offers = calloc(1, sizeof(*o->offers));
	if (!o->offers)
		return -ENOMEM;
	o->offers->o = o;
	LIST_INIT(&o->offers->channels);
	LIST_INIT(&o->offers->conns);
	return 0;
}

void ops_offers_stop(struct ops *o)
{
	struct offer_channel *ch, *next;

	if (!o->offers)
		return;
	for (ch = LIST_FIRST(&o->offers->channels); ch; ch = next) {
		next = LIST_NEXT(ch, link);
		withdraw(ch);
	}
	offer_conns_close(o->offers);
}

void ops_offers_free(struct ops *o)
{
	free(o->offers);
	o->offers = NULL;
}
