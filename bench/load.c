/* SPDX-License-Identifier: MIT */
/*
 * load.c - the load program of the bench: the same on both sides
 *
 * Reads one order per line from stdin (or from the tty named as the first
 * argument: the guest's second serial port), does it, answers with one line:
 * "ok ..." or "err CODE text". Slots are numbers; a slot holds a descriptor.
 *
 *	open SLOT SPEC           endpoint.h says what a SPEC is
 *	listen SPEC              ok PORT; one listener at a time
 *	accept SLOT              the next connection of the listener
 *	unlisten
 *	close SLOT
 *	source SIZE SLOT...      start writers
 *	sink SLOT...             start counting readers
 *	echo SLOT...             start echoes
 *	stop SLOT...
 *	count MS SLOT...         ok MICROSECONDS BYTES...: received meanwhile
 *	quiet MS SLOT...         until nothing came for so long
 *	ping N MS SLOT           ok N P50 P99 MAX (microseconds)
 *	proc NAME                ok PID UTIME STIME VOLUNTARY INVOLUNTARY RUN:
 *	                         of the processes of that name, summed; times
 *	                         in ticks, switches, nanoseconds on a CPU
 *	stat                     ok USER NICE SYSTEM IDLE ...: /proc/stat
 *	sh COMMAND               ok STATUS; runs it in the shell
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "endpoint.h"
#include "traffic.h"

#define LINE_SIZE         4096
#define ARGS_MAX          40
#define ACCEPT_TIMEOUT_MS 10000
#define QUIET_LIMIT_MS    20000.0

static int fds[TRAFFIC_SLOTS];
static struct endpoint_listener *listener;
static FILE *out;

struct order {
	int argc;
	char *argv[ARGS_MAX];
};

static int ok(void)
{
	fputs("ok\n", out);
	return 0;
}

/* Return: the slot, or TRAFFIC_SLOTS if there is no such. */
static unsigned int slot_arg(const struct order *o, int i)
{
	unsigned long n =
		i < o->argc ? strtoul(o->argv[i], NULL, 10) : TRAFFIC_SLOTS;

	return n < TRAFFIC_SLOTS ? (unsigned int)n : TRAFFIC_SLOTS;
}

static void sleep_ms(double ms)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ms / 1e3),
		.tv_nsec = (long)(ms * 1e6) % 1000000000L,
	};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static int set_fd(unsigned int slot, int fd)
{
	if (fd < 0)
		return fd;
	if (slot >= TRAFFIC_SLOTS || fds[slot] >= 0) {
		close(fd);
		return -EINVAL;
	}
	fds[slot] = fd;
	return ok();
}

static int do_open(const struct order *o)
{
	return set_fd(slot_arg(o, 1), endpoint_open(o->argv[2]));
}

static int do_listen(const struct order *o)
{
	int r, port;

	if (listener)
		return -EBUSY;
	r = endpoint_listen(o->argv[1], &listener, &port);
	if (r < 0)
		return r;
	fprintf(out, "ok %d\n", port);
	return 0;
}

static int do_accept(const struct order *o)
{
	if (!listener)
		return -EINVAL;
	return set_fd(slot_arg(o, 1),
		      endpoint_accept(listener, ACCEPT_TIMEOUT_MS));
}

static int do_unlisten(const struct order *o)
{
	(void)o;
	endpoint_listener_free(listener);
	listener = NULL;
	return ok();
}

static int do_close(const struct order *o)
{
	unsigned int slot = slot_arg(o, 1);

	if (slot >= TRAFFIC_SLOTS || fds[slot] < 0)
		return -EINVAL;
	traffic_stop(slot);
	close(fds[slot]);
	fds[slot] = -1;
	return ok();
}

static int start(const struct order *o, int first, enum traffic_role role,
		 size_t size)
{
	for (int i = first; i < o->argc; i++) {
		unsigned int slot = slot_arg(o, i);
		int r;

		if (slot >= TRAFFIC_SLOTS || fds[slot] < 0)
			return -EINVAL;
		r = traffic_start(slot, fds[slot], role, size);
		if (r < 0)
			return r;
	}
	return ok();
}

static int do_source(const struct order *o)
{
	return start(o, 2, TRAFFIC_SOURCE, strtoul(o->argv[1], NULL, 10));
}

static int do_sink(const struct order *o)
{
	return start(o, 1, TRAFFIC_SINK, 0);
}

static int do_echo(const struct order *o)
{
	return start(o, 1, TRAFFIC_ECHO, 0);
}

static int do_stop(const struct order *o)
{
	for (int i = 1; i < o->argc; i++)
		traffic_stop(slot_arg(o, i));
	return ok();
}

static int do_count(const struct order *o)
{
	uint64_t before[ARGS_MAX];
	double start_us = traffic_now_us();

	for (int i = 2; i < o->argc; i++)
		before[i] = traffic_received(slot_arg(o, i));
	sleep_ms(strtod(o->argv[1], NULL));
	for (int i = 2; i < o->argc; i++)
		before[i] = traffic_received(slot_arg(o, i)) - before[i];
	fprintf(out, "ok %.0f", traffic_now_us() - start_us);
	for (int i = 2; i < o->argc; i++)
		fprintf(out, " %llu", (unsigned long long)before[i]);
	fputc('\n', out);
	return 0;
}

static uint64_t received_by(const struct order *o, int first)
{
	uint64_t sum = 0;

	for (int i = first; i < o->argc; i++)
		sum += traffic_received(slot_arg(o, i));
	return sum;
}

