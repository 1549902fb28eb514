/* SPDX-License-Identifier: MIT */
/*
 * net_watch.c - the event AddressesChanged
 *
 * Two tables: what the kernel has said so far, and what was told. Changes come
 * in heaps (an interface goes up, gets an address, gets another): the first is
 * told at once, what follows when a moment has passed, each interface that
 * differs once.
 */
#include "guest/net_watch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/net_json.h"
#include "guest/net_socket.h"
#include "guest/net_table.h"
#include "guest/ops_text.h"

#define EVENT  "org.vmchannel.Network.AddressesChanged"
#define GROUPS (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)
/* From an event to the next one. */
#define GATHER_MS 100
/* Of one interface in an event; the interface file's limit. */
#define ADDRS_MAX 64
/* A dump that is interrupted by changes is begun again so often. */
#define DUMPS_MAX 5

static struct {
	int fd; /* of changes */
	uv_poll_t poll;
	uv_timer_t timer;
	bool waiting; /* something changed while the timer ran */
	struct net_table now, told;
} watch = {.fd = -1};

/* ---- all of it ----------------------------------------------------------- */

static int dump_once(struct net_table *t)
{
	int fd = net_socket(0);
	int r;

	if (fd < 0)
		return fd;
	r = net_dump(fd, RTM_GETLINK, net_table_feed, t);
	if (r == 0)
		r = net_dump(fd, RTM_GETADDR, net_table_feed, t);
	close(fd);
	return r;
}

/* Into an empty table, so that what has gone is not left. */
static int fill(void)
{
	struct net_table t = {.links = NULL};
	int r = -EAGAIN;

	for (int i = 0; i < DUMPS_MAX && r == -EAGAIN; i++) {
		net_table_done(&t);
		r = dump_once(&t);
	}
	/* Changes that interrupted it come by themselves. */
	if (r < 0 && r != -EAGAIN) {
		net_table_done(&t);
		return r;
	}
	net_table_done(&watch.now);
	watch.now = t;
	return 0;
}

/* ---- changes ------------------------------------------------------------- */

/* Return: was there anything to tell? */
static bool tell(struct ops *o, int index)
{
	const struct net_link *now = net_table_link(&watch.now, index);
	const struct net_link *l =
		now ? now : net_table_link(&watch.told, index);

	if (!l || net_table_same(&watch.now, &watch.told, index))
		return false;
	ops_emit(o, EVENT,
		 json_pack("{s:o,s:i,s:b,s:b,s:o}", "interface",
			   op_text(l->name, IF_NAMESIZE - 1), "index", index,
			   "present", now != NULL, "up", now && now->up,
			   "addresses",
			   net_json_addresses(&watch.now, index, ADDRS_MAX)));
	return true;
}

static bool tell_all(struct ops *o)
{
	bool any = false;

	for (size_t i = 0; i < watch.now.n_links; i++)
		any = tell(o, watch.now.links[i].index) || any;
	for (size_t i = 0; i < watch.told.n_links; i++)
		if (!net_table_link(&watch.now, watch.told.links[i].index))
			any = tell(o, watch.told.links[i].index) || any;
	if (any && !net_table_copy(&watch.told, &watch.now))
		log_warning("ev=no-memory what=network-events");
	return any;
}

static void on_gathered(uv_timer_t *h);

static void tell_now(struct ops *o)
{
	watch.waiting = false;
	if (!tell_all(o))
		return;
	uv_update_time(watch.timer.loop);
	uv_timer_start(&watch.timer, on_gathered, GATHER_MS, 0);
}

static void on_gathered(uv_timer_t *h)
{
	if (watch.waiting)
		tell_now(h->data);
}

static void on_change(uv_poll_t *h, int status, int events)
{
	int r = status < 0 ? status
			   : net_read(watch.fd, net_table_feed, &watch.now);

	(void)events;
	/* More at once than the socket holds: look at all of it. */
	if (r == -ENOBUFS)
		r = fill();
	if (r < 0) {
		log_error("ev=no-network-events error=\"%s\"", strerror(-r));
		uv_poll_stop(h);
		return;
	}
	if (uv_is_active((uv_handle_t *)&watch.timer))
		watch.waiting = true;
	else
		tell_now(h->data);
}

int net_watch_start(struct ops *o)
{
	int r;

	/* Before the dump: what changes in between is heard. */
	watch.fd = net_socket(GROUPS);
	r = watch.fd < 0 ? watch.fd : fill();
	if (r == 0 && !net_table_copy(&watch.told, &watch.now))
		r = -ENOMEM;
	if (r < 0) {
		log_warning("ev=no-network-events error=\"%s\"", strerror(-r));
		if (watch.fd >= 0)
			close(watch.fd);
		watch.fd = -1;
		return r;
	}
	uv_timer_init(ops_loop(o), &watch.timer);
	uv_poll_init(ops_loop(o), &watch.poll, watch.fd);
	watch.timer.data = watch.poll.data = o;
	return uv_poll_start(&watch.poll, UV_READABLE, on_change);
}

void net_watch_stop(struct ops *o)
{
	(void)o;
	if (watch.fd < 0)
		return;
	uv_poll_stop(&watch.poll);
	uv_close((uv_handle_t *)&watch.poll, NULL);
	uv_close((uv_handle_t *)&watch.timer, NULL);
	close(watch.fd);
	watch.fd = -1;
	net_table_done(&watch.now);
	net_table_done(&watch.told);
}
