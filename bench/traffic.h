/* SPDX-License-Identifier: MIT */
/*
 * traffic.h - programs that write, read, echo and ping
 *
 * A stream's program is a process of its own, as in real life; what it
 * received is counted in memory shared with the process that gives orders.
 * Nothing in the data loops looks at a clock.
 */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

#define TRAFFIC_SLOTS 32

enum traffic_role {
	TRAFFIC_SOURCE, /* writes for ever, so much per write */
	TRAFFIC_SINK,   /* reads and counts */
	TRAFFIC_ECHO,   /* sends back what comes */
};

/* traffic_init() - must come first. Return: 0 or a negative errno. */
int traffic_init(void);

/**
 * traffic_start() - a process that plays @role on @fd
 * @slot: below TRAFFIC_SLOTS, has no process yet
 * @size: bytes per write, SOURCE only, at most TRAFFIC_WRITE_MAX
 */
int traffic_start(unsigned int slot, int fd, enum traffic_role role,
		  size_t size);
#define TRAFFIC_WRITE_MAX (1024u * 1024u)

/* traffic_stop() - end the slot's process, if there is one */
void traffic_stop(unsigned int slot);

/* traffic_received() - bytes that the slot's sink read until now */
uint64_t traffic_received(unsigned int slot);

struct traffic_ping {
	unsigned int n;
	double p50_us, p99_us, max_us;
};

/**
 * traffic_ping() - 1 byte out, 1 byte back, again and again
 * @max_n:  stop after so many
 * @max_ms: or after so long
 *
 * Return: 0, -ETIMEDOUT if one took longer than PING_TIMEOUT_S, or another
 * negative errno.
 */
int traffic_ping(int fd, unsigned int max_n, unsigned int max_ms,
		 struct traffic_ping *ret);

/* traffic_now_us() - monotonic clock */
double traffic_now_us(void);

#endif /* BENCH_TRAFFIC_H */
