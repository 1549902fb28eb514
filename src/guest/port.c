/* SPDX-License-Identifier: MIT */
/*
 * port.c - the agent's link: find it, open it, wait for the host, follow it
 *
 * A port whose host end is closed is always "readable" (end of file), so it
 * is never polled for a level: while CLOSED it sits in an epoll set of its
 * own, edge-triggered, and because edges of this driver can get lost we also
 * look once a second.
 */
#include "guest/port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/find_port.h"
#include "guest/notify.h"
#include "guest/uevent.h"

#define LOOK_MS 1000

static void look(struct port *p);

static void on_timer(uv_timer_t *h)
{
	look(h->data);
}

static void tick(struct port *p, bool on)
{
	if (on == p->ticking)
		return;
	p->ticking = on;
	if (on)
		uv_timer_start(&p->timer, on_timer, LOOK_MS, LOOK_MS);
	else
		uv_timer_stop(&p->timer);
}

static void describe(struct port *p)
{
	static const char *const texts[PORT_STATE_NUM] = {
		[PORT_ABSENT] = "waiting for port",
		[PORT_BUSY] = "another program has opened port",
		[PORT_CLOSED] = "the host is not connected to port",
		[PORT_ATTACHED] = "connected through port",
	};
	const char *what = p->device ? p->device : p->name;
	char text[256], status[280];

	snprintf(text, sizeof(text), "%s %s", texts[p->state], what);
	broker_link_detail(p->broker, text);
	snprintf(status, sizeof(status), "STATUS=%s", text);
	notify_manager(status);
}

static void move_to(struct port *p, enum port_state state)
{
	bool was_there = p->state == PORT_CLOSED || p->state == PORT_ATTACHED;
	bool is_there = state == PORT_CLOSED || state == PORT_ATTACHED;

	/* A device that cannot announce itself must be looked for. */
	tick(p,
	     state == PORT_BUSY || state == PORT_CLOSED ||
		     (state == PORT_ABSENT && (p->uevents < 0 || p->device)));
	if (state == p->state)
		return;
	p->state = state;
	describe(p);
	if (was_there != is_there)
		broker_event(p->broker,
			     is_there ? "port-added" : "port-removed",
			     p->device ? p->device : p->name);
	log_info("ev=port state=%s path=%s",
		 (const char *const[]){"absent", "busy", "host-closed",
				       "attached"}[state],
		 p->path);
}

static void close_port(struct port *p)
{
	if (p->fd < 0)
		return;
	epoll_ctl(p->edges, EPOLL_CTL_DEL, p->fd, NULL);
	close(p->fd);
	p->fd = -1;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int open_device(struct port *p)
{
	struct stat st;
	int fd;

	if (stat(p->path, &st) < 0)
		return -errno;
	if (S_ISSOCK(st.st_mode)) {
		p->kind = BROKER_LINK_SOCKET;
		return connect_unix(p->path);
	}
	if (!S_ISCHR(st.st_mode))
		return -ENODEV;
	p->kind = BROKER_LINK_PORT;
	fd = open(p->path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static int locate(struct port *p)
{
	char file[64];
	int r;

	if (p->device) {
		snprintf(p->path, sizeof(p->path), "%s", p->device);
		return 0;
	}
	r = find_port(PORT_CLASS, p->name, file, sizeof(file));
	if (r == 0)
		snprintf(p->path, sizeof(p->path), "/dev/%s", file);
	return r;
}

static void open_port(struct port *p)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLET,
	};
	int r = locate(p);

	if (r == 0)
		r = p->fd = open_device(p);
	if (r >= 0) {
		epoll_ctl(p->edges, EPOLL_CTL_ADD, p->fd, &ev);
		move_to(p, PORT_CLOSED);
		return;
	}
	p->fd = -1;
	if (r == -EBUSY && p->state != PORT_BUSY)
		log_warning("ev=port-busy path=%s: another program has opened "
			    "it; stop that program",
			    p->path);
	else if (r != -EBUSY && r != -ENOENT && r != -ENODEV && r != -ENXIO &&
		 r != -ECONNREFUSED && p->state != PORT_BUSY)
		log_warning("ev=port-not-opened path=%s error=\"%s\"", p->path,
			    strerror(-r));
	/* Somebody may let go of it without any announcement. */
	move_to(p, r == -ENOENT || r == -ENODEV || r == -ENXIO ||
				   r == -ECONNREFUSED
			   ? PORT_ABSENT
			   : PORT_BUSY);
}

static void check_host(struct port *p)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLIN | POLLOUT};

	if (poll(&pfd, 1, 0) < 0)
		return;
	/* Nothing but HUP: unplugged. HUP with others: the host is not there.
	 */
	if ((pfd.revents & (POLLHUP | POLLIN | POLLOUT)) == POLLHUP ||
	    (pfd.revents & (POLLERR | POLLNVAL))) {
		close_port(p);
		move_to(p, PORT_ABSENT);
		return;
	}
	if (pfd.revents & POLLHUP)
		return;
	epoll_ctl(p->edges, EPOLL_CTL_DEL, p->fd, NULL);
	move_to(p, PORT_ATTACHED);
	broker_link_attach(p->broker, p->fd, p->kind);
}

