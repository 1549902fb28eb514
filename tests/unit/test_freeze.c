/* SPDX-License-Identifier: MIT */
/* test_freeze.c - a session that stands still, and who may wake it */
#include "pair.h"

#define HOST  VMC_ROLE_HOST
#define GUEST VMC_ROLE_GUEST

static const struct vmc_principal who = {.kind = VMC_PRINCIPAL_HOST};

/* Nothing more happens by itself. */
static void settle(struct pair *p)
{
	struct vmc_event ev;
	size_t moved;

	do {
		moved = 0;
		for (int i = 0; i < 2; i++) {
			moved += pair_write(p, i);
			while (pair_event(p, i, &ev))
				moved++;
			moved += pair_read(p, !i, SIZE_MAX);
			while (pair_event(p, !i, &ev))
				moved++;
		}
	} while (moved);
}

static bool drain(struct pair *p, int i, enum vmc_event_type type)
{
	struct vmc_event ev;
	bool seen = false;

	while (pair_event(p, i, &ev))
		seen |= ev.type == type;
	return seen;
}

static void put(struct pair *p, int i, vmc_stream h, const char *text)
{
	struct vmc_pull pull;
	size_t n = strlen(text);

	assert_int_equal(vmc_stream_ready(p->end[i].s, h), 0);
	assert_true(vmc_session_pull(p->end[i].s, &pull, p->now));
	assert_true(pull.len >= n);
	memcpy(pull.buf, text, n);
	vmc_session_pull_done(p->end[i].s, n, 0, p->now);
}

static struct vmc_session_stats stats_of(const struct pair *p, int i)
{
	struct vmc_session_stats st;

	vmc_session_get_stats(p->end[i].s, &st);
	return st;
}

static void freeze(struct pair *p, int i)
{
	vmc_session_freeze(p->end[i].s, p->now);
	assert_null(vmc_session_check(p->end[i].s));
	assert_int_equal(stats_of(p, i).frozen, 1);
}

static void resync(struct pair *p, int i)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	pair_entropy(p, entropy);
	vmc_session_resync(p->end[i].s, entropy, p->now);
}

/* One stream from the host, accepted; handles of both ends. */
static void with_stream(struct pair *p, vmc_stream h[2])
{
	struct vmc_event ev;

	pair_init(p, NULL, NULL);
	pair_up(p);
	settle(p);
	assert_int_equal(vmc_stream_open(p->end[HOST].s, &h[HOST], "a.b", 0,
					 &who, 1, 1, p->now),
			 0);
	pair_write(p, HOST);
	pair_read(p, GUEST, SIZE_MAX);
	ev = pair_expect(p, GUEST, VMC_EV_OPEN);
	h[GUEST] = ev.stream;
	assert_int_equal(vmc_stream_accept(p->end[GUEST].s, ev.stream, 1, 1),
			 0);
	settle(p);
}

/* The guest's bytes lie in the host's pool, the event was taken. */
static void with_bytes(struct pair *p, vmc_stream h[2])
{
	with_stream(p, h);
	put(p, GUEST, h[GUEST], "hello");
	pair_write(p, GUEST);
	pair_read(p, HOST, SIZE_MAX);
	pair_expect(p, HOST, VMC_EV_READABLE);
	settle(p);
}

static long peek(struct pair *p, int i, vmc_stream h)
{
	struct iovec iov[4];

	return vmc_stream_peek(p->end[i].s, h, iov, 4);
}

