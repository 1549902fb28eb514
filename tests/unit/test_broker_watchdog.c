/* SPDX-License-Identifier: MIT */
/*
 * test_broker_watchdog.c - a link on which nothing answers: paused or deaf?
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker_bench.h"

#define S 1000000u

struct bench {
	struct node *n;
	struct guest *g;
	uint64_t now; /* us, as the watchdog is told */
};

static int set_up(void **state)
{
	struct bench *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->n = node_new(NULL, false);
	t->g = guest_new();
	node_link(t->n);
	t->now = broker_now_us();
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *t = *state;

	node_free(t->n);
	guest_free(t->g);
	free(t);
	return 0;
}

static void greet(struct bench *t)
{
	pump_kick(t->n->b);
	for (int i = 0; i < 5; i++)
		node_turn(t->n);
}

/* QEMU takes the bytes, and that is all that happens. */
static void swallow(struct bench *t)
{
	char buf[4096];

	greet(t);
	while (recv(t->n->link[1], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static struct watchdog *watch(const struct bench *t)
{
	return &t->n->b->link.watch;
}

/* The next look, in the time that the watchdog asked for. */
static uint64_t look(struct bench *t)
{
	uint64_t ms = watchdog_look(t->n->b, t->now);

	t->now += ms * 1000u;
	return ms;
}

static void a_paused_vm_keeps_its_link(void **state)
{
	struct bench *t = *state;
	uint64_t ms = 0, end;

	greet(t);
	assert_int_equal(watch(t)->wait, WATCHDOG_ANSWER);
	assert_true(uv_is_active((uv_handle_t *)&watch(t)->timer));
	assert_int_equal(look(t), 1000);
	assert_int_equal(look(t), 2000);
	assert_int_equal(look(t), 4000);
	for (end = t->now + 7200ull * S; t->now < end;) {
		ms = look(t);
		assert_in_range(ms, 4000, 8000);
	}
	assert_int_equal(ms, 8000);
	assert_int_equal(t->n->b->count.link_stuck, 0);
	assert_true(t->n->b->link.fd >= 0);
	/* And when it runs again, it is there. */
	guest_run_at(t->g, t->n);
	play(t->g, t->n, NULL, 100);
	assert_true(t->n->b->up);
	assert_int_equal(watch(t)->wait, WATCHDOG_OFF);
	assert_false(uv_is_active((uv_handle_t *)&watch(t)->timer));
}

static void a_deaf_port_is_connected_anew(void **state)
{
	struct bench *t = *state;

	swallow(t);
	/* From the moment that it is seen to read. */
	assert_int_equal(look(t), STUCK_MS);
	t->now -= 1;
	assert_int_equal(watchdog_look(t->n->b, t->now), 1);
	t->now += 1;
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_stuck, 1);
	assert_int_equal(t->n->b->link.fd, -1);
	greet(t);
	assert_int_equal(t->n->ends, 1);
	assert_int_equal(t->n->why, BROKER_LINK_STUCK);
	assert_false(uv_is_active((uv_handle_t *)&watch(t)->timer));
}

/* Its bytes were unread for long: the time it may take begins with reading. */
static void a_vm_that_wakes_up_has_its_time(void **state)
{
	struct bench *t = *state;

	greet(t);
	for (int i = 0; i < 10; i++)
		look(t);
	swallow(t);
	assert_int_equal(look(t), STUCK_MS);
	assert_true(t->n->b->link.fd >= 0);
}

static void connect_anew(struct bench *t)
{
	close(t->n->link[0]);
	close(t->n->link[1]);
	node_link(t->n);
	swallow(t);
}

static void its_patience_grows_and_people_are_told(void **state)
{
	struct bench *t = *state;
	uint64_t expected = STUCK_MS;

	for (int i = 0; i < 10; i++) {
		connect_anew(t);
		assert_int_equal(look(t), expected);
		assert_int_equal(look(t), 0);
		expected = 2 * expected < STUCK_MAX_MS ? 2 * expected
						       : STUCK_MAX_MS;
		assert_true((watchdog_detail(t->n->b) != NULL) ==
			    (i + 1 >= REVIVES_MAX));
	}
	assert_int_equal(expected, STUCK_MAX_MS);
	/* An answer, and all is forgotten. */
	close(t->n->link[0]);
	close(t->n->link[1]);
	node_link(t->n);
	guest_run_at(t->g, t->n);
	play(t->g, t->n, NULL, 100);
	assert_true(t->n->b->up);
	assert_null(watchdog_detail(t->n->b));
	assert_int_equal(watch(t)->stuck_ms, 0);
}

static void a_frozen_broker_has_none(void **state)
{
	struct bench *t = *state;

	guest_run_at(t->g, t->n);
	play(t->g, t->n, NULL, 100);
	broker_freeze(t->n->b);
	broker_resync_now(t->n->b);
	swallow(t);
	assert_int_equal(watch(t)->wait, WATCHDOG_OFF);
	assert_int_equal(look(t), 0);
	assert_true(t->n->b->link.fd >= 0);
}

static void stall(struct bench *t)
{
	const struct vmc_event ev = {.type = VMC_EV_STALLED};

	guest_run_at(t->g, t->n);
	play(t->g, t->n, NULL, 100);
	assert_true(t->n->b->up);
	session_event(t->n->b, &ev, t->now);
	assert_int_equal(watch(t)->wait, WATCHDOG_STALLED);
}

/* Silence in the middle of a session is asked about before anything is
 * closed. */
static void a_silent_peer_is_asked_first(void **state)
{
	struct bench *t = *state;

	stall(t);
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_asked, 1);
	assert_int_equal(t->n->b->count.link_stuck, 0);
	assert_int_equal(watch(t)->wait, WATCHDOG_ANSWER);
	swallow(t);
	assert_int_equal(look(t), STUCK_MS);
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_stuck, 1);
}

