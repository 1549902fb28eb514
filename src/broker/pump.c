/* SPDX-License-Identifier: MIT */
/*
 * pump.c - the data plane: one inner epoll set, one function per wake-up
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/internal.h"
#include "broker/log.h"

#define SWEEP_MS 1000
/* The timer's longest sleep while something is due later. */
#define TIMER_LOOK_US 100000u
/* Events can cause output and output events (a reset); more rounds than this
 * in one wake-up are left to the next. */
#define PUMP_ROUNDS 4

uint64_t broker_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static uint32_t wanted_events(const struct broker *b, uint64_t ref,
			      bool blocked)
{
	/* A port whose host is closed is taken out of the set, so level
	 * triggering cannot spin; and it saves the read that would only say
	 * EAGAIN (one read of a port is one buffer, short or not). Room for
	 * writes is asked for again every LINK_RETRY_MS. */
	if (ref == REF_LINK && b->link.kind == BROKER_LINK_PORT)
		return EPOLLIN;
	/* Room is asked for only while something waits for it: each byte that
	 * the other end reads would be an edge and a wake-up otherwise. */
	return EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET |
	       (blocked ? EPOLLOUT : 0u);
}

int pump_watch(struct broker *b, int fd, uint64_t ref)
{
	struct epoll_event ev = {
		.events = wanted_events(b, ref, false),
		.data.u64 = ref,
	};

	return epoll_ctl(b->inner, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void pump_watch_room(struct broker *b, int fd, uint64_t ref, bool blocked)
{
	struct epoll_event ev = {
		.events = wanted_events(b, ref, blocked),
		.data.u64 = ref,
	};

	epoll_ctl(b->inner, EPOLL_CTL_MOD, fd, &ev);
}

void pump_unwatch(struct broker *b, int fd)
{
	epoll_ctl(b->inner, EPOLL_CTL_DEL, fd, NULL);
}

/* Stops at UP: what the peer waits for goes before anything is delivered. */
static unsigned int pump_events(struct broker *b, uint64_t now_us)
{
	unsigned int n = 0;
	struct vmc_event ev;

	while (!b->flush_first &&
	       vmc_session_next_event(b->session, &ev, now_us)) {
		session_event(b, &ev, now_us);
		n++;
	}
	return n;
}

/* Return: was the budget spent? */
static bool pump_input(struct broker *b, uint64_t now_us)
{
	uint64_t start = b->count.link_bytes_in;
	unsigned int events = 0;

	while (link_read(b, now_us)) {
		events += pump_events(b, now_us);
		if (b->count.link_bytes_in - start >= PUMP_BYTES_MAX ||
		    events >= PUMP_EVENTS_MAX || b->flush_first)
			return true;
	}
	return false;
}

static size_t pull_one(struct broker *b, const struct vmc_pull *p,
		       uint64_t now_us)
{
	struct stream *st = stream_get(b, p->cookie);
	unsigned int flags = VMC_PULL_FINISH;
	size_t n = 0;

	if (st)
		n = stream_read(st, p->buf, p->len, &flags);
	if (st && st->left > 0)
		broker_sweep_need(b);
	vmc_session_pull_done(b->session, n, flags, now_us);
	return n;
}

/* Return: was the budget spent? */
static bool pump_output(struct broker *b, uint64_t now_us)
{
	size_t unwritten = 0, total = 0;
	struct vmc_pull p;

	if (b->flush_first) {
		b->flush_first = false;
		link_flush(b, now_us);
	}
	while (vmc_session_pull(b->session, &p, now_us)) {
		size_t n = pull_one(b, &p, now_us);

		unwritten += n;
		total += n;
		if (unwritten >= PUMP_FLUSH) {
			link_flush(b, now_us);
			unwritten = 0;
		}
		if (total >= PUMP_BYTES_MAX) {
			link_flush(b, now_us);
			return true;
		}
	}
	link_flush(b, now_us);
	return false;
}

/* A socket says itself when there is room again. */
static bool waits_for_port(const struct link *l)
{
	return l->fd >= 0 && !l->writable && l->kind == BROKER_LINK_PORT;
}

/*
 * The timer is set only if it would come too late, never put off: what is
 * due moves with each frame. It is set at most TIMER_LOOK_US ahead, so that
 * it does not ring long after the last thing that was due has been settled.
 */
static void arm_timer(struct broker *b, uint64_t now_us)
{
	struct itimerspec when = {.it_value = {0}};
	uint64_t at = vmc_session_deadline(b->session);

	if (waits_for_port(&b->link)) {
		/* Not put off by whatever else happens meanwhile. */
		if (b->link.retry_at_us == 0)
			b->link.retry_at_us = now_us + LINK_RETRY_MS * 1000u;
		if (b->link.retry_at_us < at)
			at = b->link.retry_at_us;
	}
	if ((b->tell.down || b->tell.up) && b->tell.at_us < at)
		at = b->tell.at_us;
	b->deadline_us = at;
	if (at == UINT64_MAX)
		return;
	/* Until somebody answers, run.c's sleep ends in time: an answer that
	 * comes at once needs no clock. */
	if (!b->up)
		return;
	if (at > now_us + TIMER_LOOK_US)
		at = now_us + TIMER_LOOK_US;
	if (at >= b->timer_at_us)
		return;
	b->timer_at_us = at;
	when.it_value.tv_sec = (time_t)(at / 1000000u);
	when.it_value.tv_nsec = (long)(at % 1000000u * 1000u);
	timerfd_settime(b->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void pump_kick(struct broker *b)
{
	b->again = true;
}

/* What lies in the link can be taken, in the next turn. A session that stands
 * still takes nothing, however often it is asked. */
static bool has_unread_link(struct broker *b)
{
	uint8_t *buf;

	if (b->link.fd < 0 || !b->link.readable)
		return false;
	return !b->frozen || vmc_session_input(b->session, &buf) > 0;
}

void pump_run(struct broker *b, uint64_t now_us)
{
	unsigned int rounds = 0;
	bool more;

	b->count.wakeups++;
	b->again = false;
	more = pump_input(b, now_us);
	more |= pump_output(b, now_us);
	while (pump_events(b, now_us) > 0) {
		more |= pump_output(b, now_us);
		if (++rounds == PUMP_ROUNDS) {
			more = true;
			break;
		}
	}
	if (b->services_wait) {
		b->services_wait = false;
		incoming_start_services(b);
	}
	if (b->control_again)
		control_wake_all(b);
	/* The session took nothing while events waited: there is no second
	 * edge for what lies in the socket. */
	more |= has_unread_link(b);
	b->count.budget_spent += more;
	b->again |= more;
	arm_timer(b, now_us);
	link_report(b);
}

void pump_deadline(struct broker *b, uint64_t now_us)
{
	if (b->timer_at_us <= now_us)
		b->timer_at_us = UINT64_MAX;
	b->again = true;
	if (now_us >= b->tell.at_us)
		session_tell(b, now_us);
	if (now_us < b->deadline_us)
		return;
	if (waits_for_port(&b->link) && now_us >= b->link.retry_at_us) {
		link_set_writable(b, true);
		b->count.link_retries++;
	}
	vmc_session_tick(b->session, now_us);
}

static void on_sweep(uv_timer_t *h)
{
	struct broker *b = h->data;
	uint64_t now_ms = broker_now_us() / 1000u;
	bool more;

	listener_sweep(&b->control.listener);
	listener_sweep(&b->connect.listener);
	more = connect_server_sweep(b, now_ms);
	more |= streams_sweep(b, now_ms);
	more |= keep_sweep(b, now_ms);
	more |= follow_sweep(b, now_ms);
	more |= control_sweep_alone(b, b->frozen ? 0 : now_ms);
	if (!more) {
		uv_timer_stop(&b->sweep);
		b->sweeping = false;
	}
	pump_kick(b);
}

void broker_sweep_need(struct broker *b)
{
	if (b->sweeping)
		return;
	b->sweeping = true;
	uv_update_time(b->loop); /* libuv may have slept long */
	uv_timer_start(&b->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

void broker_handle_closed(uv_handle_t *h)
{
	broker_unref(h->data);
}

int pump_init(struct broker *b)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET, /* so it need not be read */
		.data.u64 = REF_TIMER,
	};

	b->deadline_us = b->timer_at_us = UINT64_MAX;
	b->inner = epoll_create1(EPOLL_CLOEXEC);
	b->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->inner < 0 || b->timer < 0 ||
	    epoll_ctl(b->inner, EPOLL_CTL_ADD, b->timer, &ev) < 0)
		return -errno;
	uv_timer_init(b->loop, &b->sweep); /* cannot fail */
	b->sweep.data = b;
	b->n_handles++;
	return 0;
}

void pump_close(struct broker *b)
{
	if (b->sweep.data)
		uv_close((uv_handle_t *)&b->sweep, broker_handle_closed);
	if (b->inner >= 0)
		close(b->inner);
	if (b->timer >= 0)
		close(b->timer);
	b->inner = b->timer = -1;
}
