/* SPDX-License-Identifier: MIT */
/*
 * vmctest.c - programs that talk over channels, for the VM tests
 *
 *	vmctest [OPTIONS] ROLE [ARGUMENTS]
 *
 * Without options the role works on stdin and stdout. Options:
 *
 *	-c VM CHANNEL	connect; the role works on the stream
 *	-l VM CHANNEL	listen; a child process plays the role per stream
 *	-n COUNT	that many streams at once (-c), or in all (-l)
 *	-m		streams keep message boundaries
 *	-f DIR		follow: go on at the daemon in DIR; several times
 *	-p PORT		the role works on the guest's virtio port of that name
 *	-u PATH NEXT	the role works on a unix socket; NEXT is its successor
 *
 * Roles:
 *
 *	source BYTES SEED	write a pattern, then half-close
 *	sink BYTES SEED		read it all, compare
 *	duplex BYTES SEED	both at once
 *	echo			send back what comes
 *	ping COUNT		one byte there and back, latencies
 *	hold SECONDS		neither read nor write
 *	flow SEED OUT IN TICK	both ways until SIGUSR1 (flow.h)
 *	lengths FROM TO		write once with each length, half-close
 *	msgs FROM TO STEP	send messages of these lengths to an msgecho
 *	msgecho			send messages back
 *	who			print the caller (with -l), write a line, close
 *
 * A result is one line on stderr. With -c it ends with how the broker says
 * the stream ended. Exit status: 0 as expected, 1 not, 2 wrong usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

#include "flow.h"
#include "pattern.h"
#include "testport.h"

#define CHUNK          (size_t)65536
#define PINGS_MAX      (size_t)100000
#define STREAMS_MAX    1024
#define FOLLOW_MAX     8
#define CONNECT_MS     30000
#define STATUS_POLL_US 50000
#define STATUS_TRIES   100 /* 5 s until the broker knows how it ended */