static void nothing_passes_while_frozen(void **state)
{
	struct vmc_session *s;
	struct vmc_pull pull;
	vmc_stream h[2], other;
	const uint8_t *out;
	struct pair p;
	uint8_t *in;

	(void)state;
	with_bytes(&p, h);
	s = p.end[HOST].s;
	assert_int_equal(vmc_stream_ready(s, h[HOST]), 0);
	freeze(&p, HOST);
	assert_false(vmc_session_pull(s, &pull, p.now));
	assert_int_equal(peek(&p, HOST, h[HOST]), VMC_ERR_STATE);
	assert_int_equal(vmc_stream_consume(s, h[HOST], 1), VMC_ERR_STATE);
	assert_int_equal(vmc_stream_finish(s, h[HOST]), VMC_ERR_STATE);
	assert_int_equal(vmc_stream_stop(s, h[HOST], 1), VMC_ERR_STATE);
	assert_int_equal(vmc_stream_reset(s, h[HOST], 1), VMC_ERR_STATE);
	assert_int_equal(
		vmc_stream_open(s, &other, "a.b", 0, &who, 1, 1, p.now),
		VMC_ERR_STATE);
	assert_int_equal(vmc_stream_ready(s, h[HOST]), 0);
	assert_int_equal(vmc_stream_set_cookie(s, h[HOST], 7), 0);
	assert_int_equal(vmc_session_input(s, &in), 0);
	assert_int_equal(vmc_session_output(s, &out, p.now), 0);
	assert_true(vmc_session_deadline(s) == UINT64_MAX);
	vmc_session_tick(s, p.now + 1000000000);
	assert_false(drain(&p, HOST, VMC_EV_STALLED));
	assert_null(vmc_session_check(s));
	pair_free(&p);
}

/* An OPEN of the peer waits for its answer as before. */
static void opens_wait_while_frozen(void **state)
{
	vmc_stream h;
	struct pair p;

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_up(&p);
	settle(&p);
	assert_int_equal(vmc_stream_open(p.end[GUEST].s, &h, "a.b", 0, &who, 1,
					 1, p.now),
			 0);
	pair_write(&p, GUEST);
	pair_read(&p, HOST, SIZE_MAX);
	h = pair_expect(&p, HOST, VMC_EV_OPEN).stream;
	freeze(&p, HOST);
	assert_int_equal(vmc_stream_accept(p.end[HOST].s, h, 1, 1),
			 VMC_ERR_STATE);
	assert_int_equal(vmc_stream_reject(p.end[HOST].s, h, 1), VMC_ERR_STATE);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), 0);
	assert_int_equal(vmc_stream_accept(p.end[HOST].s, h, 1, 1), 0);
	settle(&p);
	assert_int_equal(stats_of(&p, GUEST).streams, 1);
	pair_free(&p);
}

/* Bytes that were offered in place are kept. */
static void a_borrow_survives(void **state)
{
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_stream(&p, h);
	put(&p, GUEST, h[GUEST], "hello");
	pair_write(&p, GUEST);
	pair_read(&p, HOST, SIZE_MAX);
	pair_expect(&p, HOST, VMC_EV_READABLE);
	freeze(&p, HOST);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), 0);
	pair_expect(&p, HOST, VMC_EV_READABLE);
	assert_int_equal(peek(&p, HOST, h[HOST]), 5);
	pair_free(&p);
}

static void thaw_is_as_if_nothing_was(void **state)
{
	struct vmc_session_stats before, after;
	vmc_stream h[2];
	const uint8_t *buf;
	struct pair p;
	size_t n;

	(void)state;
	with_bytes(&p, h);
	/* A unit is half written, input is half read. */
	put(&p, HOST, h[HOST], "there and back");
	n = vmc_session_output(p.end[HOST].s, &buf, p.now);
	assert_true(n > 10);
	memcpy(p.end[HOST].pipe, buf, 10);
	p.end[HOST].pipe_len = 10;
	vmc_session_output_done(p.end[HOST].s, 10, p.now);
	put(&p, GUEST, h[GUEST], "more");
	pair_write(&p, GUEST);
	pair_read(&p, HOST, 20);
	before = stats_of(&p, HOST);
	assert_false(drain(&p, HOST, VMC_EV_READABLE));
	freeze(&p, HOST);
	assert_false(drain(&p, HOST, VMC_EV_READABLE));
	/* Longer than a torn frame is waited for, or a peer's ack. */
	p.now += 6000000;
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), 0);
	vmc_session_tick(p.end[HOST].s, p.now);
	pair_expect(&p, HOST, VMC_EV_READABLE);
	assert_int_equal(peek(&p, HOST, h[HOST]), 5);
	settle(&p);
	assert_int_equal(peek(&p, HOST, h[HOST]), 9);
	assert_int_equal(peek(&p, GUEST, h[GUEST]), 14);
	after = stats_of(&p, HOST);
	assert_int_equal(after.attach_no, before.attach_no);
	assert_int_equal(after.resyncs, before.resyncs);
	assert_int_equal(after.stalls, 0);
	assert_int_equal(after.partial_timeout, 0);
	assert_int_equal(after.frozen, 0);
	pair_free(&p);
}

