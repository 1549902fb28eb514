/* SPDX-License-Identifier: MIT */
/*
 * watchdog.c - a host's link on which nothing answers
 *
 * That has two causes which need opposite things. While our bytes lie unread
 * in QEMU's socket the VM is paused, migrating, or nobody has opened the
 * guest's port: closing then is what makes a port deaf for good, so it is never
 * done. Bytes that were read and led to nothing are the sign of a deaf port:
 * then only a new connection helps.
 */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "broker/internal.h"
#include "broker/log.h"

/* Whether the first bytes are read at once shows this early. */
#define FIRST_LOOK_MS 100
#define UNREAD_MIN_MS 1000
/* A port that was closed while its VM stood still is found deaf this much later
 * than it runs: people wait. A look costs one system call. */
#define UNREAD_MAX_MS 8000

static bool is_on(const struct broker *b)
{
	return b->role == VMC_ROLE_HOST && b->link.fd >= 0 &&
	       b->link.kind == BROKER_LINK_SOCKET && !b->frozen &&
	       !b->vm_stands;
}

static void on_timer(uv_timer_t *h)
{
	struct broker *b = h->data;
	uint64_t ms = watchdog_look(b, broker_now_us());

	if (ms > 0)
		uv_timer_start(h, on_timer, ms, 0);
	pump_kick(b);
}

static void begin(struct broker *b, enum watchdog_wait wait, uint64_t ms)
{
	struct watchdog *w = &b->link.watch;

	w->wait = wait;
	w->unread_ms = UNREAD_MIN_MS;
	w->read_at = 0;
	if (w->stuck_ms == 0)
		w->stuck_ms = STUCK_MS;
	uv_update_time(b->loop); /* libuv may have slept long */
	uv_timer_start(&w->timer, on_timer, ms, 0);
	b->touched = true;
}

void watchdog_answer(struct broker *b)
{
	if (is_on(b) && b->link.watch.wait != WATCHDOG_ANSWER)
		begin(b, WATCHDOG_ANSWER, FIRST_LOOK_MS);
}

void watchdog_stalled(struct broker *b)
{
	if (is_on(b) && b->link.watch.wait == WATCHDOG_OFF)
		begin(b, WATCHDOG_STALLED, STALLED_PING_MS);
}

void watchdog_calm(struct broker *b)
{
	b->link.watch.wait = WATCHDOG_OFF;
	uv_timer_stop(&b->link.watch.timer);
}

void watchdog_proved(struct broker *b)
{
	watchdog_calm(b);
	b->link.watch.stuck_ms = 0;
	b->link.watch.revives = 0;
}

bool watchdog_unread(const struct broker *b)
{
	int n = 0;

	/* If the kernel does not say, nothing is closed. */
	return ioctl(b->link.fd, SIOCOUTQ, &n) < 0 || n > 0;
}

void watchdog_hurry(struct broker *b)
{
	enum watchdog_wait wait = b->link.watch.wait;

	if (is_on(b) && wait != WATCHDOG_OFF)
		begin(b, wait, FIRST_LOOK_MS);
}

void watchdog_resume(struct broker *b)
{
	struct vmc_session_stats s;

	vmc_session_get_stats(b->session, &s);
	if (s.state == VMC_SESSION_SYNC)
		watchdog_answer(b);
	else if (b->stalled)
		watchdog_stalled(b);
}

static uint64_t doubled(uint64_t ms, uint64_t max)
{
	return 2 * ms < max ? 2 * ms : max;
}

static uint64_t look_later(struct broker *b)
{
	struct watchdog *w = &b->link.watch;
	uint64_t ms = w->unread_ms;

	b->count.link_unread++;
	w->read_at = 0;
	w->unread_ms = doubled(ms, UNREAD_MAX_MS);
	return ms;
}

static void give_up(struct broker *b, uint64_t now_us)
{
	struct watchdog *w = &b->link.watch;

	w->stuck_ms = doubled(w->stuck_ms, STUCK_MAX_MS);
	w->revives++;
	b->count.link_stuck++;
	log_limited(now_us, LOG_LEVEL_WARNING, "ev=link-deaf reconnects=%u",
		    w->revives);
	link_end(b, BROKER_LINK_STUCK, 0);
}

uint64_t watchdog_look(struct broker *b, uint64_t now_us)
{
	struct watchdog *w = &b->link.watch;
	uint64_t due_us;

	if (w->wait == WATCHDOG_OFF || !is_on(b))
		return 0;
	if (watchdog_unread(b))
		return look_later(b);
	w->unread_ms = UNREAD_MIN_MS;
	if (w->wait == WATCHDOG_STALLED) {
		b->count.link_asked++;
		watchdog_calm(b);
		broker_resync(b, now_us);
		return 0;
	}
	if (w->read_at == 0)
		w->read_at = now_us;
	due_us = w->read_at + w->stuck_ms * 1000u;
	if (now_us < due_us)
		return (due_us - now_us + 999u) / 1000u;
	give_up(b, now_us);
	return 0;
}

const char *watchdog_detail(const struct broker *b)
{
	if (b->link.watch.revives < REVIVES_MAX)
		return NULL;
	return "the guest's port reads and does not answer, and new "
	       "connections do not help: reset its virtio-serial device or "
	       "reboot the guest";
}

int watchdog_init(struct broker *b)
{
	uv_timer_t *t = &b->link.watch.timer;

	uv_timer_init(b->loop, t); /* cannot fail */
	t->data = b;
	b->n_handles++;
	return 0;
}

void watchdog_close(struct broker *b)
{
	uv_timer_t *t = &b->link.watch.timer;

	if (t->data)
		uv_close((uv_handle_t *)t, broker_handle_closed);
}
