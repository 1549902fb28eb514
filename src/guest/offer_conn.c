/* SPDX-License-Identifier: MIT */
/*
 * offer_conn.c - one stream of an offered service, and its connection there
 *
 * Nothing is read from either end while what came from it waits to be written
 * to the other, and nothing of the caller while a call of it runs: of the
 * caller only the end is looked for then, which ends the call. A connection to
 * the service is made for the first call, and again for the next one after it
 * was closed: a service that was started for one call may end when it is idle.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_offer.h"

#define DETAIL_MAX 256

/* What waits to be written. */
struct waiting {
	char *data;
	size_t at, len;
};

/* The connection to the service; its handle outlives it. */
struct offer_up {
	uv_poll_t poll;
	struct offer_conn *c;
	int fd;
};

struct offer_conn {
	struct ops_offers *of;
	LIST_ENTRY(offer_conn) link;
	int fd;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned int handles;
	struct vmc_caller caller;
	struct offer_proxy proxy;
	struct offer_up *up; /* NULL: none */
	struct waiting to_up, to_caller;
	char path[POLICY_PATH_MAX + 1]; /* of the socket */
	uint64_t connect_by_ms;         /* 0: it is not being tried */
	bool eof, up_eof;               /* it sends no more */
	bool told, up_told;             /* the other end was told so */
	bool gone;                      /* the caller reads no more either */
	bool closing;
};

static void go_on(struct offer_conn *c);
static void on_poll(uv_poll_t *h, int status, int events);
static void on_up_poll(uv_poll_t *h, int status, int events);

/* ---- waiting bytes ------------------------------------------------------- */

static bool is_waiting(const struct waiting *w)
{
	return w->at < w->len;
}

static void waiting_drop(struct waiting *w)
{
	free(w->data);
	*w = (struct waiting){0};
}