static void thaw_has_its_conditions(void **state)
{
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_stream(&p, h);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), VMC_ERR_STATE);
	freeze(&p, HOST);
	resync(&p, HOST);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), VMC_ERR_STATE);
	/* Nor does another freeze bring the old attach back. */
	freeze(&p, HOST);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), VMC_ERR_STATE);
	assert_int_equal(stats_of(&p, HOST).frozen, 1);
	pair_free(&p);
}

/* The end of what is to be read is told again, too. */
static void the_end_is_raised_again(void **state)
{
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_stream(&p, h);
	assert_int_equal(vmc_stream_finish(p.end[GUEST].s, h[GUEST]), 0);
	pair_write(&p, GUEST);
	pair_read(&p, HOST, SIZE_MAX);
	pair_expect(&p, HOST, VMC_EV_READABLE);
	freeze(&p, HOST);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), 0);
	pair_expect(&p, HOST, VMC_EV_READABLE);
	assert_true(vmc_stream_at_end(p.end[HOST].s, h[HOST]));
	pair_free(&p);
}

static void a_handshake_that_began_after_wakes(void **state)
{
	struct vmc_event ev;
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_bytes(&p, h);
	freeze(&p, HOST);
	/* What comes now is the other copy's to hear. */
	put(&p, GUEST, h[GUEST], "world");
	pair_write(&p, GUEST);
	resync(&p, HOST);
	assert_true(drain(&p, HOST, VMC_EV_DOWN));
	pair_read(&p, HOST, SIZE_MAX);
	assert_false(drain(&p, HOST, VMC_EV_READABLE));
	assert_int_equal(peek(&p, HOST, h[HOST]), VMC_ERR_STATE);
	while (pair_write(&p, HOST) + pair_write(&p, GUEST)) {
		pair_read(&p, GUEST, SIZE_MAX);
		while (pair_event(&p, GUEST, &ev)) {
			if (ev.type == VMC_EV_NEED_ENTROPY)
				resync(&p, GUEST);
		}
		pair_read(&p, HOST, SIZE_MAX);
		if (!pair_event(&p, HOST, &ev))
			continue;
		assert_int_equal(ev.type, VMC_EV_READABLE);
		break;
	}
	pair_expect(&p, HOST, VMC_EV_UP);
	assert_int_equal(stats_of(&p, HOST).frozen, 0);
	settle(&p);
	assert_int_equal(peek(&p, HOST, h[HOST]), 10);
	pair_free(&p);
}

/*
 * The answer to a probe lies in the pipe when the session is frozen once more:
 * it says where the guest was, not where it is.
 */
static void an_older_probe_proves_nothing(void **state)
{
	struct vmc_event ev;
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_stream(&p, h);
	freeze(&p, HOST);
	resync(&p, HOST);
	drain(&p, HOST, VMC_EV_NONE);
	pair_write(&p, HOST);
	pair_read(&p, GUEST, SIZE_MAX);
	while (pair_event(&p, GUEST, &ev)) {
		if (ev.type == VMC_EV_NEED_ENTROPY)
			resync(&p, GUEST);
	}
	pair_write(&p, GUEST);
	freeze(&p, HOST);
	assert_int_equal(pair_read(&p, HOST, SIZE_MAX), 0);
	resync(&p, HOST);
	assert_true(pair_read(&p, HOST, SIZE_MAX) > 0);
	drain(&p, HOST, VMC_EV_NONE);
	assert_int_equal(stats_of(&p, HOST).state, VMC_SESSION_SYNC);
	assert_int_equal(stats_of(&p, HOST).frozen, 1);
	pair_free(&p);
}

