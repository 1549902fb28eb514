/* SPDX-License-Identifier: MIT */
/* test_cli_frames.c - what exec and cp send, and what somebody types */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/escape.h"
#include "cli/frames_down.h"
#include "cli/frames_up.h"

/* ---- frames_up ------------------------------------------------------- */

/* Puts @n bytes of data where there is room. */
static size_t put_data(struct frames_up *u, size_t n)
{
	struct iovec v[RING_PARTS];
	size_t room;
	int parts = frames_up_room(u, v, &room);
	size_t sum = 0;

	for (int i = 0; i < parts; i++) {
		memset(v[i].iov_base, 'x', v[i].iov_len);
		sum += v[i].iov_len;
	}
	assert_int_equal(sum, room);
	if (n > room)
		n = room;
	if (n > 0)
		frames_up_data(u, n);
	return n;
}

static size_t send_all(struct frames_up *u)
{
	struct iovec v[RING_PARTS];
	int parts = frames_up_pending(u, v);
	size_t n = 0;

	for (int i = 0; i < parts; i++)
		n += v[i].iov_len;
	frames_up_sent(u, n);
	return n;
}

static void window_is_kept(void **state)
{
	struct frames_up u;
	size_t n, sum = 0;

	(void)state;
	assert_true(frames_up_init(&u, true));
	do {
		n = put_data(&u, OPFRAME_MAX);
		sum += n;
		send_all(&u);
	} while (n > 0);
	assert_int_equal(sum, OPFRAME_WINDOW);
	/* Taken is not more than sent. */
	assert_false(frames_up_took(&u, OPFRAME_WINDOW + 1));
	assert_true(frames_up_took(&u, 1));
	/* Not for one byte. */
	assert_int_equal(put_data(&u, 1), 0);
	assert_true(frames_up_took(&u, 9999));
	assert_int_equal(put_data(&u, OPFRAME_MAX), 10000);
	assert_true(frames_up_took(&u, OPFRAME_WINDOW));
	assert_false(frames_up_took(&u, 1));
	frames_up_done(&u);
}

/* A file has no window: the stream is one. */
static void without_window(void **state)
{
	struct frames_up u;
	uint64_t sum = 0;

	(void)state;
	assert_true(frames_up_init(&u, false));
	while (sum < 8u * OPFRAME_WINDOW) {
		size_t n = put_data(&u, OPFRAME_MAX);

		assert_int_equal(n, OPFRAME_MAX);
		assert_int_equal(send_all(&u), n + OPFRAME_HEAD);
		sum += n;
	}
	/* Nothing is sent: it is full, but for what gets past. */
	while (put_data(&u, OPFRAME_MAX))
		;
	assert_true(frames_up_put(&u, OPFRAME_SIGNAL, "\2", 1));
	assert_true(frames_up_put(&u, OPFRAME_END, NULL, 0));
	frames_up_done(&u);
}

static void full_of_others(void **state)
{
	struct frames_up u;
	unsigned int n = 0;

	(void)state;
	assert_true(frames_up_init(&u, true));
	while (frames_up_put(&u, OPFRAME_SIZE, "\1\0\1\0", 4))
		n++;
	assert_int_equal(n, u.ring.cap / (OPFRAME_HEAD + OPFRAME_SIZE_LEN));
	assert_int_equal(put_data(&u, 1), 0);
	frames_up_done(&u);
}

/* Frames that go past the ring's end are the same bytes. */
static void past_the_end(void **state)
{
	struct frames_up u;

	(void)state;
	for (size_t before = 0; before < 12; before++) {
		static const uint8_t want[] = {3, 0, 0,   0,   OPFRAME_DATA, 0,
					       0, 0, 'a', 'b', 'c'};
		uint8_t got[sizeof(want)];

		assert_true(frames_up_init(&u, true));
		u.ring.start = u.ring.end = u.ring.cap - before;
		frames_up_copy(&u, "abc", 3);
		ring_get(&u.ring, u.ring.start, got, sizeof(got));
		assert_memory_equal(got, want, sizeof(want));
		assert_int_equal(send_all(&u), sizeof(want));
		frames_up_done(&u);
	}
}

/* ---- frames_down ------------------------------------------------------ */

static void feed(struct frames_down *d, enum opframe_type type, size_t len)
{
	struct iovec v[RING_PARTS];
	uint8_t head[OPFRAME_HEAD];

	opframe_put(head, type, len);
	assert_true(frames_down_room(d, v) > 0);
	ring_put(&d->ring, d->ring.end, head, sizeof(head));
	frames_down_add(d, sizeof(head));
	frames_down_add(d, len);
}

