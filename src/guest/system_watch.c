/* SPDX-License-Identifier: MIT */
/*
 * system_watch.c - the events TimeJump and HostnameChanged
 *
 * The kernel tells both: a timer that is cancelled when the clock is set, and
 * a file that polls as changed.
 */
#include "guest/system_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_text.h"
#include "guest/os_info.h"

#define SYSTEM "org.vmchannel.System"
/* The kernel says "set" for leap seconds and small corrections, too. */
#define JUMP_MIN_US 1000

static struct {
	uv_poll_t clock, hostname;
	int clock_fd, hostname_fd;
	int64_t offset_us; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	char name[OS_NAME_MAX];
} watch = {.clock_fd = -1, .hostname_fd = -1};

static int64_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t offset_us(void)
{
	return clock_us(CLOCK_REALTIME) - clock_us(CLOCK_MONOTONIC);
}

/* ---- the clock ----------------------------------------------------------- */

/* It never expires; it only can be cancelled. */
static int arm_clock(void)
{
	const struct itimerspec never = {
		.it_value.tv_sec = INT32_MAX * INT64_C(1024),
	};

	return timerfd_settime(watch.clock_fd,
			       TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
			       &never, NULL) < 0
		       ? -errno
		       : 0;
}

static void on_clock(uv_poll_t *h, int status, int events)
{
	int64_t before = watch.offset_us;
	uint64_t n;

	(void)status;
	(void)events;
	if (read(watch.clock_fd, &n, sizeof(n)) < 0 && errno != ECANCELED)
		return;
	/* Armed before the clock is read: no jump is lost in between. */
	if (arm_clock() < 0)
		uv_poll_stop(h);
	watch.offset_us = offset_us();
	if (llabs(watch.offset_us - before) < JUMP_MIN_US)
		return;
	ops_emit(h->data, SYSTEM ".TimeJump",
		 json_pack("{s:I,s:I}", "time_us",
			   (json_int_t)clock_us(CLOCK_REALTIME),
			   "difference_us",
			   (json_int_t)(watch.offset_us - before)));
}

static int watch_clock(struct ops *o)
{
	int r;

	watch.clock_fd =
		timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watch.clock_fd < 0)
		return -errno;
	watch.offset_us = offset_us();
	r = arm_clock();
	if (r < 0) {
		close(watch.clock_fd);
		watch.clock_fd = -1;
		return r;
	}
	uv_poll_init(ops_loop(o), &watch.clock, watch.clock_fd);
	watch.clock.data = o;
	return uv_poll_start(&watch.clock, UV_READABLE, on_clock);
}

/* ---- the host name ------------------------------------------------------- */

static void on_hostname(uv_poll_t *h, int status, int events)
{
	char name[OS_NAME_MAX];

	(void)status;
	(void)events;
	os_hostname("", name);
	if (strcmp(name, watch.name) == 0)
		return;
	memcpy(watch.name, name, sizeof(name));
	ops_emit(h->data, SYSTEM ".HostnameChanged",
		 json_pack("{s:o}", "hostname", op_text(name, 255)));
}

static int watch_hostname(struct ops *o)
{
	watch.hostname_fd = open("/proc/sys/kernel/hostname",
				 O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (watch.hostname_fd < 0)
		return -errno;
	os_hostname("", watch.name);
	if (uv_poll_init(ops_loop(o), &watch.hostname, watch.hostname_fd) < 0) {
		close(watch.hostname_fd);
		watch.hostname_fd = -1;
		return -EINVAL;
	}
	watch.hostname.data = o;
	return uv_poll_start(&watch.hostname, UV_PRIORITIZED, on_hostname);
}

int system_watch_start(struct ops *o)
{
	int r = watch_clock(o);
	int q = watch_hostname(o);

	if (r < 0)
		log_warning("ev=no-time-jumps error=\"%s\"", strerror(-r));
	if (q < 0)
		log_warning("ev=no-hostname-changes error=\"%s\"",
			    strerror(-q));
	return r < 0 ? r : q;
}

static void end(uv_poll_t *h, int *fd)
{
	if (*fd < 0)
		return;
	uv_poll_stop(h);
	uv_close((uv_handle_t *)h, NULL);
	close(*fd);
	*fd = -1;
}

void system_watch_stop(struct ops *o)
{
	(void)o;
	end(&watch.clock, &watch.clock_fd);
	end(&watch.hostname, &watch.hostname_fd);
}
