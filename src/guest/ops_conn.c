/* SPDX-License-Identifier: MIT */
/*
 * ops_conn.c - one stream of the operations process
 *
 * It carries one call at a time; what comes behind it waits in the socket.
 * While a call runs only the end of the stream is looked for: a half-closed
 * one still wants its reply, one that is gone cancels the call.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_internal.h"

static void on_poll(uv_poll_t *h, int status, int events);

static void on_closed(uv_handle_t *h)
{
	struct op_conn *c = h->data;

	if (--c->handles > 0)
		return;
	varlink_buf_done(&c->in);
	free(c->out);
	free(c);
}

/* The rest of it ends; its descriptor is somebody else's business. */
static void let_go(struct op_conn *c)
{
	c->closing = true;
	uv_close((uv_handle_t *)&c->poll, on_closed);
	uv_close((uv_handle_t *)&c->timer, on_closed);
	LIST_REMOVE(c, link);
	c->o->n_conns--;
	ops_resume(c->o);
}

void ops_conn_close(struct op_conn *c)
{
	if (c->closing)
		return;
	if (c->call)
		op_call_cancel(c->call);
	uv_poll_stop(&c->poll);
	/* A child may still hold a copy: the peer must see the end. */
	shutdown(c->fd, SHUT_RDWR);
	close(c->fd);
	c->fd = -1;
	let_go(c);
}

int ops_conn_release(struct op_conn *c, char **ret_rest, size_t *ret_len)
{
	const char *rest = varlink_buf_rest(&c->in, ret_len);
	int fd = c->fd;

	/* A first reply always fits the socket. */
	if (c->broken || c->out_at < c->out_len)
		return -1;
	*ret_rest = malloc(*ret_len + 1);
	if (!*ret_rest)
		return -1;
	memcpy(*ret_rest, rest, *ret_len);
	uv_poll_stop(&c->poll);
	c->fd = -1;
	let_go(c);
	return fd;
}

/* ---- out ----------------------------------------------------------------- */

static bool has_output(const struct op_conn *c)
{
	return c->out_at < c->out_len;
}

static void drop_output(struct op_conn *c)
{
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_len = 0;
}

static void flush(struct op_conn *c)
{
	while (has_output(c) && !c->broken) {
		ssize_t n =
			send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
			     MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			c->out_at += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			return;
		else if (n < 0 && errno != EINTR)
			c->broken = true;
	}
	drop_output(c);
}

void ops_conn_put(struct op_conn *c, char *text, size_t len)
{
	size_t waiting = c->out_len - c->out_at;
	char *grown;

	if (c->silent) {
		free(text);
		return;
	}
	if (c->broken || !text || waiting + len > OPS_OUT_MAX) {
		free(text);
		c->broken = true; /* a stream with a hole is of no use */
		return;
	}
	if (!c->out) {
		c->out = text;
		c->out_len = len;
	} else {
		grown = realloc(c->out, c->out_len + len);
		c->broken = !grown;
		if (grown) {
			memcpy(grown + c->out_len, text, len);
			c->out = grown;
			c->out_len += len;
		}
		free(text);
	}
	flush(c);
}

bool ops_conn_taken(const struct op_conn *c)
{
	int unread = 0;

	if (c->broken || c->closing)
		return true;
	return !has_output(c) &&
	       (ioctl(c->fd, SIOCOUTQ, &unread) < 0 || unread == 0);
}

/* ---- in ------------------------------------------------------------------ */

