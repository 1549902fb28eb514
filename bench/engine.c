/* SPDX-License-Identifier: MIT */
/*
 * engine.c - how fast are two engines in one process on one core?
 *
 * One stream, host to guest, full frames, all checks on. Includes what a
 * broker does with each byte: one copy from the "application" into the frame
 * and one from the "pipe" into the input buffer, which read() would do. The
 * receiver looks at the bytes where they lie.
 *
 * Prints one JSON line; the figure is the median of the runs, against the
 * processor time used: it is one thread, and others may use the machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmchannel/session.h>

#define RUNS      7
#define RUN_BYTES (UINT64_C(2) << 30)
#define TARGET    3.0
#define GIB       (1024.0 * 1024.0 * 1024.0)

struct end {
	struct vmc_session *s;
	uint64_t in;
};

static uint8_t source[VMC_MAX_FRAME];

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint64_t microseconds(void)
{
	return (uint64_t)(seconds(CLOCK_MONOTONIC) * 1e6);
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-engine: %s\n", what);
	exit(1);
}

static struct vmc_session *make(enum vmc_role role)
{
	struct vmc_session_config cfg;
	struct vmc_session *s = NULL;
	uint8_t entropy[VMC_ENTROPY_LEN];
	size_t size;
	void *mem;

	vmc_session_config_default(&cfg, role);
	size = (vmc_session_size(&cfg) + 63) & ~(size_t)63;
	mem = aligned_alloc(64, size);
	if (!mem || vmc_session_init(&s, mem, size, &cfg))
		die("no session");
	memset(entropy, 17 + (int)role, sizeof(entropy));
	vmc_session_attach(s, entropy, microseconds());
	return s;
}

static void take(struct end *e, vmc_stream h)
{
	struct iovec iov[16];
	long n;

	while ((n = vmc_stream_peek(e->s, h, iov, 16)) > 0) {
		e->in += (uint64_t)n;
		vmc_stream_consume(e->s, h, (size_t)n);
	}
}

static void events(struct end *e, uint64_t now)
{
	struct vmc_event ev;

	while (vmc_session_next_event(e->s, &ev, now)) {
		if (ev.type == VMC_EV_OPEN)
			vmc_stream_accept(e->s, ev.stream, 1, 1);
		else if (ev.type == VMC_EV_READABLE)
			take(e, ev.stream);
		else if (ev.type == VMC_EV_END)
			die("the stream ended");
	}
}

/* One turn of a broker: pull, write, let the other read. */
static void turn(struct end *from, struct end *to, uint64_t now)
{
	struct vmc_pull pull;
	const uint8_t *out;
	uint8_t *in;
	size_t n, room;

	while (vmc_session_pull(from->s, &pull, now)) {
		memcpy(pull.buf, source, pull.len);
		vmc_session_pull_done(from->s, pull.len, VMC_PULL_MORE, now);
	}
	while ((n = vmc_session_output(from->s, &out, now))) {
		room = vmc_session_input(to->s, &in);
		if (n > room)
			n = room;
		if (n) {
			memcpy(in, out, n);
			vmc_session_output_done(from->s, n, now);
			vmc_session_input_done(to->s, n, now);
		}
		events(to, now);
	}
	vmc_session_tick(from->s, now);
}

static double run(struct end *h, struct end *g)
{
	uint64_t end = g->in + RUN_BYTES;
	double start = seconds(CLOCK_PROCESS_CPUTIME_ID);

	while (g->in < end) {
		uint64_t now = microseconds();

		turn(h, g, now);
		turn(g, h, now);
	}
	return (double)RUN_BYTES / GIB /
	       (seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	struct end h = {.s = make(VMC_ROLE_HOST)};
	struct end g = {.s = make(VMC_ROLE_GUEST)};
	struct vmc_principal who = {.kind = VMC_PRINCIPAL_HOST};
	double runs[RUNS];
	vmc_stream stream;

	memset(source, 'x', sizeof(source));
	for (int i = 0; i < 10; i++) {
		turn(&h, &g, microseconds());
		turn(&g, &h, microseconds());
		events(&h, microseconds());
	}
	if (vmc_stream_open(h.s, &stream, "org.example.bench", 0, &who, 1, 1,
			    microseconds()))
		die("no stream");
	vmc_stream_ready(h.s, stream);
	for (int i = 0; i < RUNS; i++)
		runs[i] = run(&h, &g);
	qsort(runs, RUNS, sizeof(runs[0]), compare);
	printf("{\"figure\":\"engine\",\"unit\":\"GiB/s\",\"ours\":%.2f,"
	       "\"min\":%.2f,\"max\":%.2f,\"target\":%.1f,\"met\":%s}\n",
	       runs[RUNS / 2], runs[0], runs[RUNS - 1], TARGET,
	       runs[RUNS / 2] >= TARGET ? "true" : "false");
	return 0;
}
