/* SPDX-License-Identifier: MIT */
/* conn.c - one varlink connection to a local broker, or through a stream */
#include "client/conn.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "client/error.h"
#include "client/vmpath.h"

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t client_deadline(int timeout_ms)
{
	if (timeout_ms < 0)
		return CLIENT_NEVER;
	return now_us() + (uint64_t)timeout_ms * 1000u;
}

/* Whole milliseconds that are left, rounded up so that poll() does not return
 * just before the deadline; -1 is for ever. */
static int left_ms(uint64_t deadline)
{
	uint64_t now, ms;

	if (deadline == CLIENT_NEVER)
		return -1;
	now = now_us();
	if (now >= deadline)
		return 0;
	ms = (deadline - now + 999u) / 1000u;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

int client_wait(int fd, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int ms = left_ms(deadline);
		int r = poll(&p, 1, ms);

		if (r > 0)
			return 0;
		if (r == 0 && ms == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return client_fail(errno, "poll: %s", strerror(errno));
	}
}

void client_init(struct client_conn *c, int fd, const char *vm,
		 const char *channel)
{
	*c = (struct client_conn){.fd = fd, .out = fd};
	varlink_buf_init(&c->in);
	snprintf(c->vm, sizeof(c->vm), "%s", vm);
	snprintf(c->channel, sizeof(c->channel), "%s", channel ? channel : "");
}

void client_done(struct client_conn *c)
{
	varlink_buf_done(&c->in);
	if (c->out >= 0 && c->out != c->fd)
		close(c->out);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = c->out = -1;
}

int client_release(struct client_conn *c)
{
	int fd = c->fd;

	c->fd = c->out = -1;
	client_done(c);
	return fd;
}

/* How long connect() may wait for room in the broker's backlog. Nothing else
 * limits that for a unix socket. */
static void set_connect_timeout(int fd, uint64_t deadline)
{
	int ms = left_ms(deadline);
	struct timeval tv = {0};

	if (ms >= 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000 + 1; /* 0 would be for ever */
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int dial_error(const char *vm, const struct sockaddr_un *sa, int error)
{
	const char *path = sa->sun_path;

	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return client_fail(error,
				   "%s: nobody answers at %s: its %s is gone; "
				   "start it again",
				   vm, path,
				   strcmp(vm, "host") == 0 ? "vmchannel-agent"
							   : "vmchanneld");
	case EACCES:
	case EPERM:
		return client_fail(EACCES,
				   "%s: %s is not open to this user; become "
				   "the user who runs the VM, or let its "
				   "broker open the socket",
				   vm, path);
	case EAGAIN:
		return client_fail(ETIMEDOUT,
				   "%s: the broker at %s takes no connections; "
				   "see whether it is stopped or overloaded",
				   vm, path);
	default:
		return client_fail(error, "%s: cannot connect to %s: %s", vm,
				   path, strerror(error));
	}
}

int client_open(struct client_conn *c, const char *vm, const char *channel)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return client_fail(errno, "%s: no socket: %s", vm,
				   strerror(errno));
	client_init(c, fd, vm, channel);
	return 0;
}

int client_reach(struct client_conn *c, const struct sockaddr_un *sa,
		 uint64_t deadline)
{
	static const struct timeval forever;
	int r, e;

	do {
		set_connect_timeout(c->fd, deadline);
		r = connect(c->fd, (const struct sockaddr *)sa, sizeof(*sa));
		e = errno;
	} while (r && e == EINTR);
	if (r)
		return dial_error(c->vm, sa, e);
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof(forever));
	return 0;
}

int client_connect(struct client_conn *c, const struct sockaddr_un *sa,
		   const char *vm, const char *channel, uint64_t deadline)
{
	int r = client_open(c, vm, channel);

	if (r)
		return r;
	r = client_reach(c, sa, deadline);
	if (r)
		client_done(c);
	return r;
}

int client_dial(struct client_conn *c, const char *vm, const char *channel,
		uint64_t deadline)
{
	struct sockaddr_un sa;
	int r = vmpath_find_socket(vm, "control", &sa);

	return r ? r : client_connect(c, &sa, vm, channel, deadline);
}

static int closed(const struct client_conn *c)
{
	return client_fail(ECONNRESET,
			   "%s: the connection to the broker%s%s was closed "
			   "before it answered; try again",
			   c->vm, c->channel[0] ? " for " : "", c->channel);
}

static int too_late(const struct client_conn *c)
{
	return client_fail(ETIMEDOUT,
			   "%s: no answer%s%s in time; 'vmchannel doctor %s' "
			   "says which hop is silent",
			   c->vm, c->channel[0] ? " for " : "", c->channel,
			   c->vm);
}

