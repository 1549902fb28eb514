/* SPDX-License-Identifier: MIT */
/*
 * control.c - connections of the "control" socket
 */
#include "broker/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/log.h"

/* Calls of one connection per wake-up. */
#define CALLS_BATCH 32

static void on_poll(uv_poll_t *h, int status, int events);

static void on_closed(uv_handle_t *h)
{
	struct control_conn *c = h->data;
	struct broker *b = c->b;

	varlink_buf_done(&c->in);
	creds_done(&c->creds);
	if (c->held)
		varlink_msg_done(c->held);
	free(c->held);
	free(c->out);
	free(c);
	broker_unref(b);
}

/* Take it out of the broker; memory goes when libuv lets go of it. */
static int detach(struct control_conn *c)
{
	struct control_server *s = &c->b->control;
	struct channel *ch = c->channel;
	int fd = c->fd;

	c->fd = -1;
	c->produce = NULL;
	control_forward_end(c);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->list = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->n--;
	s->n_unreserved -= c->unreserved;
	uv_poll_stop(&c->poll);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	c->b->touched = true;
	c->channel = NULL;
	if (ch)
		channel_remove(c->b, ch);
	return fd;
}

static void conn_close(struct control_conn *c)
{
	int fd;

	if (c->fd < 0)
		return;
	/* Otherwise the copy would keep it alive for a moment. */
	if (c->channel && c->channel->kept)
		shutdown(c->fd, SHUT_RDWR);
	fd = detach(c);
	close(fd);
}

void control_close(struct control_conn *c)
{
	conn_close(c);
}

int control_take_fd(struct control_conn *c)
{
	return detach(c);
}

/* Return: false if the connection is gone or must wait. */
static bool conn_flush(struct control_conn *c)
{
	while (c->fd >= 0 && c->out_off < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_off,
				 c->out_len - c->out_off,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (n < 0) {
			conn_close(c);
			return false;
		}
		c->out_off += (size_t)n;
	}
	c->out_len = c->out_off = 0;
	if (c->channel)
		c->channel->unsent = false;
	return c->fd >= 0;
}

static bool make_room(struct control_conn *c, size_t len)
{
	size_t cap = c->out_cap ? c->out_cap : 512;
	char *p;

	if (c->out_off > 0) {
		memmove(c->out, c->out + c->out_off, c->out_len - c->out_off);
		c->out_len -= c->out_off;
		c->out_off = 0;
	}
	if (len > CONTROL_OUT_MAX - c->out_len) {
		c->b->count.limit_control_out++;
		return false;
	}
	while (cap - c->out_len < len)
		cap *= 2;
	if (cap == c->out_cap)
		return true;
	p = realloc(c->out, cap);
	if (!p)
		return false;
	c->out = p;
	c->out_cap = cap;
	return true;
}

void control_put(struct control_conn *c, char *text, size_t len)
{
	if (c->fd < 0)
		goto out;
	if (!text || !make_room(c, len)) {
		conn_close(c);
		goto out;
	}
	memcpy(c->out + c->out_len, text, len);
	c->out_len += len;
	if (c->channel)
		c->channel->unsent = true;
out:
	free(text);
}

