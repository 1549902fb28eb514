/* SPDX-License-Identifier: MIT */
/* exec_stream.c - the frames of one command */
#include "guest/exec_stream.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* The window is given back in pieces of that size. The caller is never without
 * the rest of it. */
#define TOOK_STEP (OPFRAME_WINDOW / 4)
/* Frames sent before what came in is looked at again. */
#define TURN 8

/* ---- to the command ------------------------------------------------------ */

static void took(struct exec_stream *s, size_t n)
{
	s->in.taken += (uint32_t)n;
}

/* It reads no more, or is no more: what comes is taken, and thrown away. */
static void close_in(struct exec_stream *s)
{
	if (!s->c->pty && s->c->in >= 0)
		close(s->c->in);
	s->c->in = -1;
	took(s, s->in.n_kept);
	s->in.n_kept = 0;
}

/* Return: how many it took now; it may have closed then. */
static size_t offer(struct exec_stream *s, const uint8_t *p, size_t n)
{
	ssize_t r = write(s->c->in, p, n);

	if (r < 0 && errno != EAGAIN && errno != EINTR)
		close_in(s);
	return r > 0 ? (size_t)r : 0;
}

/* The window is as large as the place, so there is room. */
static void keep(struct exec_in *in, const uint8_t *p, size_t n)
{
	if (in->kept_at + in->n_kept + n > sizeof(in->kept)) {
		memmove(in->kept, in->kept + in->kept_at, in->n_kept);
		in->kept_at = 0;
	}
	memcpy(in->kept + in->kept_at + in->n_kept, p, n);
	in->n_kept += n;
}

/* On a terminal the end is a character, if it waits for lines. */
static void end_terminal(const struct exec_stream *s)
{
	struct termios t;
	uint8_t end;

	if (s->c->in < 0 || tcgetattr(s->c->in, &t) < 0 ||
	    !(t.c_lflag & ICANON))
		return;
	end = t.c_cc[VEOF];
	/* Twice: the first one may only end a line. */
	for (int i = 0; i < 2; i++)
		if (write(s->c->in, &end, 1) < 0)
			return;
}

static void end_in(struct exec_stream *s)
{
	if (!s->in.end || s->in.n_kept > 0 || s->c->in < 0)
		return;
	if (s->c->pty)
		end_terminal(s);
	close_in(s);
}

static void push_kept(struct exec_stream *s)
{
	struct exec_in *in = &s->in;
	size_t n = offer(s, in->kept + in->kept_at, in->n_kept);

	if (s->c->in < 0)
		return;
	took(s, n);
	in->n_kept -= n;
	in->kept_at = in->n_kept > 0 ? in->kept_at + n : 0;
	end_in(s);
}

static void give(struct exec_stream *s, const uint8_t *p, size_t n)
{
	size_t now = 0;

	if (s->c->in >= 0 && s->in.n_kept == 0)
		now = offer(s, p, n);
	if (s->c->in < 0)
		now = n;
	took(s, now);
	if (now < n)
		keep(&s->in, p + now, n - now);
}

/* ---- frames of the caller ------------------------------------------------ */

static bool on_data(struct exec_stream *s, const struct opframe *f,
		    const uint8_t *p)
{
	(void)p;
	if (s->in.end || f->len > OPFRAME_WINDOW - s->in.owed)
		return false;
	s->in.owed += f->len;
	s->in.body = f->len;
	return true;
}

static bool on_end(struct exec_stream *s, const struct opframe *f,
		   const uint8_t *p)
{
	(void)f;
	(void)p;
	if (s->in.end)
		return false;
	s->in.end = true;
	end_in(s);
	return true;
}

static bool on_size(struct exec_stream *s, const struct opframe *f,
		    const uint8_t *p)
{
	struct opframe_size size;
	struct winsize w = {0};

	(void)f;
	if (!s->c->pty || !opframe_get_size(p, &size))
		return false;
	w.ws_row = size.rows;
	w.ws_col = size.columns;
	if (s->c->out >= 0)
		(void)ioctl(s->c->out, TIOCSWINSZ, &w); /* or it has closed */
	return true;
}