static void a_silent_paused_peer_is_left_alone(void **state)
{
	struct bench *t = *state;

	stall(t);
	assert_int_equal(send(t->n->link[0], "x", 1, 0), 1);
	for (int i = 0; i < 20; i++)
		assert_true(look(t) >= 1000);
	assert_int_equal(t->n->b->count.link_asked, 0);
	assert_true(t->n->b->up);
}

static void who_speaks_again_is_not_asked(void **state)
{
	const struct vmc_event ev = {.type = VMC_EV_UNSTALLED};
	struct bench *t = *state;

	stall(t);
	session_event(t->n->b, &ev, t->now);
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_asked, 0);
}

/* QMP said that it runs again: what was asked before may be lost. */
static void a_resumed_vm_is_asked_again(void **state)
{
	struct bench *t = *state;
	uint64_t ms;

	greet(t);
	do
		ms = look(t);
	while (ms < 8000);
	swallow(t);
	broker_resync_now(t->n->b);
	greet(t);
	assert_int_equal(look(t), 1000);
}

/* ---- what QMP says; a hint ---- */

static void says(struct bench *t, enum broker_vm vm)
{
	broker_set_vm(t->n->b, "x", vm);
	greet(t);
}

static bool is_ticking(const struct bench *t)
{
	return uv_is_active((const uv_handle_t *)&watch(t)->timer);
}

/* Neither a timer nor a close, whatever it was doing when it stopped. */
static void a_vm_that_stands_is_left_alone(void **state)
{
	struct bench *t = *state;

	swallow(t);
	assert_int_equal(look(t), STUCK_MS);
	says(t, BROKER_VM_STANDS);
	assert_false(is_ticking(t));
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_stuck, 0);
	/* Not even after a new handshake. */
	broker_resync_now(t->n->b);
	swallow(t);
	assert_false(is_ticking(t));
	assert_true(t->n->b->link.fd >= 0);
}

/* It runs: its time begins then. */
static void a_vm_that_runs_is_looked_at_at_once(void **state)
{
	struct bench *t = *state;

	swallow(t);
	says(t, BROKER_VM_STANDS);
	t->now += 3600ull * S;
	says(t, BROKER_VM_RUNS);
	assert_int_equal(watch(t)->wait, WATCHDOG_ANSWER);
	assert_in_range(uv_timer_get_due_in(&watch(t)->timer), 0, 100);
	/* The HELLO that was read in vain has been said again. */
	assert_int_equal(look(t), 1000);
	swallow(t);
	assert_int_equal(look(t), STUCK_MS);
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_stuck, 1);
}

