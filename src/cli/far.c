/* SPDX-License-Identifier: MIT */
/* far.c - stdin, stdout, stderr, terminal and signals for a command far away */
#include "cli/far.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/escape.h"
#include "cli/outlet.h"
#include "cli/signals.h"
#include "cli/tty.h"

/* As fast as somebody types, or a line that is pasted. */
#define KEYS_MAX 1024

struct far_outlet {
	struct outlet o;
	const char *name;
	bool waits; /* it said EAGAIN: ask poll() */
};

struct far {
	struct opstream *s;
	struct far_outlet out, err;
	int wake;       /* signals came */
	bool tty, keys; /* stdin is a terminal that was made raw */
	struct escape escape;
	bool in_over;

	/* To be sent when there is room. */
	unsigned int signal;
	bool size, end;

	bool out_over; /* whoever reads it was told */
	int status;    /* 0 until it ends here, and not there */
};

/* ---- output ---------------------------------------------------------- */

static void write_failed(struct far *f, struct far_outlet *to)
{
	if (errno == EAGAIN)
		to->waits = true;
	else if (errno == EPIPE || errno == ECONNRESET)
		f->status = 128 + SIGPIPE;
	else if (errno != EINTR)
		f->status = cli_error(CLI_FAILED, "cannot write to %s: %s",
				      to->name, strerror(errno));
}

/* Return: true if there may be more to write at once. */
static bool write_some(struct far *f)
{
	struct iovec v[FRAMES_PARTS];
	enum opframe_type type;
	int n = frames_down_front(&f->s->down, v, &type);
	struct far_outlet *to;
	ssize_t written;

	if (n == 0)
		return false;
	to = type == OPFRAME_OUT ? &f->out : &f->err;
	if (to->waits)
		return false;
	written = outlet_write(&to->o, v, n);
	if (written < 0) {
		write_failed(f, to);
		return false;
	}
	opstream_wrote(f->s, (size_t)written);
	return true;
}

static void write_output(struct far *f)
{
	while (f->status == 0 && write_some(f))
		;
	if (f->s->down.out_ended && f->s->down.n == 0 && !f->out_over) {
		outlet_hang_up(&f->out.o);
		f->out_over = true;
	}
}

/* ---- input ----------------------------------------------------------- */

static bool wants_input(const struct far *f)
{
	struct iovec v[RING_PARTS];
	size_t size;

	return !f->in_over && !f->s->deaf &&
	       frames_up_room(&f->s->up, v, &size) > 0;
}

static void input_ended(struct far *f)
{
	f->in_over = true;
	f->end = true;
}

static void read_failed(struct far *f)
{
	/* A terminal that is gone says EIO. */
	if (errno == EIO || errno == EBADF)
		input_ended(f);
	else if (errno != EAGAIN && errno != EINTR)
		f->status = cli_error(CLI_FAILED, "cannot read stdin: %s",
				      strerror(errno));
}

static void read_bytes(struct far *f)
{
	struct iovec v[RING_PARTS];
	size_t size;
	int parts = frames_up_room(&f->s->up, v, &size);
	ssize_t n = readv(STDIN_FILENO, v, parts);

	if (n < 0)
		read_failed(f);
	else if (n == 0)
		input_ended(f);
	else
		frames_up_data(&f->s->up, (size_t)n);
}

/* The terminal may be another one's while we are stopped, and of another size
 * after. */
static void stop(struct far *f)
{
	signals_stop();
	f->keys = tty_raw();
	f->size = true;
}

static void act(struct far *f, enum escape_what what)
{
	if (what == ESCAPE_STOP)
		stop(f);
	if (what != ESCAPE_LEAVE)
		return;
	tty_restore();
	f->status = cli_error(CLI_FAILED,
			      "%s: left with ~. what ran there is ended",
			      f->s->call.vm);
}

static void read_keys(struct far *f)
{
	uint8_t in[KEYS_MAX], out[KEYS_MAX + 1];
	ssize_t n = read(STDIN_FILENO, in, sizeof(in));
	enum escape_what what;
	size_t at = 0, len;

	if (n < 0)
		read_failed(f);
	else if (n == 0)
		input_ended(f);
	while (n > 0 && at < (size_t)n && f->status == 0) {
		at += escape_feed(&f->escape, in + at, (size_t)n - at, out,
				  &len, &what);
		if (len > 0)
			frames_up_copy(&f->s->up, out, len);
		act(f, what);
	}
}