/* To what is in the foreground of its terminal, or to its process group. */
static void send_signal(const struct exec_stream *s, int number)
{
	pid_t group = s->c->pid;

	if (s->c->pty && s->c->out >= 0 &&
	    (ioctl(s->c->out, TIOCGPGRP, &group) < 0 || group <= 1))
		group = s->c->pid;
	kill(-group, number);
}

static bool on_signal(struct exec_stream *s, const struct opframe *f,
		      const uint8_t *p)
{
	unsigned int number = opframe_get_signal(p);

	(void)f;
	if (number == 0)
		return false;
	if (!s->ended)
		send_signal(s, (int)number);
	return true;
}

typedef bool frame_fn(struct exec_stream *s, const struct opframe *f,
		      const uint8_t *p);

static frame_fn *const frames[OPFRAME_TYPES] = {
	[OPFRAME_DATA] = on_data,
	[OPFRAME_END] = on_end,
	[OPFRAME_SIZE] = on_size,
	[OPFRAME_SIGNAL] = on_signal,
};

/* Return: bytes taken of the @n; 0: more must come first. */
static size_t take_frame(struct exec_stream *s, const uint8_t *p, size_t n)
{
	struct opframe f;
	size_t whole = OPFRAME_HEAD;

	if (n < OPFRAME_HEAD)
		return 0;
	if (!opframe_get(p, &f) || !frames[f.type]) {
		s->broken = true;
		return 0;
	}
	/* A body of data is passed on as it comes. */
	if (f.type != OPFRAME_DATA)
		whole += f.len;
	if (n < whole)
		return 0;
	if (!frames[f.type](s, &f, p + OPFRAME_HEAD))
		s->broken = true;
	return whole;
}

static size_t take_body(struct exec_stream *s, const uint8_t *p, size_t n)
{
	if (n > s->in.body)
		n = s->in.body;
	s->in.body -= (uint32_t)n;
	give(s, p, n);
	return n;
}

static void take_all(struct exec_stream *s)
{
	struct exec_in *in = &s->in;
	size_t at = 0, n = 1;

	while (n > 0 && at < in->len && !s->broken) {
		n = in->body > 0 ? take_body(s, in->data + at, in->len - at)
				 : take_frame(s, in->data + at, in->len - at);
		at += n;
	}
	/* Less than a frame's head and a short body. */
	in->len -= at;
	memmove(in->data, in->data + at, in->len);
}

static void receive(struct exec_stream *s)
{
	struct exec_in *in = &s->in;
	ssize_t n = recv(s->sock, in->data + in->len,
			 sizeof(in->data) - in->len, MSG_DONTWAIT);

	if (n > 0) {
		in->len += (size_t)n;
		take_all(s);
	} else if (n == 0) {
		/* It may still read; who has gone is seen by the hang-up. */
		in->eof = in->end = true;
		s->broken |= in->body > 0 || in->len > 0;
		end_in(s);
	} else if (errno != EAGAIN && errno != EINTR) {
		s->broken = true;
	}
}

/* ---- to the caller ------------------------------------------------------- */

bool exec_stream_sent(const struct exec_stream *s)
{
	return s->out.at == s->out.len;
}