static void look(struct port *p)
{
	if (p->state == PORT_ABSENT || p->state == PORT_BUSY)
		open_port(p);
	if (p->state == PORT_CLOSED)
		check_host(p);
}

void port_link_ended(struct port *p, enum broker_link_end why, int error)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLET,
	};

	log_info("ev=link-ended why=%s error=\"%s\"",
		 (const char *const[]){"eof", "error", "stuck"}[why],
		 error ? strerror(error) : "");
	if (p->kind == BROKER_LINK_SOCKET || why == BROKER_LINK_ERROR) {
		close_port(p);
		move_to(p, PORT_ABSENT);
		if (p->kind == BROKER_LINK_PORT)
			look(p); /* is it back already? */
		return;
	}
	epoll_ctl(p->edges, EPOLL_CTL_ADD, p->fd, &ev);
	move_to(p, PORT_CLOSED);
	check_host(p);
}

static void on_uevents(uv_poll_t *h, int status, int events)
{
	struct port *p = h->data;

	(void)events;
	if (uevent_drain(p->uevents))
		look(p);
	/* Lost messages are an error of the socket, upon which libuv stops
	 * watching; the next message must be heard all the same. */
	if (status < 0)
		uv_poll_start(h, UV_READABLE, on_uevents);
}

static void on_edges(uv_poll_t *h, int status, int events)
{
	struct port *p = h->data;
	struct epoll_event ev;

	(void)status;
	(void)events;
	while (epoll_wait(p->edges, &ev, 1, 0) > 0)
		;
	look(p);
}

int port_start(struct port *p, uv_loop_t *loop, struct broker *b,
	       const char *name, const char *device)
{
	int r;

	*p = (struct port){
		.broker = b,
		.name = name,
		.device = device,
		.fd = -1,
		.uevents = -1,
		.edges = -1,
	};
	uv_timer_init(loop, &p->timer);
	p->timer.data = p->uevents_poll.data = p->edges_poll.data = p;
	p->edges = epoll_create1(EPOLL_CLOEXEC);
	if (p->edges < 0)
		return -errno;
	r = uv_poll_init(loop, &p->edges_poll, p->edges);
	if (r < 0)
		return r;
	uv_poll_start(&p->edges_poll, UV_READABLE, on_edges);
	/* Before the first look, so that nothing falls between. */
	if (!device)
		p->uevents = uevent_open();
	if (p->uevents >= 0) {
		r = uv_poll_init(loop, &p->uevents_poll, p->uevents);
		if (r < 0)
			return r;
		uv_poll_start(&p->uevents_poll, UV_READABLE, on_uevents);
	}
	describe(p);
	move_to(p, PORT_ABSENT);
	look(p);
	return 0;
}

void port_stop(struct port *p)
{
	uv_close((uv_handle_t *)&p->timer, NULL);
	if (p->edges >= 0)
		uv_close((uv_handle_t *)&p->edges_poll, NULL);
	if (p->uevents >= 0)
		uv_close((uv_handle_t *)&p->uevents_poll, NULL);
	close_port(p);
	if (p->edges >= 0)
		close(p->edges);
	if (p->uevents >= 0)
		close(p->uevents);
}
