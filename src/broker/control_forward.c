/* SPDX-License-Identifier: MIT */
/*
 * control_forward.c - calls of interfaces that are not the broker's own
 *
 * The interface is a channel of the peer, and the call the first bytes of a
 * stream to it, for which everything holds that holds for Connect. With "more"
 * or "upgrade" the connection becomes that stream. Otherwise the stream is
 * ours: its program's end is one of a pair of sockets, and what comes out of
 * the other one is passed on, up to the first NUL, which ends a reply. Nothing
 * of it is parsed. It is read when the client has taken what came before, so
 * that a reply of any length costs one piece of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/control.h"

/* Read at once. */
#define PIECE_MAX 16384u
/* The peer's program has this long to take a call that nobody waits for, and to
 * close: as a stream has, to be taken. */
#define ALONE_MS ACCEPT_MS

struct forward {
	struct broker *b;
	struct control_conn *c; /* NULL: it is closed, or it is left alone */
	struct forward *next;   /* of those that are left alone */
	uint64_t since_ms;      /* then */
	uv_poll_t poll;
	int fd;
	uint64_t number; /* of the stream */
	uint64_t passed; /* bytes of the reply */
	char channel[VMC_NAME_MAX + 1];
};

static void leave_alone(struct forward *f);

static void on_closed(uv_handle_t *h)
{
	struct forward *f = h->data;
	struct broker *b = f->b;

	free(f);
	broker_unref(b);
}

static void forward_close(struct forward *f)
{
	f->c = NULL;
	uv_poll_stop(&f->poll);
	close(f->fd);
	uv_close((uv_handle_t *)&f->poll, on_closed);
	f->b->touched = true;
}

void control_forward_end(struct control_conn *c)
{
	struct forward *f = c->forward;

	c->forward = NULL;
	if (!f)
		return;
	if (c->oneway && c->mode == CONTROL_FORWARDING)
		leave_alone(f);
	else
		forward_close(f);
}

/* The call is over, the next one may come. */
static enum produced finish(struct control_conn *c)
{
	c->mode = CONTROL_CALLS;
	control_forward_end(c);
	return PRODUCED_DONE;
}

/* ---- without a client ---------------------------------------------------- */

static void unlink_alone(struct forward *f)
{
	struct forward **at = &f->b->control.alone;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
}

/* Nobody wants what comes; the end is what is waited for. */
static void on_alone(uv_poll_t *h, int status, int events)
{
	struct forward *f = h->data;
	char gone[512];
	ssize_t n = recv(f->fd, gone, sizeof(gone), MSG_DONTWAIT);

	(void)status;
	(void)events;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	unlink_alone(f);
	forward_close(f);
	pump_kick(f->b);
}

/* Who wants no reply does not wait either: the call must arrive all the
 * same. */
static void leave_alone(struct forward *f)
{
	struct broker *b = f->b;

	f->c = NULL;
	f->since_ms = broker_now_us() / 1000u;
	f->next = b->control.alone;
	b->control.alone = f;
	uv_poll_start(&f->poll, UV_READABLE, on_alone);
	b->touched = true;
	broker_sweep_need(b);
}

bool control_sweep_alone(struct broker *b, uint64_t now_ms)
{
	struct forward *next;

	for (struct forward *f = b->control.alone; f; f = next) {
		next = f->next;
		if (now_ms < f->since_ms + ALONE_MS)
			continue;
		unlink_alone(f);
		forward_close(f);
	}
	return b->control.alone != NULL;
}

/* ---- the reply ----------------------------------------------------------- */

static void on_reply(uv_poll_t *h, int status, int events)
{
	struct forward *f = h->data;
	struct broker *b = f->b;

	(void)status;
	(void)events;
	uv_poll_stop(h);
	b->touched = true;
	if (f->c)
		control_wake(f->c);
	pump_kick(b);
}

/* Why there is no reply; half of one cannot be mended. */
static enum produced stream_ended_early(struct control_conn *c)
{
	const struct forward *f = c->forward;
	const struct stream_record *rec = status_find(c->b->status, f->number);
	unsigned int reason = rec ? rec->reason : VMC_REASON_APP_GONE;

	if (f->passed > 0) {
		control_close(c);
		return PRODUCED_WAIT;
	}
	if (reason == VMC_REASON_OK)
		reason = VMC_REASON_APP_GONE;
	conn_error(c, "Refused",
		   json_pack("{s:s,s:s}", "channel", f->channel, "reason",
			     vmc_reason_name(reason)));
	return finish(c);
}