static void flush(struct exec_stream *s)
{
	struct exec_out *o = &s->out;

	while (!exec_stream_sent(s) && !s->broken) {
		ssize_t n = send(s->sock, o->data + o->at, o->len - o->at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			o->at += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			s->broken = true;
	}
}

static void put(struct exec_stream *s, enum opframe_type type, size_t len)
{
	opframe_put(s->out.data, type, len);
	s->out.at = 0;
	s->out.len = OPFRAME_HEAD + len;
}

static uint8_t *body(struct exec_stream *s)
{
	return s->out.data + OPFRAME_HEAD;
}

static bool put_took(struct exec_stream *s)
{
	if (s->in.taken < TOOK_STEP)
		return false;
	opframe_put_took(body(s), s->in.taken);
	put(s, OPFRAME_TOOK, OPFRAME_TOOK_LEN);
	s->in.owed -= s->in.taken;
	s->in.taken = 0;
	return true;
}

static void close_out(struct exec_stream *s, int *fd)
{
	if (s->c->pty)
		s->c->in = -1; /* it is the same */
	close(*fd);
	*fd = -1;
}

static bool put_output(struct exec_stream *s, bool err)
{
	int *fd = err ? &s->c->err : &s->c->out;
	size_t max = OPFRAME_MAX;
	ssize_t n;

	if (*fd < 0)
		return false;
	if (s->out.last && max > s->out.left[err])
		max = s->out.left[err];
	n = max > 0 ? read(*fd, body(s), max) : 0;
	if (n > 0) {
		s->out.left[err] -= s->out.last ? (size_t)n : 0;
		put(s, err ? OPFRAME_ERR : OPFRAME_OUT, (size_t)n);
		return true;
	}
	/* A terminal that nobody has open gives EIO. */
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_out(s, fd);
	return false;
}

/* All have closed it before the command ended. */
static bool put_end(struct exec_stream *s)
{
	if (s->out.end_said || s->ended || s->c->out >= 0 || s->c->err >= 0)
		return false;
	s->out.end_said = true;
	put(s, OPFRAME_END, 0);
	return true;
}

static bool put_next(struct exec_stream *s)
{
	bool err = s->out.err_first;

	s->out.err_first = !err;
	return put_took(s) || put_output(s, err) || put_output(s, !err) ||
	       put_end(s);
}

static void send_some(struct exec_stream *s)
{
	flush(s);
	for (int i = 0; i < TURN && exec_stream_sent(s) && put_next(s); i++)
		flush(s);
}

/* ---- one turn ------------------------------------------------------------ */

void exec_stream_begin(struct exec_stream *s, int sock, struct exec_command *c,
		       const char *rest, size_t len)
{
	s->sock = sock;
	s->c = c;
	s->broken = len > sizeof(s->in.data);
	if (s->broken)
		return;
	memcpy(s->in.data, rest, len);
	s->in.len = len;
	take_all(s);
}

void exec_stream_wants(const struct exec_stream *s, struct pollfd p[EXEC_FDS])
{
	bool sent = exec_stream_sent(s);

	p[EXEC_SOCK] =
		(struct pollfd){.fd = s->sock,
				.events = (short)((s->in.eof ? 0 : POLLIN) |
						  (sent ? 0 : POLLOUT))};
	p[EXEC_IN] = (struct pollfd){.fd = s->in.n_kept > 0 ? s->c->in : -1,
				     .events = POLLOUT};
	p[EXEC_OUT] =
		(struct pollfd){.fd = sent ? s->c->out : -1, .events = POLLIN};
	p[EXEC_ERR] =
		(struct pollfd){.fd = sent ? s->c->err : -1, .events = POLLIN};
}

void exec_stream_step(struct exec_stream *s, const struct pollfd p[EXEC_FDS])
{
	if (p[EXEC_SOCK].revents & (POLLHUP | POLLERR))
		s->broken = true;
	if (!s->broken && p[EXEC_SOCK].revents & POLLIN)
		receive(s);
	if (!s->broken && p[EXEC_IN].revents)
		push_kept(s);
	if (!s->broken)
		send_some(s);
}

/* ---- the end ------------------------------------------------------------- */

void exec_stream_ended(struct exec_stream *s)
{
	s->ended = true;
	close_in(s);
}

void exec_stream_last(struct exec_stream *s)
{
	const int fds[] = {s->c->out, s->c->err};
	int n = 0;

	for (size_t i = 0; i < 2; i++)
		s->out.left[i] =
			fds[i] >= 0 && ioctl(fds[i], FIONREAD, &n) == 0 && n > 0
				? (size_t)n
				: 0;
	s->out.last = true;
	send_some(s); /* where nothing is left is seen by reading */
}

bool exec_stream_drained(const struct exec_stream *s)
{
	return s->c->out < 0 && s->c->err < 0 && exec_stream_sent(s);
}

void exec_stream_exit(struct exec_stream *s, int status)
{
	struct opframe_exit how = {.killed = WIFSIGNALED(status)};

	how.value =
		(uint8_t)(how.killed ? WTERMSIG(status) : WEXITSTATUS(status));
	opframe_put_exit(body(s), &how);
	put(s, OPFRAME_EXIT, OPFRAME_EXIT_LEN);
	flush(s);
}