/* Somebody who says HELLO to a frozen session does not wake it. */
static void a_greeting_wakes_nobody(void **state)
{
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_stream(&p, h);
	freeze(&p, HOST);
	resync(&p, HOST);
	drain(&p, HOST, VMC_EV_NONE);
	resync(&p, GUEST);
	pair_write(&p, GUEST);
	pair_read(&p, HOST, SIZE_MAX);
	drain(&p, HOST, VMC_EV_NONE);
	assert_int_equal(stats_of(&p, HOST).frozen, 1);
	pair_free(&p);
}

static void grace_waits_for_the_owner(void **state)
{
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_stream(&p, h);
	freeze(&p, HOST);
	vmc_session_detach(p.end[HOST].s, p.now);
	pair_attach(&p, HOST);
	assert_true(drain(&p, HOST, VMC_EV_DOWN));
	p.now += UINT64_C(400000000);
	vmc_session_tick(p.end[HOST].s, p.now);
	assert_false(drain(&p, HOST, VMC_EV_END));
	/* Who gives it up says why, and it is frozen no more. */
	vmc_session_bye(p.end[HOST].s, VMC_REASON_MIGRATED, p.now);
	assert_int_equal(pair_expect(&p, HOST, VMC_EV_END).reason,
			 VMC_REASON_MIGRATED);
	assert_int_equal(stats_of(&p, HOST).frozen, 0);
	pair_free(&p);
}

/* The link may go while all stands still; the owner hears of it. */
static void detach_and_thaw(void **state)
{
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_bytes(&p, h);
	freeze(&p, HOST);
	vmc_session_detach(p.end[HOST].s, p.now);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), 0);
	pair_expect(&p, HOST, VMC_EV_DOWN);
	pair_expect(&p, HOST, VMC_EV_READABLE);
	assert_int_equal(stats_of(&p, HOST).state, VMC_SESSION_DETACHED);
	pair_free(&p);
}

/* A wish for entropy that nobody acted on is told again. */
static void thaw_asks_for_entropy_again(void **state)
{
	vmc_stream h[2];
	struct pair p;

	(void)state;
	with_stream(&p, h);
	memset(p.end[GUEST].pipe, 0xee, 64);
	p.end[GUEST].pipe_len = 64;
	pair_read(&p, HOST, SIZE_MAX);
	pair_expect(&p, HOST, VMC_EV_DOWN);
	pair_expect(&p, HOST, VMC_EV_NEED_ENTROPY);
	freeze(&p, HOST);
	assert_int_equal(vmc_session_thaw(p.end[HOST].s, p.now), 0);
	pair_expect(&p, HOST, VMC_EV_NEED_ENTROPY);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_passes_while_frozen),
		cmocka_unit_test(opens_wait_while_frozen),
		cmocka_unit_test(a_borrow_survives),
		cmocka_unit_test(thaw_is_as_if_nothing_was),
		cmocka_unit_test(thaw_has_its_conditions),
		cmocka_unit_test(the_end_is_raised_again),
		cmocka_unit_test(a_handshake_that_began_after_wakes),
		cmocka_unit_test(an_older_probe_proves_nothing),
		cmocka_unit_test(a_greeting_wakes_nobody),
		cmocka_unit_test(grace_waits_for_the_owner),
		cmocka_unit_test(detach_and_thaw),
		cmocka_unit_test(thaw_asks_for_entropy_again),
	};

	return cmocka_run_group_tests_name("freeze", tests, NULL, NULL);
}
