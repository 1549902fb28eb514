/* SPDX-License-Identifier: MIT */
/* opstream.c - a stream of Exec or File: the call, its frames, how it ended */
#include "cli/opstream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/operror.h"
#include "cli/relay.h"

/* Waits in slices so that somebody at a terminal sees that it goes on. */
static int wait_reply(struct vmc_call *c, unsigned int timeout_s,
		      const char **text, const char **error)
{
	uint64_t end = cli_now_us() + (uint64_t)timeout_s * 1000000u;
	int r;

	cli_progress_begin("waiting for the guest");
	do {
		r = vmc_call_reply(c, text, error, CLI_PROGRESS_MS);
		cli_progress_tick();
	} while (r == -ETIMEDOUT && (timeout_s == 0 || cli_now_us() < end));
	cli_progress_end();
	return r;
}

/* An error reply, be it instead of the stream or in it. */
static int report_error(const struct opstream *s, const char *error,
			const char *text)
{
	const struct opstream_call *c = &s->call;

	if (c->expected && strcmp(error, c->expected) == 0)
		return OPSTREAM_EXPECTED;
	return cli_call_error(c->vm, c->method, error, text);
}

static int take_stream(struct opstream *s, struct vmc_call *c,
		       json_t **ret_reply)
{
	const char *text, *error;
	int r = wait_reply(c, s->call.timeout_s, &text, &error);

	if (r < 0)
		return cli_vmc_error(r);
	if (error)
		return report_error(s, error, text);
	*ret_reply = json_loads(text, 0, NULL);
	if (!*ret_reply)
		return cli_error(CLI_FAILED, "out of memory");
	snprintf(s->id, sizeof(s->id), "%s", vmc_call_id(c));
	s->fd = vmc_call_stream(c);
	if (s->fd >= 0)
		return CLI_OK;
	json_decref(*ret_reply);
	return cli_vmc_error(s->fd);
}

static int start(struct opstream *s, json_t *parameters, json_t **ret_reply)
{
	char *text = json_dumps(parameters, JSON_COMPACT);
	struct vmc_call *c;
	int r;

	json_decref(parameters);
	if (!text)
		return cli_error(CLI_FAILED, "out of memory");
	r = vmc_call_start(&c, s->call.vm, s->call.method, text,
			   VMC_CALL_UPGRADE, cli_timeout_ms(s->call.timeout_s));
	free(text);
	if (r < 0)
		return cli_vmc_error(r);
	r = take_stream(s, c, ret_reply);
	vmc_call_free(c);
	return r;
}

int opstream_open(struct opstream *s, const struct opstream_call *call,
		  json_t *parameters, json_t **ret_reply)
{
	bool windowed = call->kind == FRAMES_PIPES || call->kind == FRAMES_TTY;
	int r;

	*s = (struct opstream){.call = *call, .fd = -1};
	if (frames_down_init(&s->down, call->kind) &&
	    frames_up_init(&s->up, windowed)) {
		r = start(s, parameters, ret_reply);
	} else {
		json_decref(parameters);
		r = cli_error(CLI_FAILED, "out of memory");
	}
	if (r != CLI_OK)
		opstream_close(s);
	return r;
}

void opstream_close(struct opstream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	frames_up_done(&s->up);
	frames_down_done(&s->down);
}

short opstream_events(const struct opstream *s)
{
	struct iovec v[RING_PARTS];
	short events = 0;

	if (s->over || s->hung_up)
		return 0;
	if (frames_down_room(&s->down, v) > 0)
		events |= POLLIN;
	if (!s->deaf && frames_up_pending(&s->up, v) > 0)
		events |= POLLOUT;
	return events;
}

bool opstream_can_move(const struct opstream *s)
{
	struct iovec v[RING_PARTS];

	return s->hung_up && !s->over && frames_down_room(&s->down, v) > 0;
}

/* What the guest says to have taken must have been sent. */
static void take_credit(struct opstream *s)
{
	if (!frames_up_took(&s->up, frames_down_took(&s->down)))
		s->down.last = FRAMES_WRONG;
}

static void receive(struct opstream *s)
{
	struct iovec v[RING_PARTS];
	struct msghdr msg = {.msg_iov = v};
	ssize_t n;

	msg.msg_iovlen = (size_t)frames_down_room(&s->down, v);
	if (msg.msg_iovlen == 0)
		return;
	n = recvmsg(s->fd, &msg, MSG_DONTWAIT);
	if (n > 0)
		frames_down_add(&s->down, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		s->over = true;
	take_credit(s);
}

void opstream_wrote(struct opstream *s, size_t n)
{
	frames_down_wrote(&s->down, n);
	take_credit(s);
}

static void send_pending(struct opstream *s)
{
	struct iovec v[RING_PARTS];
	struct msghdr msg = {.msg_iov = v};
	ssize_t n;

	msg.msg_iovlen = (size_t)frames_up_pending(&s->up, v);
	if (s->deaf || msg.msg_iovlen == 0)
		return;
	n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		frames_up_sent(&s->up, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		/* What the guest said before may say why. */
		s->deaf = true;
}

void opstream_move(struct opstream *s, short revents)
{
	if (revents & (POLLHUP | POLLERR))
		s->hung_up = true;
	if (s->hung_up || revents & POLLIN)
		receive(s);
	send_pending(s);
}

bool opstream_is_over(const struct opstream *s)
{
	return frames_down_is_over(&s->down) || (s->over && s->down.n == 0);
}

/* A stream that broke off: the broker knows why, once it is closed here. */
static int report_broken(const char *vm, const char *id, const char *what)
{
	struct vmc_status status;
	int r = relay_wait_for_end(vm, id, &status);

	if (r)
		return cli_error(CLI_FAILED,
				 "%s: the stream broke off, and why is not "
				 "known: %s%s",
				 vm, vmc_strerror(), what);
	if (status.state != VMC_STREAM_ENDED || status.reason == VMC_REASON_OK)
		return cli_error(CLI_FAILED,
				 "%s: the guest ended the stream without "
				 "saying why; its agent's log may know%s",
				 vm, what);
	return cli_error(CLI_FAILED, "%s: the stream was reset: %s (%s)%s", vm,
			 vmc_reason_text(status.reason),
			 vmc_reason_name(status.reason), what);
}

/* Return: CLI_OK: it is none. */
static int report_frame(const struct opstream *s)
{
	char *error, *parameters;
	int r;

	if (s->down.last != FRAMES_ERROR ||
	    operror_parse(s->down.error, s->down.error_len, &error,
			  &parameters))
		return CLI_OK;
	r = report_error(s, error, parameters);
	free(error);
	free(parameters);
	return r;
}

int opstream_report(struct opstream *s, const char *what)
{
	int r = report_frame(s);

	if (r == CLI_OK && s->down.last != FRAMES_GOING)
		r = cli_error(CLI_FAILED,
			      "%s: what the guest's agent sent is not the "
			      "protocol; is it sound?%s",
			      s->call.vm, what);
	opstream_close(s);
	return r != CLI_OK ? r : report_broken(s->call.vm, s->id, what);
}
