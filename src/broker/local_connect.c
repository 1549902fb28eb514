/* SPDX-License-Identifier: MIT */
/*
 * local_connect.c - the "connect" socket: "CONNECT name", then raw bytes
 *
 * The line is looked at with MSG_PEEK and only its own bytes are taken, so
 * that what follows waits in the socket, where it belongs to the stream.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/connect_line.h"
#include "broker/internal.h"
#include "broker/log.h"

struct pending_connect {
	struct broker *b;
	struct pending_connect *prev, *next;
	uv_poll_t poll;
	int fd;
	bool held; /* its line came while the broker was frozen */
	uint64_t since_ms;
	size_t len;
	char line[CONNECT_LINE_MAX];
	struct creds creds;
};

static void on_closed(uv_handle_t *h)
{
	struct pending_connect *p = h->data;
	struct broker *b = p->b;

	creds_done(&p->creds);
	free(p);
	broker_unref(b);
}

/* Forget the call; its descriptor stays open for the caller. */
static int detach(struct pending_connect *p)
{
	struct connect_server *s = &p->b->connect;
	int fd = p->fd;

	p->fd = -1;
	if (p->prev)
		p->prev->next = p->next;
	else
		s->list = p->next;
	if (p->next)
		p->next->prev = p->prev;
	s->n--;
	uv_poll_stop(&p->poll);
	uv_close((uv_handle_t *)&p->poll, on_closed);
	p->b->touched = true;
	return fd;
}

static void send_error(int fd, const char *word, const char *text)
{
	char line[CONNECT_LINE_MAX + POLICY_RULE_ID_MAX];
	int n = snprintf(line, sizeof(line), "ERR %s %s\n", word, text);

	/* A new socket has room; if not, its end says enough. */
	if (n > 0 && (size_t)n < sizeof(line) &&
	    send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static void answer_error(struct pending_connect *p, const char *word,
			 const char *text)
{
	int fd = detach(p);
	char rest[CONNECT_LINE_MAX];

	send_error(fd, word, text);
	/* Closing with unread bytes would turn the answer into a reset. */
	shutdown(fd, SHUT_WR);
	while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) == sizeof(rest))
		;
	close(fd);
}

static void bad_line(struct pending_connect *p, const char *text)
{
	p->b->count.connect_bad++;
	log_limited(broker_now_us(), LOG_LEVEL_WARNING,
		    "ev=connect-refused uid=%u why=\"%s\"",
		    (unsigned int)p->creds.who.uid, text);
	answer_error(p, "protocol", text);
}

static void refuse(struct pending_connect *p, const struct refusal *why)
{
	char text[POLICY_RULE_ID_MAX + 64];

	if (why->reason == VMC_REASON_DENIED)
		snprintf(text, sizeof(text), "rule %s", why->rule);
	else if (why->limit)
		snprintf(text, sizeof(text), "%s %llu", why->limit,
			 (unsigned long long)why->value);
	else
		snprintf(text, sizeof(text), "%s",
			 vmc_reason_text(why->reason));
	answer_error(p, vmc_reason_name(why->reason), text);
}

static void open_channel(struct pending_connect *p, const char *channel)
{
	struct outgoing o = {
		.channel = channel,
		.answer = STREAM_ANSWER_LINE,
		.fd = p->fd,
	};
	struct refusal why;

	if (outgoing_open(p->b, &o, &p->creds, &why))
		detach(p);
	else
		refuse(p, &why);
}

static void parse_line(struct pending_connect *p)
{
	char channel[VMC_NAME_MAX + 1];

	switch (connect_line_parse(p->line, p->len, channel)) {
	case CONNECT_LINE_OK:
		open_channel(p, channel);
		break;
	case CONNECT_LINE_BAD:
		bad_line(p, "expected CONNECT and a channel name");
		break;
	case CONNECT_LINE_BAD_NAME:
	default:
		bad_line(p, "not a channel name");
		break;
	}
}

static void take_line(struct pending_connect *p)
{
	p->held = p->b->frozen;
	if (!p->held) {
		parse_line(p);
		return;
	}
	uv_poll_stop(&p->poll);
	p->b->touched = true;
}