/* Unread bytes are looked at every 8 s by now; and not added to. */
static void unread_bytes_are_looked_at_at_once(void **state)
{
	struct bench *t = *state;
	uint64_t before;

	greet(t);
	while (look(t) < 8000)
		;
	before = t->n->b->count.link_bytes_out;
	says(t, BROKER_VM_RUNS);
	assert_int_equal(t->n->b->count.link_bytes_out, before);
	assert_in_range(uv_timer_get_due_in(&watch(t)->timer), 0, 100);
	assert_int_equal(look(t), 1000);
}

/* QMP has gone: what it said last does not count any more. */
static void without_qmp_all_is_as_before(void **state)
{
	struct bench *t = *state;

	swallow(t);
	says(t, BROKER_VM_STANDS);
	says(t, BROKER_VM_UNKNOWN);
	assert_int_equal(watch(t)->wait, WATCHDOG_ANSWER);
	assert_true(is_ticking(t));
	assert_int_equal(look(t), STUCK_MS);
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_stuck, 1);
}

static void a_stall_is_asked_about_when_it_runs(void **state)
{
	struct bench *t = *state;

	stall(t);
	says(t, BROKER_VM_STANDS);
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_asked, 0);
	t->n->b->stalled = true;
	says(t, BROKER_VM_RUNS);
	assert_int_equal(watch(t)->wait, WATCHDOG_STALLED);
	assert_int_equal(look(t), 0);
	assert_int_equal(t->n->b->count.link_asked, 1);
}

/* A guest that speaks is there, whatever QMP says. */
static void a_lie_stops_nothing_that_moves(void **state)
{
	struct bench *t = *state;

	says(t, BROKER_VM_STANDS);
	guest_run_at(t->g, t->n);
	play(t->g, t->n, NULL, 100);
	assert_true(t->n->b->up);
	for (int i = 0; i < 100; i++) {
		broker_set_vm(t->n->b, "x",
			      i % 2 ? BROKER_VM_STANDS : BROKER_VM_RUNS);
		play(t->g, t->n, NULL, 3);
	}
	assert_true(t->n->b->up);
	assert_int_equal(t->n->ups, 1);
}

/* Another session on the same link knows it, too. */
static void grace_of_every_session_waits(void **state)
{
	struct bench *t = *state;

	says(t, BROKER_VM_STANDS);
	guest_run_at(t->g, t->n);
	play(t->g, t->n, NULL, 100);
	broker_moved(t->n->b, NULL);
	play(t->g, t->n, NULL, 100);
	assert_true(t->n->b->up);
	broker_link_detach(t->n->b);
	assert_true(vmc_session_deadline(t->n->b->session) == UINT64_MAX);
	says(t, BROKER_VM_UNKNOWN);
	assert_true(vmc_session_deadline(t->n->b->session) != UINT64_MAX);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_paused_vm_keeps_its_link),
		T(a_deaf_port_is_connected_anew),
		T(a_vm_that_wakes_up_has_its_time),
		T(its_patience_grows_and_people_are_told),
		T(a_frozen_broker_has_none),
		T(a_silent_peer_is_asked_first),
		T(a_silent_paused_peer_is_left_alone),
		T(who_speaks_again_is_not_asked),
		T(a_resumed_vm_is_asked_again),
		T(a_vm_that_stands_is_left_alone),
		T(a_vm_that_runs_is_looked_at_at_once),
		T(unread_bytes_are_looked_at_at_once),
		T(without_qmp_all_is_as_before),
		T(a_stall_is_asked_about_when_it_runs),
		T(a_lie_stops_nothing_that_moves),
		T(grace_of_every_session_waits),
	};
#undef T

	return cmocka_run_group_tests_name("broker watchdog", tests, NULL,
					   NULL);
}