/* More small frames than can be told apart wait in the ring. */
static void many_pieces(void **state)
{
	struct iovec v[FRAMES_PARTS];
	enum opframe_type type;
	struct frames_down d;
	size_t n = 0;

	(void)state;
	assert_true(frames_down_init(&d, FRAMES_PIPES));
	for (unsigned int i = 0; i < 3 * FRAMES_PIECES; i++)
		feed(&d, i % 2 ? OPFRAME_OUT : OPFRAME_ERR, 1);
	feed(&d, OPFRAME_EXIT, OPFRAME_EXIT_LEN);
	while (frames_down_front(&d, v, &type) > 0) {
		assert_int_equal(type, n % 2 ? OPFRAME_OUT : OPFRAME_ERR);
		assert_int_equal(v[0].iov_len, 1);
		assert_false(frames_down_is_over(&d));
		frames_down_wrote(&d, 1);
		n++;
	}
	assert_int_equal(n, 3 * FRAMES_PIECES);
	assert_true(frames_down_is_over(&d));
	frames_down_done(&d);
}

/* One write takes several frames, without their heads. */
static void pieces_go_together(void **state)
{
	struct iovec v[FRAMES_PARTS];
	enum opframe_type type;
	struct frames_down d;

	(void)state;
	assert_true(frames_down_init(&d, FRAMES_PULL));
	for (int i = 0; i < 3; i++)
		feed(&d, OPFRAME_OUT, 100);
	assert_int_equal(frames_down_front(&d, v, &type), 3);
	frames_down_wrote(&d, 150);
	assert_int_equal(frames_down_front(&d, v, &type), 2);
	assert_int_equal(v[0].iov_len, 50);
	frames_down_wrote(&d, 150);
	assert_int_equal(frames_down_front(&d, v, &type), 0);
	assert_int_equal(ring_used(&d.ring), 0);
	frames_down_done(&d);
}

/* ---- escape ----------------------------------------------------------- */

static void escapes(void **state)
{
	static const struct {
		const char *in, *out;
		enum escape_what what;
		size_t used;
	} cases[] = {
		{"ls\r", "ls\r", ESCAPE_NOTHING, 3},
		{"~.", "", ESCAPE_LEAVE, 2},
		{"~.x", "", ESCAPE_LEAVE, 2},
		{"x~.", "x~.", ESCAPE_NOTHING, 3},
		{"x\r~.", "x\r", ESCAPE_LEAVE, 4},
		{"x\n~.", "x\n", ESCAPE_LEAVE, 4},
		{"~~.", "~.", ESCAPE_NOTHING, 3},
		{"~~~.", "~~.", ESCAPE_NOTHING, 4},
		{"~x~.", "~x~.", ESCAPE_NOTHING, 4},
		{"~\r~.", "~\r", ESCAPE_LEAVE, 4},
		{"~\x1ax", "", ESCAPE_STOP, 2},
		{"~", "", ESCAPE_NOTHING, 1},
		{"\xc3\xa4\r~\x1a", "\xc3\xa4\r", ESCAPE_STOP, 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct escape e = {0};
		enum escape_what what;
		uint8_t out[16];
		size_t n, used;

		used = escape_feed(&e, (const uint8_t *)cases[i].in,
				   strlen(cases[i].in), out, &n, &what);
		assert_int_equal(used, cases[i].used);
		assert_int_equal(what, cases[i].what);
		assert_int_equal(n, strlen(cases[i].out));
		assert_memory_equal(out, cases[i].out, n);
	}
}

/* The same, a key at a time, as somebody types. */
static void escape_by_key(void **state)
{
	static const char typed[] = "a\r~x\r~~.\r~\x1a~.";
	struct escape e = {0};
	enum escape_what what = ESCAPE_NOTHING;
	uint8_t out[2];
	char all[sizeof(typed) * 2] = "";
	size_t n, stops = 0;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(typed); i++) {
		assert_int_equal(what == ESCAPE_LEAVE, false);
		assert_int_equal(escape_feed(&e, (const uint8_t *)typed + i, 1,
					     out, &n, &what),
				 1);
		strncat(all, (const char *)out, n);
		stops += what == ESCAPE_STOP;
	}
	assert_int_equal(what, ESCAPE_LEAVE);
	assert_int_equal(stops, 1);
	assert_string_equal(all, "a\r~x\r~.\r");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_is_kept),
		cmocka_unit_test(without_window),
		cmocka_unit_test(full_of_others),
		cmocka_unit_test(past_the_end),
		cmocka_unit_test(many_pieces),
		cmocka_unit_test(pieces_go_together),
		cmocka_unit_test(escapes),
		cmocka_unit_test(escape_by_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
