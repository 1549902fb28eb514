/* SPDX-License-Identifier: MIT */
/*
 * run.c - the loop: the inner set first, libuv when it has something
 *
 * libuv's own epoll descriptor is a member of the inner set, not the other
 * way round: so a wake-up of the data plane is one epoll_wait() and no work of
 * libuv's at all.
 *
 * The session's deadline is a timerfd of its own (pump.c) and no timeout of
 * epoll_wait(): that would program the clock's next interrupt at each sleep
 * and again at each wake-up, which is what costs most in a guest. But while
 * the peer's broker does not answer it is one.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>

#include "broker/internal.h"
#include "broker/log.h"

/* When libuv wants to run next, in its milliseconds. */
static uint64_t uv_due_ms(const struct broker *b)
{
	int timeout = uv_backend_timeout(b->loop);

	return timeout < 0 ? UINT64_MAX : uv_now(b->loop) + (uint64_t)timeout;
}

/* What the timer of pump.c does not ring for. */
static uint64_t link_due_ms(const struct broker *b)
{
	if (b->up || b->deadline_us == UINT64_MAX)
		return UINT64_MAX;
	return b->deadline_us / 1000u + 1;
}

static int wait_ms(const struct broker *b, uint64_t now_us)
{
	uint64_t now_ms = now_us / 1000u;
	uint64_t due_ms = uv_due_ms(b), link_ms = link_due_ms(b);

	if (link_ms < due_ms)
		due_ms = link_ms;

	if (b->again || b->touched || due_ms <= now_ms)
		return 0;
	if (due_ms == UINT64_MAX)
		return -1;
	due_ms -= now_ms;
	return due_ms < INT_MAX ? (int)due_ms : INT_MAX;
}

/* Return: has libuv something to do? */
static bool take_events(struct broker *b, const struct epoll_event *evs, int n)
{
	bool loop = false;

	for (int i = 0; i < n; i++) {
		struct stream *st;

		if (evs[i].data.u64 == REF_LOOP) {
			loop = true;
			continue;
		}
		if (evs[i].data.u64 == REF_TIMER) {
			b->timer_at_us = 0;
			continue;
		}
		if (evs[i].data.u64 == REF_LINK) {
			link_events(b, evs[i].events);
			continue;
		}
		/* An earlier event of this batch may have ended it. */
		st = stream_get(b, evs[i].data.u64);
		if (st)
			stream_events(b, st, evs[i].events);
	}
	return loop;
}

/* Whoever looks after our death must see all of a turn's stores before the
 * number that says that it has ended. */
static void turn_end(struct broker *b)
{
	if (!b->turn)
		return;
	arena_note(b);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile uint64_t *)b->turn = (*b->turn | 1u) + 1u;
}

static void turn_begin(struct broker *b)
{
	if (!b->turn)
		return;
	*(volatile uint64_t *)b->turn |= 1u;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static uint64_t turn(struct broker *b, uint64_t now_us)
{
	struct epoll_event evs[PUMP_POLL_MAX];
	bool loop;
	int n;

	turn_end(b);
	n = epoll_wait(b->inner, evs, PUMP_POLL_MAX, wait_ms(b, now_us));
	turn_begin(b);
	now_us = broker_now_us();
	loop = take_events(b, evs, n);
	if (b->timer_at_us == 0 || now_us >= b->deadline_us)
		pump_deadline(b, now_us);
	if (n > 0 || b->again)
		pump_run(b, now_us);
	/* What libuv was asked to watch outside of its callbacks is told to
	 * the kernel when it runs. */
	if (loop || b->touched || now_us / 1000u >= uv_due_ms(b)) {
		b->touched = false;
		uv_run(b->loop, UV_RUN_NOWAIT);
	}
	return now_us;
}

void broker_run(struct broker *b)
{
	struct epoll_event ev = {
		.events = EPOLLIN,
		.data.u64 = REF_LOOP,
	};
	uint64_t now_us = broker_now_us();

	b->quit = false;
	b->touched = true; /* what was made before is not known to the kernel */
	b->n_handles++;    /* a callback may free it */
	epoll_ctl(b->inner, EPOLL_CTL_ADD, uv_backend_fd(b->loop), &ev);
	while (!b->quit && b->inner >= 0)
		now_us = turn(b, now_us);
	if (b->inner >= 0)
		pump_unwatch(b, uv_backend_fd(b->loop));
	broker_unref(b);
}

void broker_quit(struct broker *b)
{
	b->quit = true;
}

void broker_batch(void)
{
	struct sched_param param = {.sched_priority = 0};

	if (sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &param) <
	    0)
		log_debug("ev=no-batch error=\"%s\"", strerror(errno));
}