static int send_all(struct client_conn *c, const char *p, size_t len,
		    uint64_t deadline)
{
	while (len > 0) {
		ssize_t n = send(c->out, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return closed(c);
		if (errno != EAGAIN && errno != EINTR)
			return client_fail(errno, "%s: cannot send: %s", c->vm,
					   strerror(errno));
		if (client_wait(c->out, POLLOUT, deadline))
			return too_late(c);
	}
	return 0;
}

int client_send_call(struct client_conn *c, const char *method,
		     json_t *parameters, enum client_kind kind,
		     uint64_t deadline)
{
	char *text = NULL;
	size_t len = 0;
	int r;

	if (parameters)
		text = varlink_call_text(method, parameters,
					 kind == CLIENT_MORE, false,
					 kind == CLIENT_UPGRADE, &len);
	json_decref(parameters);
	if (!text)
		return client_fail(ENOMEM, "%s: out of memory", c->vm);
	if (len > VARLINK_MSG_MAX)
		r = client_fail(EMSGSIZE,
				"%s: a call of %zu bytes is over the limit of "
				"%u; send large data through a stream",
				c->vm, len, VARLINK_MSG_MAX);
	else
		r = send_all(c, text, len, deadline);
	free(text);
	return r;
}

static int varlink_error(const struct client_conn *c, int err)
{
	switch (err) {
	case VARLINK_ERR_NOMEM:
		return client_fail(ENOMEM, "%s: out of memory", c->vm);
	case VARLINK_ERR_TOO_BIG:
		return client_fail(EMSGSIZE,
				   "%s: the answer%s%s is over the limit of %u "
				   "bytes; ask for less at a time",
				   c->vm, c->channel[0] ? " of " : "",
				   c->channel, VARLINK_MSG_MAX);
	default:
		return client_fail(EPROTO,
				   "%s: the answer%s%s is not a varlink "
				   "message; is that a varlink service?",
				   c->vm, c->channel[0] ? " of " : "",
				   c->channel);
	}
}

/* Moves bytes into the buffer: all that are there up to and including the
 * first NUL, and none after it. Return: how many; 0 at the end. */
static ssize_t take_until_nul(int fd, char *room, size_t size)
{
	ssize_t n = recv(fd, room, size, MSG_PEEK | MSG_DONTWAIT);
	const char *nul;

	if (n <= 0)
		return n;
	nul = memchr(room, '\0', (size_t)n);
	if (nul)
		n = nul - room + 1;
	return recv(fd, room, (size_t)n, MSG_DONTWAIT);
}

static int fill(struct client_conn *c, uint64_t deadline)
{
	char *room;
	long size = varlink_buf_room(&c->in, &room);
	ssize_t n;
	int r;

	if (size < 0)
		return varlink_error(c, (int)size);
	n = take_until_nul(c->fd, room, (size_t)size);
	if (n > 0) {
		varlink_buf_add(&c->in, (size_t)n);
		return 0;
	}
	if (n == 0 || errno == ECONNRESET)
		return closed(c);
	if (errno != EAGAIN && errno != EINTR)
		return client_fail(errno, "%s: cannot receive: %s", c->vm,
				   strerror(errno));
	r = client_wait(c->fd, POLLIN, deadline);
	return r == -ETIMEDOUT ? too_late(c) : r;
}

int client_recv(struct client_conn *c, struct varlink_msg *ret,
		uint64_t deadline)
{
	for (;;) {
		int r = varlink_buf_next(&c->in, ret);

		if (r < 0)
			return varlink_error(c, r);
		if (r > 0 && ret->method[0] == '\0')
			return 0;
		if (r > 0) {
			/* A call where a reply should be. */
			varlink_msg_done(ret);
			return varlink_error(c, VARLINK_ERR_TYPE);
		}
		r = fill(c, deadline);
		if (r)
			return r;
	}
}

int client_recv_ok(struct client_conn *c, struct varlink_msg *ret,
		   uint64_t deadline)
{
	int r = client_recv(c, ret, deadline);

	if (r || ret->error[0] == '\0')
		return r;
	r = client_reply_error(c, ret);
	varlink_msg_done(ret);
	return r;
}

int client_ask(struct client_conn *c, const char *vm, const char *channel,
	       const char *method, json_t *parameters, enum client_kind kind,
	       struct varlink_msg *ret, uint64_t deadline)
{
	int r = client_dial(c, vm, channel, deadline);

	if (r) {
		json_decref(parameters);
		return r;
	}
	r = client_send_call(c, method, parameters, kind, deadline);
	if (!r)
		r = client_recv_ok(c, ret, deadline);
	if (r)
		client_done(c);
	return r;
}
