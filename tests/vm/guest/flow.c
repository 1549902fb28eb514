/* SPDX-License-Identifier: MIT */
/* flow.c - a stream that runs both ways until it is told to stop */
#include "flow.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define CHUNK      (size_t)65536
#define RAW_CHUNK  (size_t)4096 /* what QEMU reads at once */
#define PIECES_MAX 64           /* then it is the reader's turn */
#define GAPS_MAX   64
#define GAP_MS     20.0 /* shorter ones are ordinary scheduling */
#define SILENCE_MS 1500 /* of a raw port: it will say no more */
#define DRAIN_MS   200  /* of a socket that is left: QEMU stopped there */
#define HUP_MS     20   /* a port without a host is always readable */
#define NUMBER_LEN 8

struct gap {
	double from, to;
};

struct flow {
	const struct flow_options *o;
	int fd;
	int signals;
	int next; /* connected from the start: a late one would wedge */
	uint64_t number;
	uint64_t out_seed;
	uint64_t out;
	struct pattern_check in;
	uint8_t head[NUMBER_LEN]; /* the number, coming or going */
	size_t n_head;
	double write_at, read_at; /* when a paced side goes on */
	double last;              /* when bytes came */
	struct gap gaps[GAPS_MAX];
	size_t n_gaps;
	bool stopping, half_closed, leaving;
	const char *end; /* why it is over */
};

static double clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Not CLOCK_MONOTONIC: QEMU's events have the real time, to compare with. */
static double now(void)
{
	return clock_ms(CLOCK_REALTIME);
}

/* ---- what came ------------------------------------------------------- */

static void note_gap(struct flow *f)
{
	double t = now();
	size_t least = 0;

	if (f->last > 0 && t - f->last >= GAP_MS) {
		if (f->n_gaps < GAPS_MAX)
			least = f->n_gaps++;
		else
			for (size_t i = 1; i < GAPS_MAX; i++)
				if (f->gaps[i].to - f->gaps[i].from <
				    f->gaps[least].to - f->gaps[least].from)
					least = i;
		f->gaps[least] = (struct gap){f->last, t};
	}
	f->last = t;
}

/* Both patterns of a stream are its own. */
static void set_number(struct flow *f, uint64_t number)
{
	uint64_t seed = f->o->seed * 1000003 + number * 2;

	f->number = number;
	f->out_seed = seed + f->o->accepts;
	f->in.seed = seed + !f->o->accepts;
}

/* Return: how many of these bytes are the stream's number. */
static size_t take_head(struct flow *f, const uint8_t *buf, size_t len)
{
	size_t n = NUMBER_LEN - f->n_head;
	uint64_t number;

	if (f->o->raw || !f->o->accepts || n == 0)
		return 0;
	n = n < len ? n : len;
	memcpy(f->head + f->n_head, buf, n);
	f->n_head += n;
	memcpy(&number, f->head, sizeof(number));
	if (f->n_head == NUMBER_LEN)
		set_number(f, number);
	return n;
}

static void do_read(struct flow *f)
{
	static uint8_t buf[CHUNK];
	size_t want = CHUNK, head;
	ssize_t n;

	/* At the end there is only a rest to be had. */
	if (f->o->in_rate && !f->stopping) {
		want = (size_t)(f->o->in_rate * f->o->tick_ms / 1000) + 1;
		want = want < CHUNK ? want : CHUNK;
		f->read_at = now() + (double)f->o->tick_ms;
	}
	n = read(f->fd, buf, want);
	if (n > 0) {
		note_gap(f);
		head = take_head(f, buf, (size_t)n);
		pattern_take(&f->in, buf + head, (size_t)n - head);
	} else if (f->o->raw) {
		return;
	} else if (n == 0) {
		f->end = "eof";
	} else if (errno != EAGAIN && errno != EINTR) {
		f->end = strerrorname_np(errno);
	}
}

/* ---- what goes ------------------------------------------------------- */

/* Return: true if it could write all of that */
static bool write_piece(struct flow *f, size_t want)
{
	static uint8_t buf[CHUNK];
	ssize_t n;

	pattern_fill(buf, want, f->out_seed, f->out);
	n = write(f->fd, buf, want);
	if (n > 0)
		f->out += (uint64_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR && !f->o->raw)
		f->half_closed = true; /* the reader tells why */
	return n == (ssize_t)want;
}

/* Poll calls a socket writable again only when most of it was read: to keep
 * it full, write until it is. */
static void do_write(struct flow *f)
{
	size_t want;

	if (f->o->out_rate) {
		want = (size_t)(f->o->out_rate * f->o->tick_ms / 1000) + 1;
		write_piece(f, want < CHUNK ? want : CHUNK);
		f->write_at = now() + (double)f->o->tick_ms;
		return;
	}
	want = f->o->raw ? RAW_CHUNK : CHUNK;
	for (int i = 0; i < PIECES_MAX && write_piece(f, want); i++)
		;
}