/* Consumes @piece. */
static enum produced pass_on(struct control_conn *c, char *piece, size_t len)
{
	struct forward *f = c->forward;
	const char *nul = memchr(piece, '\0', len);

	if (c->oneway) {
		free(piece);
		return PRODUCED_MORE;
	}
	if (nul)
		len = (size_t)(nul - piece) + 1;
	f->passed += len;
	if (f->passed > CONTROL_REPLY_MAX) {
		free(piece);
		c->b->count.limit_reply++;
		control_close(c);
		return PRODUCED_WAIT;
	}
	control_put(c, piece, len);
	if (c->fd < 0)
		return PRODUCED_WAIT;
	return nul ? finish(c) : PRODUCED_MORE;
}

static enum produced produce(struct control_conn *c)
{
	struct forward *f = c->forward;
	char *piece = malloc(PIECE_MAX);
	ssize_t n = piece ? recv(f->fd, piece, PIECE_MAX, MSG_DONTWAIT) : 0;

	if (n > 0)
		return pass_on(c, piece, (size_t)n);
	free(piece);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		uv_poll_start(&f->poll, UV_READABLE, on_reply);
		c->b->touched = true;
		return PRODUCED_WAIT;
	}
	/* Of a call without reply that is how it ends. */
	return c->oneway ? finish(c) : stream_ended_early(c);
}

/* ---- the call ------------------------------------------------------------ */

static void no_memory(struct control_call *call)
{
	call_error(call, "LimitReached",
		   json_pack("{s:s,s:i}", "limit", "memory", "value", 0));
}

static void no_such_interface(struct control_call *call, const char *name)
{
	call_error(call, SERVICE_INTERFACE ".InterfaceNotFound",
		   json_pack("{s:s}", "interface", name));
}

/* The connection becomes the stream. */
static void hand_over(struct control_call *call, struct outgoing *o)
{
	const char *rest;
	struct refusal why;
	char *early;
	size_t len;

	rest = varlink_buf_rest(&call->c->in, &len);
	early = malloc(o->early_len + len);
	if (!early) {
		no_memory(call);
		return;
	}
	memcpy(early, o->early, o->early_len);
	memcpy(early + o->early_len, rest, len);
	o->early = early;
	o->early_len += len;
	o->fd = call->c->fd;
	if (outgoing_open(call->b, o, &call->c->creds, &why))
		control_take_fd(call->c);
	else
		call_refused(call, o->channel, &why);
	free(early);
}

/* Return: NULL: no memory, or no descriptors. */
static struct forward *forward_new(struct control_conn *c, int *ret_stream)
{
	struct forward *f = calloc(1, sizeof(*f));
	int fd[2];

	if (!f ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fd) < 0) {
		free(f);
		return NULL;
	}
	if (uv_poll_init(c->b->loop, &f->poll, fd[1]) < 0) {
		close(fd[0]);
		close(fd[1]);
		free(f);
		return NULL;
	}
	f->b = c->b;
	f->c = c;
	f->fd = fd[1];
	f->poll.data = f;
	c->b->n_handles++;
	c->forward = f;
	*ret_stream = fd[0];
	return f;
}

static void ask(struct control_call *call, struct outgoing *o)
{
	struct control_conn *c = call->c;
	struct forward *f = forward_new(c, &o->fd);
	struct refusal why;

	if (!f) {
		no_memory(call);
		return;
	}
	if (!outgoing_open(call->b, o, &c->creds, &why)) {
		close(o->fd);
		control_forward_end(c);
		call_refused(call, o->channel, &why);
		return;
	}
	f->number = call->b->last_number;
	strcpy(f->channel, o->channel);
	/* The service sees that there is nothing to answer any more. */
	if (c->oneway)
		shutdown(f->fd, SHUT_WR);
	c->mode = CONTROL_FORWARDING;
	c->produce = produce;
}

void control_forward(struct control_call *call, const char *interface,
		     bool more, bool upgrade)
{
	const struct varlink_msg *m = call->msg;
	struct outgoing o = {
		.channel = interface,
		.answer = STREAM_ANSWER_CALL,
		.fd = -1,
	};
	char *text;

	if (!vmc_name_valid(interface, strlen(interface))) {
		no_such_interface(call, interface);
		return;
	}
	if (call->b->frozen) {
		control_hold(call->c, m);
		return;
	}
	call->b->count.control_forwarded++;
	text = varlink_call_text(m->method, m->parameters, more, m->oneway,
				 upgrade, &o.early_len);
	o.early = text;
	if (!text)
		no_memory(call);
	else if (more || upgrade)
		hand_over(call, &o);
	else
		ask(call, &o);
	free(text);
}