/* Only the line's own bytes are taken: what follows waits in the socket,
 * where it belongs to the stream. */
static void read_line(struct pending_connect *p)
{
	char *to = p->line + p->len;
	size_t room = sizeof(p->line) - p->len;
	ssize_t n = recv(p->fd, to, room, MSG_PEEK | MSG_DONTWAIT);
	const char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(detach(p));
		return;
	}
	end = memchr(to, '\n', (size_t)n);
	if (end)
		n = end - to + 1;
	n = recv(p->fd, to, (size_t)n, MSG_DONTWAIT);
	if (n <= 0)
		return;
	p->len += (size_t)n;
	/* Fewer than before: urgent bytes lay between. */
	if (p->line[p->len - 1] == '\n')
		take_line(p);
	else if (p->len == sizeof(p->line))
		bad_line(p, "the line is too long");
}

static void on_readable(uv_poll_t *h, int status, int events)
{
	struct pending_connect *p = h->data;
	struct broker *b = p->b;

	(void)events;
	if (status < 0)
		close(detach(p));
	else
		read_line(p);
	pump_kick(b);
}

static bool is_full(struct broker *b, const struct creds *creds)
{
	const struct connect_server *s = &b->connect;
	unsigned int n = 0;

	for (const struct pending_connect *p = s->list; p; p = p->next)
		n += creds_same_user(&p->creds, creds);
	if (s->n < CONNECT_PENDING_MAX && n < CONNECT_PENDING_UID_MAX)
		return false;
	b->count.limit_connect_pending++;
	return true;
}

static int pending_new(struct broker *b, int fd, const struct creds *creds)
{
	struct connect_server *s = &b->connect;
	struct pending_connect *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	r = uv_poll_init(b->loop, &p->poll, fd);
	if (r < 0) {
		free(p);
		return r;
	}
	p->b = b;
	p->fd = fd;
	p->creds = *creds;
	p->since_ms = broker_now_us() / 1000u;
	p->poll.data = p;
	p->next = s->list;
	if (p->next)
		p->next->prev = p;
	s->list = p;
	s->n++;
	b->n_handles++;
	uv_poll_start(&p->poll, UV_READABLE, on_readable);
	broker_sweep_need(b);
	return 0;
}

static bool let_in(struct broker *b, int fd, const struct creds *creds)
{
	if (!is_full(b, creds))
		return pending_new(b, fd, creds) == 0;
	send_error(fd, vmc_reason_name(VMC_REASON_LIMIT),
		   "too many calls at once");
	return false;
}

bool connect_server_sweep(struct broker *b, uint64_t now_ms)
{
	struct pending_connect *next;

	for (struct pending_connect *p = b->connect.list; p; p = next) {
		next = p->next;
		if (p->held || now_ms - p->since_ms < CONNECT_LINE_MS)
			continue;
		b->count.limit_connect_time++;
		answer_error(p, vmc_reason_name(VMC_REASON_TIMEOUT),
			     "no line came");
	}
	return b->connect.list != NULL;
}

void connect_server_release(struct broker *b)
{
	struct pending_connect *next;

	for (struct pending_connect *p = b->connect.list; p; p = next) {
		next = p->next;
		if (!p->held)
			continue;
		p->held = false;
		parse_line(p);
	}
}

void connect_server_adopt(struct broker *b, int fd)
{
	struct creds creds;

	if (creds_get(b, fd, &creds) < 0) {
		close(fd);
		return;
	}
	if (let_in(b, fd, &creds))
		return;
	creds_done(&creds);
	close(fd);
}

int connect_server_give(const struct broker *b, uint32_t *pos)
{
	uint32_t i = 0;

	for (const struct pending_connect *p = b->connect.list; p;
	     p = p->next) {
		if (p->len > 0 || i++ < *pos)
			continue;
		++*pos;
		return p->fd;
	}
	return -1;
}

int connect_server_init(struct broker *b, int fd)
{
	return listener_init(&b->connect.listener, b, fd, let_in);
}

void connect_server_close(struct broker *b)
{
	listener_close(&b->connect.listener);
	while (b->connect.list)
		close(detach(b->connect.list));
}