/* ---- signals --------------------------------------------------------- */

static void take_signals(struct far *f)
{
	int number;

	while ((number = signals_next()) != 0) {
		if (number == SIGTSTP)
			stop(f);
		else if (number == SIGCONT)
			f->keys = tty_raw();
		if (!f->tty)
			f->signal = (unsigned int)number;
		else
			f->size = true;
	}
}

static void send_due(struct far *f)
{
	struct frames_up *u = &f->s->up;
	uint8_t signal_body[OPFRAME_SIGNAL_LEN] = {(uint8_t)f->signal};
	uint8_t size_body[OPFRAME_SIZE_LEN];
	struct opframe_size size;

	if (f->signal &&
	    frames_up_put(u, OPFRAME_SIGNAL, signal_body, sizeof(signal_body)))
		f->signal = 0;
	if (f->size) {
		tty_size(&size);
		opframe_put_size(size_body, &size);
		f->size = !frames_up_put(u, OPFRAME_SIZE, size_body,
					 sizeof(size_body));
	}
	if (f->end)
		f->end = !frames_up_put(u, OPFRAME_END, NULL, 0);
}

/* ---- the loop -------------------------------------------------------- */

enum {
	STDIN,
	STREAM,
	STDOUT,
	STDERR,
	SIGNALS,
	N_POLL
};

static struct pollfd asked(int fd, short events)
{
	return (struct pollfd){.fd = events ? fd : -1, .events = events};
}

static void fill_poll(const struct far *f, struct pollfd p[N_POLL])
{
	p[STDIN] = asked(STDIN_FILENO, wants_input(f) ? POLLIN : 0);
	p[STREAM] = asked(f->s->fd, opstream_events(f->s));
	p[STDOUT] = asked(f->out.o.fd, f->out.waits ? POLLOUT : 0);
	p[STDERR] = asked(f->err.o.fd, f->err.waits ? POLLOUT : 0);
	p[SIGNALS] = asked(f->wake, POLLIN);
}

static void step(struct far *f, const struct pollfd p[N_POLL])
{
	if (p[SIGNALS].revents)
		take_signals(f);
	if (p[STDOUT].revents)
		f->out.waits = false;
	if (p[STDERR].revents)
		f->err.waits = false;
	if (p[STDIN].revents && f->keys)
		read_keys(f);
	else if (p[STDIN].revents)
		read_bytes(f);
	send_due(f);
	opstream_move(f->s, p[STREAM].revents);
	write_output(f);
}

static void loop(struct far *f)
{
	struct pollfd p[N_POLL];

	while (f->status == 0 && !opstream_is_over(f->s)) {
		fill_poll(f, p);
		if (poll(p, N_POLL, opstream_can_move(f->s) ? 0 : -1) < 0) {
			if (errno == EINTR)
				continue;
			f->status = cli_error(CLI_FAILED, "poll: %s",
					      strerror(errno));
			return;
		}
		step(f, p);
	}
}

static int result(struct far *f)
{
	const struct frames_down *d = &f->s->down;
	int r;

	if (f->status != 0)
		return f->status;
	if (d->last == FRAMES_EXIT)
		return d->exit.killed ? 128 + d->exit.value : d->exit.value;
	r = opstream_report(f->s, "; how the command ended is not known");
	return r == CLI_NO ? CLI_FAILED : r;
}

int far_run(struct opstream *s, bool tty)
{
	struct far f = {.s = s, .tty = tty};
	int status;

	f.out.name = "stdout";
	f.err.name = "stderr";
	f.wake = signals_catch(tty);
	if (f.wake < 0) {
		opstream_close(s);
		return cli_error(CLI_FAILED, "no pipe: %s", strerror(-f.wake));
	}
	outlet_open(&f.out.o, STDOUT_FILENO);
	outlet_open(&f.err.o, STDERR_FILENO);
	f.keys = tty && tty_raw();
	loop(&f);
	tty_restore();
	outlet_close(&f.out.o);
	outlet_close(&f.err.o);
	signals_release();
	status = result(&f);
	opstream_close(s);
	return status;
}