static bool send_head(struct flow *f)
{
	if (f->o->raw || f->o->accepts)
		return true;
	memcpy(f->head, &f->o->number, NUMBER_LEN);
	return write(f->fd, f->head, NUMBER_LEN) == NUMBER_LEN;
}

/* ---- turns ----------------------------------------------------------- */

static void half_close(struct flow *f)
{
	f->half_closed = true;
	if (!f->o->raw)
		shutdown(f->fd, SHUT_WR);
}

static void take_signal(struct flow *f)
{
	struct signalfd_siginfo info;

	if (read(f->signals, &info, sizeof(info)) < 0)
		return;
	if (info.ssi_signo == SIGUSR1)
		f->stopping = true;
	if (info.ssi_signo == SIGUSR2)
		f->leaving = f->o->next_path != NULL;
	f->last = f->stopping || f->leaving ? now() : f->last;
}

/* The old QEMU has stopped and said all: its successor's socket. */
static void change_socket(struct flow *f)
{
	f->leaving = false;
	dup2(f->next, f->fd);
	close(f->next);
	fcntl(f->fd, F_SETFL, O_NONBLOCK);
}

static bool may_write(const struct flow *f)
{
	bool known = f->o->raw || !f->o->accepts || f->n_head == NUMBER_LEN;

	return known && !f->half_closed && !f->stopping && !f->leaving;
}

static int timeout_ms(const struct flow *f, bool writes)
{
	double t = now(), next = t + 1000;

	if (writes && f->o->out_rate && f->write_at < next)
		next = f->write_at;
	if (f->o->in_rate && f->read_at > t && f->read_at < next)
		next = f->read_at;
	if (f->leaving || (f->stopping && f->o->raw))
		next = t + HUP_MS;
	return next <= t ? 0 : (int)(next - t) + 1;
}

static void turn(struct flow *f)
{
	bool writes = may_write(f);
	double t = now();
	struct pollfd p[2] = {{.fd = f->signals, .events = POLLIN},
			      {.fd = f->fd}};

	if (!f->o->in_rate || f->read_at <= t || f->stopping)
		p[1].events |= POLLIN;
	if (writes && (!f->o->out_rate || f->write_at <= t))
		p[1].events |= POLLOUT;
	if (!p[1].events)
		p[1].fd = -1; /* a hang-up alone is for the reader to see */
	if (poll(p, 2, timeout_ms(f, writes)) < 0)
		return;
	if (p[0].revents)
		take_signal(f);
	if (p[1].revents & (POLLIN | POLLHUP | POLLERR))
		do_read(f);
	if (p[1].revents & POLLOUT)
		do_write(f);
	if (f->o->raw && (p[1].revents & POLLHUP))
		poll(NULL, 0, HUP_MS);
	if (f->stopping && !f->half_closed)
		half_close(f);
	if (f->leaving && now() - f->last > DRAIN_MS)
		change_socket(f);
	if (f->stopping && f->o->raw && now() - f->last > SILENCE_MS)
		f->end = "silence";
}

static void report(const struct flow *f)
{
	char text[256 + GAPS_MAX * 40];
	int n = snprintf(text, sizeof(text),
			 "flow %" PRIu64 ": out %" PRIu64 " in %" PRIu64
			 " lost %" PRIu64 " doubled %" PRIu64
			 " garbage %" PRIu64 " end %s gaps ",
			 f->number, f->out, f->in.at, f->in.lost, f->in.doubled,
			 f->in.garbage + f->in.n_tail, f->end);

	for (size_t i = 0; i < f->n_gaps; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%.1f-%.1f,",
			      f->gaps[i].from, f->gaps[i].to);
	text[n++] = '\n';
	/* At once: many write to one pipe. */
	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		abort();
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
	sigprocmask(SIG_BLOCK, set, NULL);
}

void flow_signals(void)
{
	sigset_t set;

	block_signals(&set);
}

int flow_connect(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		return -1;
	strcpy(a.sun_path, path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

int flow_play(int fd, const struct flow_options *o)
{
	struct flow f = {.o = o, .fd = fd};
	sigset_t set;

	block_signals(&set);
	f.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	set_number(&f, o->number);
	f.next = o->next_path ? flow_connect(o->next_path) : -1;
	if (o->next_path && f.next < 0)
		f.end = "no-successor";
	if (!send_head(&f))
		f.end = "unwritable";
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!f.end)
		turn(&f);
	report(&f);
	close(f.signals);
	return !pattern_exact(&f.in);
}