static int do_quiet(const struct order *o)
{
	double ms = strtod(o->argv[1], NULL), waited = 0;
	uint64_t last, sum = received_by(o, 2);

	do {
		last = sum;
		sleep_ms(ms);
		sum = received_by(o, 2);
		waited += ms;
	} while (sum != last && waited < QUIET_LIMIT_MS);
	return sum == last ? ok() : -ETIMEDOUT;
}

static int do_ping(const struct order *o)
{
	unsigned int slot = slot_arg(o, 3);
	struct traffic_ping p;
	int r;

	if (slot >= TRAFFIC_SLOTS || fds[slot] < 0)
		return -EINVAL;
	r = traffic_ping(fds[slot], (unsigned int)strtoul(o->argv[1], NULL, 10),
			 (unsigned int)strtoul(o->argv[2], NULL, 10), &p);
	if (r < 0)
		return r;
	fprintf(out, "ok %u %.1f %.1f %.1f\n", p.n, p.p50_us, p.p99_us,
		p.max_us);
	return 0;
}

/* Return: bytes of a small file, 0 if it cannot be read. */
static size_t slurp(const char *path, char *ret, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return 0;
	n = fread(ret, 1, size - 1, f);
	fclose(f);
	ret[n] = '\0';
	return n;
}

struct usage {
	unsigned long pid, utime, stime, voluntary, involuntary, run_ns;
};

static unsigned long field(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoul(p + strlen(name), NULL, 10) : 0;
}

static void add_usage(const char *pid, const char *name, struct usage *sum)
{
	char path[300], text[LINE_SIZE], comm[64];
	unsigned long utime, stime;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (!slurp(path, text, sizeof(text)) ||
	    sscanf(text,
		   "%*d (%63[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
		   "%lu %lu",
		   comm, &utime, &stime) != 3 ||
	    strcmp(comm, name) != 0)
		return;
	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	if (!slurp(path, text, sizeof(text)))
		return;
	sum->pid = strtoul(pid, NULL, 10);
	sum->utime += utime;
	sum->stime += stime;
	sum->voluntary += field(text, "\nvoluntary_ctxt_switches:");
	sum->involuntary += field(text, "\nnonvoluntary_ctxt_switches:");
	snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
	if (slurp(path, text, sizeof(text)))
		sum->run_ns += strtoul(text, NULL, 10);
}

static int do_proc(const struct order *o)
{
	struct usage sum = {0};
	const struct dirent *e;
	DIR *d = opendir("/proc");

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			add_usage(e->d_name, o->argv[1], &sum);
	closedir(d);
	fprintf(out, "ok %lu %lu %lu %lu %lu %lu\n", sum.pid, sum.utime,
		sum.stime, sum.voluntary, sum.involuntary, sum.run_ns);
	return 0;
}

static int do_stat(const struct order *o)
{
	char text[LINE_SIZE];

	(void)o;
	if (!slurp("/proc/stat", text, sizeof(text)))
		return -EIO;
	text[strcspn(text, "\n")] = '\0';
	fprintf(out, "ok%s\n", text + strlen("cpu "));
	return 0;
}

static int do_sh(const struct order *o)
{
	char command[LINE_SIZE] = "";
	size_t n = 0;

	for (int i = 1; i < o->argc; i++)
		n += (size_t)snprintf(command + n, sizeof(command) - n, "%s ",
				      o->argv[i]);
	/* Orders come from whoever started this program and the machine. */
	fprintf(out, "ok %d\n", system(command)); /* NOLINT(cert-env33-c) */
	return 0;
}

static const struct {
	const char *name;
	int min_args;
	int (*run)(const struct order *o);
} orders[] = {
	{"open", 2, do_open},     {"listen", 1, do_listen},
	{"accept", 1, do_accept}, {"unlisten", 0, do_unlisten},
	{"close", 1, do_close},   {"source", 2, do_source},
	{"sink", 1, do_sink},     {"echo", 1, do_echo},
	{"stop", 0, do_stop},     {"count", 2, do_count},
	{"quiet", 2, do_quiet},   {"ping", 3, do_ping},
	{"proc", 1, do_proc},     {"stat", 0, do_stat},
	{"sh", 1, do_sh},
};

static int obey(const struct order *o)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (strcmp(orders[i].name, o->argv[0]) == 0)
			return o->argc > orders[i].min_args ? orders[i].run(o)
							    : -EINVAL;
	return -ENOSYS;
}

static void on_line(char *line)
{
	struct order o = {0};
	char *save = NULL, *word = strtok_r(line, " \r\n", &save);
	int r;

	while (word && o.argc < ARGS_MAX) {
		o.argv[o.argc++] = word;
		word = strtok_r(NULL, " \r\n", &save);
	}
	if (o.argc == 0)
		return;
	r = obey(&o);
	if (r < 0)
		fprintf(out, "err %d %s\n", -r, strerror(-r));
	fflush(out);
}

/* Return: the stream of orders, or NULL after a message. */
static FILE *open_tty(const char *path)
{
	struct termios t;
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &t) < 0) {
		fprintf(stderr, "load: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	cfmakeraw(&t);
	tcsetattr(fd, TCSANOW, &t);
	out = fdopen(fd, "we");
	return out ? fdopen(dup(fd), "re") : NULL;
}

int main(int argc, char **argv)
{
	char line[LINE_SIZE];
	FILE *in = stdin;

	out = stdout;
	if (argc > 1)
		in = open_tty(argv[1]);
	if (!in || traffic_init() < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < TRAFFIC_SLOTS; i++)
		fds[i] = -1;
	fputs("ready\n", out);
	fflush(out);
	while (fgets(line, sizeof(line), in))
		on_line(line);
	return 0;
}