/* Return: false: the other end is gone. */
static bool waiting_write(struct waiting *w, int fd)
{
	while (is_waiting(w)) {
		ssize_t n = send(fd, w->data + w->at, w->len - w->at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
		w->at += n > 0 ? (size_t)n : 0;
	}
	waiting_drop(w);
	return true;
}

/* ---- the end ------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
	struct offer_conn *c = h->data;

	if (--c->handles > 0)
		return;
	offer_proxy_done(&c->proxy);
	free(c);
}

static void on_up_closed(uv_handle_t *h)
{
	free(h->data);
}

/* A child may still hold a copy: the other end must see the end. */
static void end_fd(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static void hang_up(struct offer_conn *c)
{
	struct offer_up *up = c->up;

	c->connect_by_ms = 0;
	waiting_drop(&c->to_up);
	if (!up)
		return;
	c->up = NULL;
	uv_poll_stop(&up->poll);
	end_fd(up->fd);
	uv_close((uv_handle_t *)&up->poll, on_up_closed);
}

void offer_conn_close(struct offer_conn *c)
{
	struct ops *o = c->of->o;

	if (c->closing)
		return;
	c->closing = true;
	hang_up(c);
	waiting_drop(&c->to_caller);
	uv_poll_stop(&c->poll);
	end_fd(c->fd);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	uv_close((uv_handle_t *)&c->timer, on_closed);
	LIST_REMOVE(c, link);
	c->of->n_conns--;
	o->n_conns--;
	ops_resume(o);
}

void offer_conns_close(struct ops_offers *of)
{
	struct offer_conn *c, *next;

	for (c = LIST_FIRST(&of->conns); c; c = next) {
		next = LIST_NEXT(c, link);
		offer_conn_close(c);
	}
}

/* ---- the service --------------------------------------------------------- */

/* The present call cannot be done; the next one may be. */
static void call_failed(struct offer_conn *c, int error, const char *what)
{
	char detail[DETAIL_MAX];
	struct waiting *w = &c->to_caller;
	bool ok;

	snprintf(detail, sizeof(detail), "%s: %s", c->path, what);
	log_limited(uv_hrtime() / 1000, LOG_LEVEL_WARNING,
		    "ev=offer-failed channel=%s error=\"%s\"",
		    c->proxy.interface, detail);
	hang_up(c);
	w->at = 0;
	w->data = offer_proxy_failed(&c->proxy, error, detail, &w->len, &ok);
	if (!w->data)
		w->len = 0;
	if (!ok)
		offer_conn_close(c);
}

/* Return: a connected socket; -EAGAIN: later; another negative errno. */
static int dial(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static bool take_up(struct offer_conn *c, int fd)
{
	struct offer_up *up = calloc(1, sizeof(*up));

	if (!up || uv_poll_init(&c->of->o->loop, &up->poll, fd) < 0) {
		free(up);
		close(fd);
		return false;
	}
	up->c = c;
	up->fd = fd;
	up->poll.data = up;
	c->up = up;
	c->up_eof = false;
	c->connect_by_ms = 0;
	return true;
}

/* A full queue of connections is the one thing that is waited for. */
static void connect_up(struct offer_conn *c)
{
	uint64_t now_ms = uv_hrtime() / 1000000u;
	int fd = dial(c->path);

	if (fd >= 0) {
		if (!take_up(c, fd))
			call_failed(c, ENOMEM, strerror(ENOMEM));
		return;
	}
	if (fd != -EAGAIN) {
		call_failed(c, -fd, strerror(-fd));
		return;
	}
	if (c->connect_by_ms == 0)
		c->connect_by_ms = now_ms + OFFER_CONNECT_MS;
	if (now_ms >= c->connect_by_ms)
		call_failed(c, ETIMEDOUT, "it takes no connections");
}

/* ---- calls --------------------------------------------------------------- */

/* The lines before the offer's may say something else, and the offer itself
 * may have gone by a reload. */
static bool judge(void *data, const char *method,
		  char ret_rule[POLICY_RULE_ID_MAX])
{
	const struct offer_conn *c = data;
	const struct policy_caller who = {
		.side = c->caller.side,
		.owner = c->caller.side == VMC_PRINCIPAL_HOST,
		.uid = c->caller.uid,
		.gid = c->caller.gid,
	};
	const struct policy *p = c->of->o->policy;
	struct policy_verdict v = {.rule = "none"};

	if (!policy_offer(p, c->proxy.interface, &who))
		v.allowed = false;
	else if (strncmp(method, "org.varlink.service.", 20) == 0)
		v.allowed = true;
	else
		policy_check_call(p, method, "full", &who, &v);
	snprintf(ret_rule, POLICY_RULE_ID_MAX, "%s", v.rule);
	if (!v.allowed)
		log_limited(uv_hrtime() / 1000, LOG_LEVEL_INFO,
			    "ev=denied method=%s caller=%s:%u rule=%s", method,
			    who.owner ? "host" : "guest", (unsigned int)who.uid,
			    v.rule);
	return v.allowed;
}

/* Where the call goes: the line may have changed since the last one. */
static void forward(struct offer_conn *c, const struct waiting *call)
{
	const struct policy_caller who = {
		.side = c->caller.side,
		.owner = c->caller.side == VMC_PRINCIPAL_HOST,
		.uid = c->caller.uid,
		.gid = c->caller.gid,
	};
	const char *path =
		policy_offer(c->of->o->policy, c->proxy.interface, &who);

	if (strcmp(path, c->path) != 0)
		hang_up(c);
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->to_up = *call;
	if (!c->up)
		connect_up(c);
}

/* Return: was there a message? */
static bool take_call(struct offer_conn *c)
{
	struct waiting w = {0};

	switch (offer_proxy_next(&c->proxy, judge, c, &w.data, &w.len)) {
	case OFFER_FORWARD:
		forward(c, &w);
		return true;
	case OFFER_ANSWER:
		c->to_caller = w;
		return true;
	case OFFER_BROKEN:
		offer_conn_close(c);
		return false;
	case OFFER_NOTHING:
	default:
		return false;
	}
}

/* ---- bytes --------------------------------------------------------------- */

/* Return: bytes read into @w, which is empty; 0: the end; -1: nothing now. */
static ssize_t read_chunk(int fd, struct waiting *w)
{
	char *data = malloc(OFFER_CHUNK);
	ssize_t n = data ? recv(fd, data, OFFER_CHUNK, MSG_DONTWAIT) : 0;

	if (n > 0) {
		*w = (struct waiting){.data = data, .len = (size_t)n};
		return n;
	}
	free(data);
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -1 : 0;
}

/* The service closed its end. */
static void up_ended(struct offer_conn *c)
{
	c->up_eof = true;
	if (c->proxy.phase == OFFER_RAW)
		return;
	if (offer_proxy_in_reply(&c->proxy))
		offer_conn_close(c);
	else if (c->proxy.phase != OFFER_IDLE)
		call_failed(c, ECONNRESET, "it closed without a reply");
	else
		hang_up(c); /* the next call starts it again */
}

/* An upgrade was accepted: what came behind the call goes first. */
static bool begin_raw(struct offer_conn *c)
{
	c->to_up.data = offer_proxy_take_rest(&c->proxy, &c->to_up.len);
	c->to_up.at = 0;
	return c->to_up.data != NULL;
}

/* Return: false: the stream ends. */
static bool pass_reply(struct offer_conn *c)
{
	enum offer_phase before = c->proxy.phase;

	if (!offer_proxy_replied(&c->proxy, c->to_caller.data,
				 c->to_caller.len)) {
		log_limited(uv_hrtime() / 1000, LOG_LEVEL_WARNING,
			    "ev=offer-broken channel=%s socket=%s",
			    c->proxy.interface, c->path);
		return false;
	}
	return c->proxy.phase != OFFER_RAW || before == OFFER_RAW ||
	       begin_raw(c);
}

static void read_up(struct offer_conn *c)
{
	ssize_t n = read_chunk(c->up->fd, &c->to_caller);

	if (n == 0)
		up_ended(c);
	else if (n > 0 && !pass_reply(c))
		offer_conn_close(c);
}

static void read_caller(struct offer_conn *c)
{
	char *room;
	long size;
	ssize_t n;

	if (c->proxy.phase == OFFER_RAW) {
		c->eof = read_chunk(c->fd, &c->to_up) == 0;
		return;
	}
	size = varlink_buf_room(&c->proxy.in, &room);
	n = size > 0 ? recv(c->fd, room, (size_t)size, MSG_DONTWAIT) : 0;
	if (n > 0)
		varlink_buf_add(&c->proxy.in, (size_t)n);
	else
		c->eof = n == 0 || (errno != EAGAIN && errno != EINTR);
}

/* ---- what is waited for -------------------------------------------------- */

static bool wants_caller(const struct offer_conn *c)
{
	bool turn = c->proxy.phase == OFFER_IDLE || c->proxy.phase == OFFER_RAW;

	return turn && !c->eof && !is_waiting(&c->to_up) &&
	       !is_waiting(&c->to_caller);
}

static void watch(struct offer_conn *c)
{
	int events = is_waiting(&c->to_caller) ? UV_WRITABLE : 0;

	/* UV_PRIORITIZED stands for nothing but the end. */
	if (wants_caller(c))
		uv_poll_start(&c->poll, UV_READABLE | events, on_poll);
	else if (!c->gone)
		uv_poll_start(&c->poll, UV_PRIORITIZED | events, on_poll);
	else
		uv_poll_stop(&c->poll);
	if (!c->up)
		return;
	events = 0;
	if (!c->up_eof && !is_waiting(&c->to_caller))
		events |= UV_READABLE;
	if (is_waiting(&c->to_up))
		events |= UV_WRITABLE;
	if (events)
		uv_poll_start(&c->up->poll, events, on_up_poll);
	else
		uv_poll_stop(&c->up->poll);
}

static void on_timer(uv_timer_t *h)
{
	struct offer_conn *c = h->data;

	if (c->connect_by_ms > 0) {
		connect_up(c);
		go_on(c);
	} else {
		offer_conn_close(c);
	}
}

/* A call that runs has no deadline; a stream without one has. */
static void set_timer(struct offer_conn *c)
{
	uint64_t ms = 0;

	if (c->connect_by_ms > 0)
		ms = OFFER_RETRY_MS;
	else if (c->proxy.phase == OFFER_IDLE || c->gone)
		ms = OPS_IDLE_MS;
	uv_update_time(&c->of->o->loop);
	if (ms == 0)
		uv_timer_stop(&c->timer);
	else
		uv_timer_start(&c->timer, on_timer, ms, 0);
}

/* ---- in its turn --------------------------------------------------------- */

static bool flush_both(struct offer_conn *c)
{
	if (c->gone)
		waiting_drop(&c->to_caller);
	else if (!waiting_write(&c->to_caller, c->fd))
		return false;
	if (c->up && !waiting_write(&c->to_up, c->up->fd)) {
		waiting_drop(&c->to_up);
		/* It may have answered before it closed. */
		return c->proxy.phase != OFFER_RAW;
	}
	return true;
}

/* The end of one side is passed on to the other, when all before it was. */
static void pass_ends(struct offer_conn *c)
{
	if (c->eof && !c->up_told && !is_waiting(&c->to_up)) {
		c->up_told = true;
		shutdown(c->up->fd, SHUT_WR);
	}
	if (c->up_eof && !c->told && !is_waiting(&c->to_caller)) {
		c->told = true;
		shutdown(c->fd, SHUT_WR);
	}
}

static bool is_called(const struct offer_conn *c)
{
	return c->proxy.phase == OFFER_CALLED ||
	       c->proxy.phase == OFFER_UPGRADING;
}

static bool is_over(const struct offer_conn *c)
{
	/* Which cancels the call. */
	if (c->gone && is_called(c))
		return true;
	if (is_waiting(&c->to_up) || (is_waiting(&c->to_caller) && !c->gone))
		return false;
	if (c->proxy.phase == OFFER_RAW)
		return c->eof && (c->up_eof || c->gone);
	return c->eof && c->proxy.phase == OFFER_IDLE;
}

static void go_on(struct offer_conn *c)
{
	while (!c->closing && flush_both(c)) {
		if (is_waiting(&c->to_up) || is_waiting(&c->to_caller) ||
		    !take_call(c)) {
			if (c->closing)
				return;
			if (c->proxy.phase == OFFER_RAW)
				pass_ends(c);
			if (is_over(c))
				break;
			set_timer(c);
			watch(c);
			return;
		}
	}
	offer_conn_close(c);
}

/* Return: has it closed, not only its sending half? */
static bool is_gone(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct offer_conn *c = h->data;

	if (status < 0) {
		offer_conn_close(c);
		return;
	}
	if (events & UV_READABLE)
		read_caller(c);
	else if (events & UV_PRIORITIZED)
		c->gone = is_gone(c->fd); /* what it sent is passed on */
	go_on(c);
}

static void on_up_poll(uv_poll_t *h, int status, int events)
{
	struct offer_up *up = h->data;
	struct offer_conn *c = up->c;

	if (status < 0)
		up_ended(c);
	else if (events & UV_READABLE)
		read_up(c);
	if (!c->closing)
		go_on(c);
}

int offer_conn_new(struct ops_offers *of, const char *interface, int fd,
		   const struct vmc_caller *caller)
{
	struct offer_conn *c = calloc(1, sizeof(*c));

	if (!c || uv_poll_init(&of->o->loop, &c->poll, fd) < 0) {
		free(c);
		close(fd);
		return -ENOMEM;
	}
	uv_timer_init(&of->o->loop, &c->timer);
	c->of = of;
	c->fd = fd;
	c->caller = *caller;
	c->handles = 2;
	c->poll.data = c->timer.data = c;
	offer_proxy_init(&c->proxy, interface);
	LIST_INSERT_HEAD(&of->conns, c, link);
	of->n_conns++;
	of->o->n_conns++;
	set_timer(c);
	watch(c);
	return 0;
}