/* Return: false at the end of the stream. */
static bool read_some(struct op_conn *c)
{
	char *room;
	long size = varlink_buf_room(&c->in, &room);
	ssize_t n;

	if (size < 0)
		return false;
	n = recv(c->fd, room, (size_t)size, MSG_DONTWAIT);
	if (n > 0)
		varlink_buf_add(&c->in, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Return: was there a message? It has been begun then. */
static bool take_message(struct op_conn *c)
{
	struct varlink_msg msg;
	int r = varlink_buf_next(&c->in, &msg);

	/* Who sends no varlink is not answered in varlink. */
	if (r < 0 || (r > 0 && !msg.method[0]))
		c->broken = true;
	if (r <= 0)
		return false;
	if (!c->broken)
		op_call_begin(c, &msg);
	varlink_msg_done(&msg);
	return !c->broken && !c->closing;
}

static void pump(struct op_conn *c)
{
	struct op_call *call = c->call;

	while (call && call->pump && !has_output(c) && !c->broken &&
	       call->pump(call, call->pump_data))
		;
}

/* What is waited for, from how it stands. */
static void watch(struct op_conn *c)
{
	/* UV_PRIORITIZED stands for nothing but the end. */
	int events = (c->call ? UV_PRIORITIZED : UV_READABLE) |
		     (has_output(c) ? UV_WRITABLE : 0);

	uv_poll_start(&c->poll, events, on_poll);
}

static void on_timer(uv_timer_t *h)
{
	struct op_conn *c = h->data;

	if (c->call)
		op_call_timed_out(c->call);
	else
		ops_conn_close(c);
}

void ops_conn_deadline(struct op_conn *c, unsigned int ms)
{
	if (c->closing)
		return;
	uv_timer_stop(&c->timer);
	uv_update_time(&c->o->loop);
	if (ms > 0)
		uv_timer_start(&c->timer, on_timer, ms, 0);
}

/* Messages that are here already, and replies that there is room for. */
static void step(struct op_conn *c)
{
	c->busy = true;
	pump(c);
	while (!c->call && !c->broken && !has_output(c) && take_message(c))
		pump(c);
	c->busy = false;
}

void ops_conn_go_on(struct op_conn *c)
{
	if (c->busy || c->closing)
		return;
	step(c);
	if (c->closing)
		return;
	if (c->broken && !c->call) {
		ops_conn_close(c);
		return;
	}
	/* Its call is cancelled from the loop, when its poll says so. */
	if (c->broken)
		shutdown(c->fd, SHUT_RDWR);
	if (!c->call && !uv_is_active((uv_handle_t *)&c->timer))
		ops_conn_deadline(c, OPS_IDLE_MS);
	if (!c->orphaned)
		watch(c);
}

/* Return: has the stream gone, not only its reading half? */
static bool is_gone(const struct op_conn *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

/* Its caller may ask again by the request's id, so it is done to its end. */
static void orphan(struct op_conn *c)
{
	c->broken = c->orphaned = true;
	uv_poll_stop(&c->poll);
	drop_output(c);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct op_conn *c = h->data;
	bool ok = status >= 0 && !c->broken;

	if (ok && events & UV_PRIORITIZED)
		ok = !is_gone(c);
	if (ok && events & UV_WRITABLE)
		flush(c);
	if (ok && !c->call && events & UV_READABLE)
		ok = read_some(c);
	if (ok)
		ops_conn_go_on(c);
	else if (c->call && c->call->request[0] != '\0')
		orphan(c);
	else
		ops_conn_close(c);
}

int ops_conn_new(struct ops *o, const struct op_interface *iface, int fd,
		 const struct vmc_caller *caller)
{
	struct op_conn *c = calloc(1, sizeof(*c));

	if (!c || uv_poll_init(&o->loop, &c->poll, fd) < 0) {
		free(c);
		close(fd);
		return -ENOMEM;
	}
	uv_timer_init(&o->loop, &c->timer);
	c->o = o;
	c->fd = fd;
	c->iface = iface;
	c->caller = *caller;
	c->handles = 2;
	c->poll.data = c->timer.data = c;
	varlink_buf_init(&c->in);
	LIST_INSERT_HEAD(&o->conns, c, link);
	o->n_conns++;
	ops_conn_deadline(c, OPS_IDLE_MS);
	watch(c);
	return 0;
}
