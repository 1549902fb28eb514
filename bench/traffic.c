/* SPDX-License-Identifier: MIT */
/* traffic.c - programs that write, read, echo and ping */
#include "traffic.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE      65536u
#define PING_MAX       100000u
#define PING_TIMEOUT_S 20

/* One cache line each, so that counting does not slow neighbours. */
struct counter {
	_Alignas(64) volatile uint64_t bytes;
};

static struct counter *counters;
static pid_t pids[TRAFFIC_SLOTS];

int traffic_init(void)
{
	void *p =
		mmap(NULL, TRAFFIC_SLOTS * sizeof(*counters),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	counters = p;
	return 0;
}

double traffic_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void source(int fd, char *buf, size_t size)
{
	memset(buf, 'x', size);
	while (write(fd, buf, size) > 0)
		;
}

static void sink(int fd, char *buf, struct counter *c)
{
	ssize_t n;

	while ((n = read(fd, buf, READ_SIZE)) > 0)
		c->bytes += (uint64_t)n;
}

static void echo(int fd, char *buf)
{
	ssize_t n;

	while ((n = read(fd, buf, READ_SIZE)) > 0)
		if (write(fd, buf, (size_t)n) != n)
			return;
}

static void play(unsigned int slot, int fd, enum traffic_role role, size_t size)
{
	char *buf = malloc(TRAFFIC_WRITE_MAX);

	if (!buf)
		return;
	switch (role) {
	case TRAFFIC_SOURCE:
		source(fd, buf, size);
		break;
	case TRAFFIC_SINK:
		sink(fd, buf, &counters[slot]);
		break;
	case TRAFFIC_ECHO:
		echo(fd, buf);
		break;
	}
}

int traffic_start(unsigned int slot, int fd, enum traffic_role role,
		  size_t size)
{
	pid_t pid;

	if (slot >= TRAFFIC_SLOTS || pids[slot] || size > TRAFFIC_WRITE_MAX)
		return -EINVAL;
	counters[slot].bytes = 0;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		play(slot, fd, role, size);
		_exit(0);
	}
	pids[slot] = pid;
	return 0;
}

void traffic_stop(unsigned int slot)
{
	if (slot >= TRAFFIC_SLOTS || !pids[slot])
		return;
	kill(pids[slot], SIGKILL);
	while (waitpid(pids[slot], NULL, 0) < 0 && errno == EINTR)
		;
	pids[slot] = 0;
}

uint64_t traffic_received(unsigned int slot)
{
	return slot < TRAFFIC_SLOTS ? counters[slot].bytes : 0;
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void summarise(float *us, unsigned int n, struct traffic_ping *ret)
{
	qsort(us, n, sizeof(*us), compare);
	ret->n = n;
	ret->p50_us = us[n / 2];
	ret->p99_us = us[(size_t)n * 99 / 100];
	ret->max_us = us[n - 1];
}

static int one_ping(int fd)
{
	char c = 'p';

	if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
		return errno == EINTR ? -ETIMEDOUT : -EIO;
	return 0;
}

/* Only there to interrupt a read that gets no answer. */
static void on_alarm(int sig)
{
	(void)sig;
}

static int ping_loop(int fd, float *us, unsigned int max_n, double end_us,
		     unsigned int *ret_n)
{
	double before = traffic_now_us(), after;
	unsigned int n = 0;
	int r;

	while (n < max_n && before < end_us) {
		r = one_ping(fd);
		if (r < 0)
			return r;
		after = traffic_now_us();
		us[n++] = (float)(after - before);
		before = after;
	}
	*ret_n = n;
	return n ? 0 : -EINVAL;
}

int traffic_ping(int fd, unsigned int max_n, unsigned int max_ms,
		 struct traffic_ping *ret)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	unsigned int n = 0;
	float *us;
	int r;

	if (max_n == 0 || max_n > PING_MAX)
		return -EINVAL;
	us = malloc(max_n * sizeof(*us));
	if (!us)
		return -ENOMEM;
	sigaction(SIGALRM, &sa, NULL);
	alarm(max_ms / 1000 + PING_TIMEOUT_S);
	r = ping_loop(fd, us, max_n, traffic_now_us() + max_ms * 1e3, &n);
	alarm(0);
	if (r == 0)
		summarise(us, n, ret);
	free(us);
	return r;
}
