/* SPDX-License-Identifier: MIT */
/*
 * port.h - the agent's link: find it, open it, wait for the host, follow it
 */
#ifndef GUEST_PORT_H
#define GUEST_PORT_H

#include <stdbool.h>
#include <uv.h>

#include "broker/broker.h"

/*
 * ABSENT   no such device; a uevent says when
 * BUSY     another program has it open; look every second
 * CLOSED   ours, but the host is not connected; edges and a look a second
 * ATTACHED the broker has it
 */
enum port_state {
	PORT_ABSENT,
	PORT_BUSY,
	PORT_CLOSED,
	PORT_ATTACHED,
	PORT_STATE_NUM
};

struct port {
	struct broker *broker;
	const char *name;   /* of the virtio port */
	const char *device; /* a path given instead, or NULL */
	enum port_state state;
	enum broker_link_kind kind;
	int fd;
	int uevents; /* netlink; -1: look every second instead */
	int edges;   /* epoll set that holds fd while CLOSED */
	uv_poll_t uevents_poll, edges_poll;
	uv_timer_t timer;
	bool ticking;
	char path[128];
};

/* port_start() - all strings are borrowed until port_stop() */
int port_start(struct port *p, uv_loop_t *loop, struct broker *b,
	       const char *name, const char *device);
void port_stop(struct port *p);
/* port_link_ended() - ops.link_ended of the broker */
void port_link_ended(struct port *p, enum broker_link_end why, int error);

#endif /* GUEST_PORT_H */