bool control_send_now(struct control_conn *c, char *text, size_t len)
{
	ssize_t n = -1;

	if (text && c->fd >= 0 && c->out_len == c->out_off)
		n = send(c->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(text);
	return n >= 0 && (size_t)n == len;
}

static void bad_client(struct control_conn *c, int err)
{
	c->b->count.control_bad++;
	log_limited(broker_now_us(), LOG_LEVEL_WARNING,
		    "ev=control-closed uid=%u why=bad-message code=%d",
		    (unsigned int)c->creds.who.uid, err);
	conn_close(c);
}

bool control_flush(struct control_conn *c)
{
	return conn_flush(c);
}

/* Return: is there anything more to do now? */
static bool step_waiting(struct control_conn *c)
{
	struct varlink_msg *m = c->held;

	if (c->mode == CONTROL_RESUMING)
		control_resume_ready(c);
	if (c->mode != CONTROL_HELD || c->b->frozen)
		return c->fd >= 0 && c->mode == CONTROL_CALLS;
	c->mode = CONTROL_CALLS;
	c->held = NULL;
	control_dispatch(c, m);
	varlink_msg_done(m);
	free(m);
	return c->fd >= 0;
}

/* Return: false when there is nothing (more) to do now. */
static bool conn_step(struct control_conn *c)
{
	struct varlink_msg msg;
	int r;

	if (!conn_flush(c))
		return false;
	if (c->produce) {
		enum produced p = c->produce(c);

		if (p == PRODUCED_DONE)
			c->produce = NULL;
		return p != PRODUCED_WAIT;
	}
	if (c->mode != CONTROL_CALLS)
		return step_waiting(c);
	if (c->last)
		return false;
	r = varlink_buf_next(&c->in, &msg);
	if (r < 0)
		bad_client(c, r);
	if (r <= 0)
		return false;
	/* Not a call: a reply, or nothing that varlink knows. */
	if (msg.method[0] == '\0')
		bad_client(c, VARLINK_ERR_TYPE);
	else
		control_dispatch(c, &msg);
	varlink_msg_done(&msg);
	return c->fd >= 0;
}

/* Replies go before more calls; what follows a call that waits, waits. */
static int wanted_events(const struct control_conn *c)
{
	/* UV_PRIORITIZED stands for nothing but the end. */
	int end = c->mode == CONTROL_FORWARDING ? UV_PRIORITIZED : 0;

	if (c->out_off < c->out_len)
		return UV_WRITABLE | end;
	if (end)
		return end;
	if (c->eof || c->mode == CONTROL_RELOADING ||
	    c->mode == CONTROL_UPGRADING || c->mode == CONTROL_HELD)
		return 0;
	return UV_READABLE;
}

static void conn_arm(struct control_conn *c)
{
	int events = wanted_events(c);

	if (c->fd < 0 || events == c->armed)
		return;
	c->armed = events;
	c->b->touched = true;
	uv_poll_start(&c->poll, events, on_poll);
}

/* Nothing comes any more and all is answered. An end also ends what goes on
 * until then. */
static bool is_finished(const struct control_conn *c)
{
	if (!(c->eof || c->last) || c->fd < 0)
		return false;
	if (c->mode == CONTROL_LISTENING || c->mode == CONTROL_MONITORING ||
	    c->mode == CONTROL_RESUMING || c->mode == CONTROL_FOLLOWING)
		return true;
	return c->mode == CONTROL_CALLS && c->out_off == c->out_len &&
	       !c->produce;
}

void control_wake(struct control_conn *c)
{
	/* A connection that can always go on must not keep the loop. */
	for (int i = 0; i < CALLS_BATCH; i++) {
		if (conn_step(c))
			continue;
		if (is_finished(c))
			conn_close(c);
		conn_arm(c);
		return;
	}
	c->b->control_again = true;
	pump_kick(c->b);
	conn_arm(c);
}

void control_wake_all(struct broker *b)
{
	struct control_conn *next;

	b->control_again = false;
	for (struct control_conn *c = b->control.list; c; c = next) {
		next = c->next;
		control_wake(c);
	}
}

static void conn_read(struct control_conn *c)
{
	char *p;
	long room = varlink_buf_room(&c->in, &p);
	ssize_t n;

	if (room < 0) {
		bad_client(c, (int)room);
		return;
	}
	n = recv(c->fd, p, (size_t)room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_close(c);
		return;
	}
	if (n == 0) {
		/* Half-closed, perhaps: the answers still go out. */
		c->eof = true;
		return;
	}
	if (c->mode != CONTROL_CALLS) {
		/* Nothing may follow a call that goes on. */
		bad_client(c, 0);
		return;
	}
	varlink_buf_add(&c->in, (size_t)n);
}

/* Has the client of a call left, which cancels it? One that only sends no more
 * still wants its reply. */
static bool is_gone(const struct control_conn *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct control_conn *c = h->data;
	struct broker *b = c->b;

	if (status < 0 || (events & UV_PRIORITIZED && is_gone(c)))
		conn_close(c);
	else if (events & UV_READABLE)
		conn_read(c);
	if (c->fd >= 0)
		control_wake(c);
	pump_kick(b);
}

bool control_is_idle(const struct control_conn *c)
{
	size_t rest;

	varlink_buf_rest(&c->in, &rest);
	return c->fd >= 0 && c->mode == CONTROL_CALLS && !c->produce &&
	       !c->eof && !c->last && !c->creds.peer &&
	       c->out_off == c->out_len && rest == 0;
}

static int conn_new(struct broker *b, int fd, const struct creds *creds)
{
	struct control_conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = uv_poll_init(b->loop, &c->poll, fd);
	if (r < 0) {
		free(c);
		return r;
	}
	c->b = b;
	c->fd = fd;
	c->poll.data = c;
	c->creds = *creds;
	c->unreserved = !creds_is_owner(b, creds);
	varlink_buf_init(&c->in);
	c->next = b->control.list;
	if (c->next)
		c->next->prev = c;
	b->control.list = c;
	b->control.n++;
	b->control.n_unreserved += c->unreserved;
	b->n_handles++;
	conn_arm(c);
	return 0;
}

static unsigned int conns_of(const struct broker *b, const struct creds *who)
{
	unsigned int n = 0;

	for (const struct control_conn *c = b->control.list; c; c = c->next)
		n += creds_same_user(&c->creds, who);
	return n;
}

static bool is_full(struct broker *b, const struct creds *creds)
{
	const struct control_server *s = &b->control;
	bool full;

	if (creds_is_owner(b, creds))
		full = s->n >= CONTROL_MAX;
	else
		full = s->n_unreserved >= CONTROL_MAX - CONTROL_RESERVED ||
		       conns_of(b, creds) >= CONTROL_UID_MAX;
	b->count.limit_control += full;
	return full;
}

int control_serve_peer(struct broker *b, int fd,
		       const struct vmc_principal *who)
{
	struct creds creds = creds_of_peer(b, who);

	if (is_full(b, &creds))
		return -EMFILE;
	return conn_new(b, fd, &creds);
}

struct control_conn *control_adopt(struct broker *b, int fd)
{
	struct creds creds;

	if (creds_get(b, fd, &creds) < 0) {
		close(fd);
		return NULL;
	}
	if (is_full(b, &creds) || conn_new(b, fd, &creds) < 0) {
		creds_done(&creds);
		close(fd);
		return NULL;
	}
	return b->control.list;
}

static bool let_in(struct broker *b, int fd, const struct creds *creds)
{
	return !is_full(b, creds) && conn_new(b, fd, creds) == 0;
}

int control_server_init(struct broker *b, int fd)
{
	return listener_init(&b->control.listener, b, fd, let_in);
}

void control_server_close(struct broker *b)
{
	listener_close(&b->control.listener);
	while (b->control.list)
		conn_close(b->control.list);
	(void)control_sweep_alone(b, UINT64_MAX);
}
