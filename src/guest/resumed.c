/* SPDX-License-Identifier: MIT */
/*
 * resumed.c - did the guest sleep?
 *
 * CLOCK_BOOTTIME goes on in a sleep and CLOCK_MONOTONIC does not. A timer that
 * never comes, but is cancelled when the wall clock jumps, says when to
 * compare: a jump is what a sleep looks like to it. Nothing wakes up else.
 */
#include "guest/resumed.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/power.h"

/* A clock that was merely set is no sleep. */
#define LEAST_US 1000
/* Far away, but no time that a kernel cannot count. */
#define NEVER_S ((time_t)1 << 32)

static struct resumed {
	struct ops *o;
	int fd;
	uv_poll_t poll;
	int64_t most_us; /* that it has slept by now */
} rs = {.fd = -1};

static int64_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Time passes between one clock and the other: at least, and at most, so. */
static int64_t asleep_us(int64_t *ret_most)
{
	int64_t early = clock_us(CLOCK_MONOTONIC);
	int64_t boot = clock_us(CLOCK_BOOTTIME);

	*ret_most = boot - early;
	return boot - clock_us(CLOCK_MONOTONIC);
}

static bool arm(void)
{
	const struct itimerspec never = {.it_value.tv_sec = NEVER_S};

	return timerfd_settime(rs.fd,
			       TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
			       &never, NULL) == 0;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	uint64_t n;
	int64_t before = rs.most_us, slept;

	(void)h;
	(void)status;
	(void)events;
	if (read(rs.fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
		return;
	(void)arm();
	slept = asleep_us(&rs.most_us) - before;
	if (slept >= LEAST_US)
		ops_emit(rs.o, POWER ".Resumed",
			 json_pack("{s:I}", "asleep_us", (json_int_t)slept));
}

void resumed_start(struct ops *o)
{
	rs.o = o;
	(void)asleep_us(&rs.most_us);
	rs.fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (rs.fd < 0 || !arm() ||
	    uv_poll_init(ops_loop(o), &rs.poll, rs.fd) < 0) {
		log_warning("ev=timerfd error=\"%s\": a sleep is not noticed",
			    strerror(errno));
		if (rs.fd >= 0)
			close(rs.fd);
		rs.fd = -1;
		return;
	}
	uv_poll_start(&rs.poll, UV_READABLE, on_poll);
}

void resumed_stop(void)
{
	if (rs.fd < 0)
		return;
	uv_poll_stop(&rs.poll);
	uv_close((uv_handle_t *)&rs.poll, NULL);
	close(rs.fd);
	rs.fd = -1;
}