struct io {
	int in;
	int out;
	char **args;
	const struct vmc_caller *caller; /* NULL but for listeners */
	unsigned int number;             /* of the stream, with -c and -n */
	bool raw;                        /* a port or its socket, no stream */
	const char *next_path;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int usage(void)
{
	fputs("usage: vmctest [-c|-l VM CHANNEL] [-n COUNT] [-m] ROLE ...\n",
	      stderr);
	return 2;
}

static void half_close(const struct io *io)
{
	if (shutdown(io->out, SHUT_WR) && errno == ENOTSOCK)
		close(io->out);
}

/* ---- roles ----------------------------------------------------------- */

/* Writes all of it, whatever the number of calls. */
static bool write_all(int fd, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n <= 0)
			return false;
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

static uint64_t number(const char *text)
{
	return text ? strtoull(text, NULL, 0) : 0;
}

static int role_source(const struct io *io)
{
	uint64_t bytes = number(io->args[0]), seed = number(io->args[1]);
	uint8_t buf[CHUNK];

	for (uint64_t at = 0; at < bytes;) {
		size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;

		pattern_fill(buf, n, seed, at);
		if (!write_all(io->out, buf, n)) {
			fprintf(stderr, "source: stopped in byte %" PRIu64 "\n",
				at);
			return 1;
		}
		at += n;
	}
	half_close(io);
	return 0;
}

static int role_sink(const struct io *io)
{
	uint64_t bytes = number(io->args[0]), seed = number(io->args[1]);
	uint8_t buf[CHUNK], want[CHUNK];
	uint64_t at = 0;
	double start = now(), took;
	ssize_t n;

	while ((n = read(io->in, buf, CHUNK)) > 0) {
		pattern_fill(want, (size_t)n, seed, at);
		if (memcmp(buf, want, (size_t)n) != 0) {
			fprintf(stderr, "sink: wrong after byte %" PRIu64 "\n",
				at);
			return 1;
		}
		at += (uint64_t)n;
	}
	took = now() - start;
	fprintf(stderr, "sink: %" PRIu64 " bytes, %.2f s, %.1f MB/s\n", at,
		took, (double)at / 1e6 / (took > 0 ? took : 1e-9));
	return at != bytes;
}

static int role_duplex(const struct io *io)
{
	pid_t pid = fork();
	int status, result;

	if (pid == 0)
		_exit(role_source(io));
	result = role_sink(io);
	waitpid(pid, &status, 0);
	return result || status;
}

static int role_echo(const struct io *io)
{
	uint8_t buf[CHUNK];
	ssize_t n;

	while ((n = read(io->in, buf, CHUNK)) > 0)
		if (!write_all(io->out, buf, (size_t)n))
			return 1;
	half_close(io);
	return n < 0;
}

static int compare_double(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int role_ping(const struct io *io)
{
	size_t count = (size_t)number(io->args[0]);
	double *us = calloc(PINGS_MAX, sizeof(*us));
	uint8_t byte = 0, back = 0;

	if (!us || count == 0 || count > PINGS_MAX)
		return 2;
	for (size_t i = 0; i < count; i++) {
		double start = now();

		byte = (uint8_t)i;
		if (write(io->out, &byte, 1) != 1 ||
		    read(io->in, &back, 1) != 1 || back != byte) {
			fprintf(stderr, "ping: lost after %zu\n", i);
			return 1;
		}
		us[i] = (now() - start) * 1e6;
	}
	qsort(us, count, sizeof(*us), compare_double);
	fprintf(stderr, "ping: %zu, p50 %.0f us, p99 %.0f us, max %.0f us\n",
		count, us[count / 2], us[count * 99 / 100], us[count - 1]);
	half_close(io);
	free(us);
	return 0;
}

/* Ends early when the broker has closed the stream altogether. */
static int role_hold(const struct io *io)
{
	struct pollfd p = {.fd = io->in};

	poll(&p, 1, (int)number(io->args[0]) * 1000);
	return 0;
}

static int role_lengths(const struct io *io)
{
	size_t from = (size_t)number(io->args[0]);
	size_t to = (size_t)number(io->args[1]);
	uint8_t *buf = malloc(to);
	uint64_t at = 0;

	for (size_t len = from; buf && len <= to; len++) {
		pattern_fill(buf, len, 1, at);
		if (!write_all(io->out, buf, len))
			return 1;
		at += len;
	}
	free(buf);
	half_close(io);
	fprintf(stderr, "lengths: %" PRIu64 " bytes\n", at);
	return 0;
}

static int role_msgs(const struct io *io)
{
	size_t from = (size_t)number(io->args[0]);
	size_t to = (size_t)number(io->args[1]);
	size_t step = (size_t)number(io->args[2]), got, count = 0;
	uint8_t *out = malloc(VMC_MSG_MAX), *in = malloc(VMC_MSG_MAX);
	int r;

	for (size_t len = from; out && in && len <= to; len += step, count++) {
		pattern_fill(out, len, len, 0);
		r = vmc_send_msg(io->out, out, len);
		if (r == 0)
			r = vmc_recv_msg(io->in, in, VMC_MSG_MAX, &got);
		if (r != 1 || got != len || memcmp(in, out, len) != 0) {
			fprintf(stderr, "msgs: length %zu: %d %s\n", len, r,
				r < 0 ? strerror(-r) : "differs");
			return 1;
		}
	}
	half_close(io);
	fprintf(stderr, "msgs: %zu messages\n", count);
	return vmc_recv_msg(io->in, in, VMC_MSG_MAX, &got) != 0;
}

static int role_msgecho(const struct io *io)
{
	uint8_t *buf = malloc(VMC_MSG_MAX);
	size_t len;
	int r;

	while (buf && (r = vmc_recv_msg(io->in, buf, VMC_MSG_MAX, &len)) > 0)
		if (vmc_send_msg(io->out, buf, len))
			return 1;
	half_close(io);
	return 0;
}

static int role_who(const struct io *io)
{
	char line[64];
	int len;

	if (!io->caller)
		return usage();
	len = snprintf(
		line, sizeof(line), "%s uid %u gid %u\n",
		io->caller->side == VMC_PRINCIPAL_HOST ? "host" : "guest",
		(unsigned int)io->caller->uid, (unsigned int)io->caller->gid);

	fputs(line, stderr);
	return !write_all(io->out, (const uint8_t *)line, (size_t)len);
}

static int role_flow(const struct io *io)
{
	struct flow_options o = {
		.seed = number(io->args[0]),
		.out_rate = number(io->args[1]),
		.in_rate = number(io->args[2]),
		.tick_ms = number(io->args[3]),
		.number = io->number,
		/* At the two ends of a port, somebody must be the second. */
		.accepts = io->caller || io->next_path,
		.raw = io->raw,
		.next_path = io->next_path,
	};

	return flow_play(io->in, &o);
}

static const struct role {
	const char *name;
	int (*play)(const struct io *io);
	int args;
} roles[] = {
	{"source", role_source, 2},   {"sink", role_sink, 2},
	{"duplex", role_duplex, 2},   {"echo", role_echo, 0},
	{"ping", role_ping, 1},       {"hold", role_hold, 1},
	{"lengths", role_lengths, 2}, {"msgs", role_msgs, 3},
	{"msgecho", role_msgecho, 0}, {"who", role_who, 0},
	{"flow", role_flow, 4},
};

/* One process per stream; none of them outlives the first. */
static pid_t fork_player(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* ---- where the role is played ---------------------------------------- */

struct options {
	const char *vm;
	const char *channel;
	const char *follow_to[FOLLOW_MAX + 1];
	unsigned int n_follow_to;
	const char *port;
	const char *path;
	const char *next_path;
	bool connect;
	bool listen;
	unsigned int count;
	unsigned int flags;
	const struct role *role;
	char **args;
};

/* Prints how the stream ended, as its broker says. */
static void print_end(const struct options *o, const char *id)
{
	struct vmc_status st = {.state = VMC_STREAM_OPEN};
	int r = 0;

	for (int i = 0; i < STATUS_TRIES; i++) {
		r = vmc_stream_status(o->vm, id, &st);
		if (r < 0 || st.state == VMC_STREAM_ENDED)
			break;
		usleep(STATUS_POLL_US);
	}
	if (r < 0)
		fprintf(stderr, "end: unknown: %s\n", vmc_strerror());
	else
		fprintf(stderr, "end: %s in %" PRIu64 " out %" PRIu64 "\n",
			st.state == VMC_STREAM_ENDED
				? vmc_reason_name(st.reason)
				: "open",
			st.bytes_in, st.bytes_out);
}

static int play(const struct options *o, int fd, const struct vmc_caller *who,
		unsigned int number)
{
	struct io io = {.in = fd,
			.out = fd,
			.args = o->args,
			.caller = who,
			.number = number,
			.raw = o->port || o->path,
			.next_path = o->next_path};
	int result = o->role->play(&io);

	close(fd);
	return result;
}

struct stream {
	int fd;
	char id[VMC_ID_MAX];
};

static bool open_stream(const struct options *o, struct stream *ret)
{
	ret->fd = vmc_connect(o->vm, o->channel, o->flags, CONNECT_MS, ret->id);
	if (ret->fd < 0)
		fprintf(stderr, "connect: %s\n", vmc_strerror());
	return ret->fd >= 0;
}

static int play_stream(const struct options *o, const struct stream *st,
		       unsigned int number)
{
	int result = play(o, st->fd, NULL, number);

	print_end(o, st->id);
	return result;
}

/* Return: how many of @n children did not end well. */
static int collect(unsigned int n)
{
	int status, bad = 0;

	while (n-- > 0)
		if (wait(&status) < 0 || status != 0)
			bad++;
	return bad;
}

/* All are open before the first one is used: that many at once. */
static int run_connect(const struct options *o)
{
	static struct stream streams[STREAMS_MAX];
	unsigned int n = o->count ? o->count : 1;
	int bad;

	for (unsigned int i = 0; i < n; i++)
		if (!open_stream(o, &streams[i]))
			return 1;
	if (n == 1)
		return play_stream(o, &streams[0], 0);
	for (unsigned int i = 0; i < n; i++) {
		if (fork_player() == 0)
			_exit(play_stream(o, &streams[i], i));
		close(streams[i].fd);
	}
	bad = collect(n);
	fprintf(stderr, "streams: %u, bad %d\n", n, bad);
	return bad != 0;
}

/* A flow tells how it ended: it is cut, and nobody else would know. */
static int play_accepted(const struct options *o, int fd,
			 const struct vmc_caller *who)
{
	int result = play(o, fd, who, 0);

	if (o->role->play == role_flow)
		print_end(o, who->id);
	return result;
}

static int run_listen(const struct options *o)
{
	struct vmc_listener *l;
	struct vmc_caller who;
	unsigned int n = 0;
	int fd;

	if (vmc_listen(&l, o->vm, o->channel, o->flags)) {
		fprintf(stderr, "listen: %s\n", vmc_strerror());
		return 1;
	}
	puts("listening");
	fflush(stdout);
	while (o->count == 0 || n < o->count) {
		fd = vmc_accept(l, &who, VMC_NO_TIMEOUT);
		if (fd < 0) {
			fprintf(stderr, "accept: %s\n", vmc_strerror());
			if (o->role->play == role_flow)
				collect(n); /* they die with us, reports too */
			return 1;
		}
		n++;
		if (fork_player() == 0) {
			vmc_listener_free(l);
			_exit(play_accepted(o, fd, &who));
		}
		close(fd);
		if (o->count == 0) /* a listener without end reaps as it goes */
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
	}
	vmc_listener_free(l);
	return collect(n) != 0;
}

static int run_raw(const struct options *o)
{
	int fd = o->port ? testport_open(o->port) : flow_connect(o->path);

	if (fd < 0) {
		fprintf(stderr, "raw: cannot open %s\n",
			o->port ? o->port : o->path);
		return 1;
	}
	return play(o, fd, NULL, 0);
}

static bool follow(const struct options *o)
{
	int r = vmc_follow_to(o->vm, o->follow_to, NULL);

	if (r < 0)
		fprintf(stderr, "follow: %s\n", vmc_strerror());
	return r == 0;
}

static bool parse(struct options *o, int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-m") == 0) {
			o->flags |= VMC_MESSAGES;
		} else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
			o->count = (unsigned int)number(argv[++i]);
		} else if (strcmp(argv[i], "-f") == 0 && i + 1 < argc &&
			   o->n_follow_to < FOLLOW_MAX) {
			o->follow_to[o->n_follow_to++] = argv[++i];
			o->flags |= VMC_FOLLOW;
		} else if (strcmp(argv[i], "-p") == 0 && i + 1 < argc) {
			o->port = argv[++i];
		} else if (strcmp(argv[i], "-u") == 0 && i + 2 < argc) {
			o->path = argv[++i];
			o->next_path = argv[++i];
		} else if (strchr("cl", argv[i][1]) && i + 2 < argc) {
			o->connect = argv[i][1] == 'c';
			o->listen = argv[i][1] == 'l';
			o->vm = argv[++i];
			o->channel = argv[++i];
		} else {
			return false;
		}
	}
	for (size_t k = 0; i < argc && k < sizeof(roles) / sizeof(*roles); k++)
		if (strcmp(roles[k].name, argv[i]) == 0)
			o->role = &roles[k];
	o->args = argv + i + 1;
	return o->role && argc - i - 1 == o->role->args &&
	       o->count <= STREAMS_MAX;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	struct io io = {.in = STDIN_FILENO, .out = STDOUT_FILENO};

	if (!parse(&o, argc, argv))
		return usage();
	signal(SIGPIPE, SIG_IGN);
	if (o.role->play == role_flow)
		flow_signals();
	if (o.port || o.path)
		return run_raw(&o);
	if (o.n_follow_to && !follow(&o))
		return 1;
	if (o.connect)
		return run_connect(&o);
	if (o.listen)
		return run_listen(&o);
	io.args = o.args;
	return o.role->play(&io);
}
