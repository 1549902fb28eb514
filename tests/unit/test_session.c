/* SPDX-License-Identifier: MIT */
/* test_session.c - two engines: streams, credit, links that break, time */
#include "pair.h"

#include "session/internal.h"
#include "session/wire.h"

#define HOST  0
#define GUEST 1

static const struct vmc_principal nobody = {
	.kind = VMC_PRINCIPAL_HOST, .uid = 1000, .gid = 100};

/* Take what has arrived at @i up to the next event, moving bytes as needed. */
static struct vmc_event next(struct pair *p, int i)
{
	struct vmc_event ev = {.type = VMC_EV_NONE};

	for (int n = 0; n < 100; n++) {
		if (pair_event(p, i, &ev))
			return ev;
		pair_write(p, !i);
		if (!pair_read(p, i, SIZE_MAX))
			break;
	}
	ev.type = VMC_EV_NONE;
	return ev;
}

static struct vmc_event expect(struct pair *p, int i, enum vmc_event_type type)
{
	struct vmc_event ev = next(p, i);

	assert_int_equal(ev.type, type);
	return ev;
}

/* One frame of @n bytes from @i; flags as for pull_done. */
static void send(struct pair *p, int i, vmc_stream h, size_t n,
		 unsigned int flags)
{
	struct vmc_pull pull;

	assert_int_equal(vmc_stream_ready(p->end[i].s, h), 0);
	assert_true(vmc_session_pull(p->end[i].s, &pull, p->now));
	assert_true(pull.stream == h);
	assert_true(n <= pull.len);
	memset(pull.buf, 'd', n);
	vmc_session_pull_done(p->end[i].s, n, flags, p->now);
	assert_null(vmc_session_check(p->end[i].s));
}

static size_t take(struct pair *p, int i, vmc_stream h, size_t most)
{
	struct iovec iov[8];
	size_t total = 0;
	long n;

	while (total < most &&
	       (n = vmc_stream_peek(p->end[i].s, h, iov, 8)) > 0) {
		size_t some =
			(size_t)n < most - total ? (size_t)n : most - total;

		assert_int_equal(vmc_stream_consume(p->end[i].s, h, some), 0);
		total += some;
	}
	assert_null(vmc_session_check(p->end[i].s));
	return total;
}

/* A stream from host to guest, accepted; h[] are both handles. */
static void connect_streams(struct pair *p, vmc_stream h[2])
{
	struct vmc_event ev;

	assert_int_equal(vmc_stream_open(p->end[HOST].s, &h[HOST], "a.b",
					 VMC_OPEN_MESSAGES, &nobody, 5, 1,
					 p->now),
			 0);
	ev = expect(p, GUEST, VMC_EV_OPEN);
	assert_string_equal(ev.name, "a.b");
	assert_int_equal(ev.flags, VMC_OPEN_MESSAGES);
	assert_int_equal(ev.principal.uid, 1000);
	h[GUEST] = ev.stream;
	assert_int_equal(vmc_stream_accept(p->end[GUEST].s, h[GUEST], 1, 1), 0);
	expect(p, HOST, VMC_EV_ACCEPTED);
}

static int setup(void **state)
{
	struct pair *p = malloc(sizeof(*p));

	assert_non_null(p);
	pair_init(p, NULL, NULL);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	pair_free(p);
	free(p);
	return 0;
}

/* Until both are quiet; acks that wait for company go, too. */
static void settle(struct pair *p)
{
	for (int n = 0; n < 4; n++) {
		p->now += 10000;
		for (int i = 0; i < 2; i++) {
			vmc_session_tick(p->end[i].s, p->now);
			assert_int_equal(next(p, i).type, VMC_EV_NONE);
		}
	}
}

/* A new handshake after @i lost sync or both were attached anew. */
static void handshake(struct pair *p, struct vmc_event up[2])
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	up[0].type = up[1].type = VMC_EV_NONE;
	for (int n = 0; n < 40; n++) {
		int i = n & 1;
		struct vmc_event ev = next(p, i);

		if (ev.type == VMC_EV_UP)
			up[i] = ev;
		if (ev.type == VMC_EV_NEED_ENTROPY) {
			pair_entropy(p, entropy);
			vmc_session_resync(p->end[i].s, entropy, p->now);
		}
		if (up[0].type == VMC_EV_UP && up[1].type == VMC_EV_UP)
			return;
	}
	fail_msg("not up");
}

/* What a lone bulk stream of the guest gets: whole frames. */
#define BULK_WINDOW (4u * (VMC_MAX_FRAME - 32u))

/* The guest sends until no more may be in flight; frames that are built. */
static int fill_flight(struct pair *p, const vmc_stream h[2])
{
	struct vmc_stream_info info = {.tx_credit = 0};
	struct vmc_pull pull;
	int frames = 0;

	/* The window first. */
	for (int n = 0; n < 200 && info.tx_credit < BULK_WINDOW; n++) {
		send(p, GUEST, h[GUEST], 1, VMC_PULL_MORE);
		if (vmc_session_pull(p->end[GUEST].s, &pull, p->now))
			vmc_session_pull_done(p->end[GUEST].s, pull.len,
					      VMC_PULL_MORE, p->now);
		while (next(p, HOST).type == VMC_EV_READABLE)
			take(p, HOST, h[HOST], SIZE_MAX);
		next(p, GUEST);
		assert_int_equal(
			vmc_stream_get_info(p->end[GUEST].s, h[GUEST], &info),
			0);
	}
	settle(p);
	while (vmc_session_pull(p->end[GUEST].s, &pull, p->now)) {
		vmc_session_pull_done(p->end[GUEST].s, pull.len, VMC_PULL_MORE,
				      p->now);
		frames++;
	}
	return frames;
}

static void cut(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		vmc_session_detach(p->end[i].s, p->now);
		p->end[i].pipe_len = 0;
	}
}

/* ---- tests
 * ---------------------------------------------------------------------- */

static void config_limits(void **state)
{
	struct vmc_session_config def, c;

	(void)state;
	vmc_session_config_default(&def, VMC_ROLE_HOST);
#define ROW(field, value, good)                                    \
	do {                                                       \
		c = def;                                           \
		c.field = (value);                                 \
		assert_int_equal(vmc_session_size(&c) != 0, good); \
	} while (0)
	ROW(role, 2, 0);
	ROW(max_streams, 0, 0);
	ROW(max_streams, 1, 1);
	ROW(max_streams, VMC_MAX_STREAMS + 1, 0);
	ROW(max_names, 0, 0);
	ROW(max_names, VMC_MAX_NAMES, 1);
	ROW(max_names, VMC_MAX_NAMES + 1, 0);
	ROW(max_frame, VMC_MIN_FRAME, 1);
	ROW(max_frame, VMC_MIN_FRAME - 1, 0);
	ROW(max_frame, VMC_MAX_FRAME + 1, 0);
	ROW(rx_pool, def.max_streams * def.initial_window, 1);
	ROW(rx_pool, def.max_streams * def.initial_window - 1, 0);
	ROW(rx_pool, VMC_MAX_POOL, 1);
	ROW(rx_pool, VMC_MAX_POOL + 1, 0);
	ROW(initial_window, 0, 0);
	ROW(max_window, def.initial_window, 1);
	ROW(max_window, def.initial_window - 1, 0);
	ROW(max_window, VMC_MAX_WINDOW + 1, 0);
	ROW(inflight_bytes, 0, 0);
	ROW(inflight_bytes, VMC_MAX_INFLIGHT, 1);
	ROW(inflight_bytes, VMC_MAX_INFLIGHT + 1, 0);
	ROW(inflight_charge, 33536 + 4096 + 2 * 1792, 1);
	ROW(inflight_charge, 33536 + 4096 + 2 * 1792 - 1, 0);
	ROW(inflight_writes, 16, 1);
	ROW(inflight_writes, 15, 0);
	ROW(version_min, 0, 0);
	ROW(version_min, 2, 0);
	ROW(features_required, 1, 0);
	ROW(hello_retry_us, 0, 0);
#undef ROW
}

static void init_refuses_what_is_too_small_or_askew(void **state)
{
	struct vmc_session_config cfg;
	struct vmc_session *s;
	uint8_t *mem;
	size_t size;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	size = vmc_session_size(&cfg);
	mem = aligned_alloc(64, ((size + 63) & ~(size_t)63) + 64);
	assert_non_null(mem);
	assert_int_equal(vmc_session_init(&s, mem, size, &cfg), 0);
	assert_int_equal(vmc_session_init(&s, mem, size - 1, &cfg),
			 VMC_ERR_INVAL);
	assert_int_equal(vmc_session_init(&s, mem + 8, size, &cfg),
			 VMC_ERR_INVAL);
	free(mem);
}

static void handshake_needs_both(void **state)
{
	struct pair *p = *state;
	struct vmc_session_stats st[2];

	pair_up(p);
	for (int i = 0; i < 2; i++)
		vmc_session_get_stats(p->end[i].s, &st[i]);
	assert_memory_equal(st[0].session_id, st[1].session_id, 16);
	assert_int_equal(st[0].epoch, st[1].epoch);
	assert_int_equal(st[0].version, 1);
	assert_int_equal(st[0].peer_instance, 101);
	settle(p);
	/* Idle: nobody wakes up. */
	for (int i = 0; i < 2; i++)
		assert_true(vmc_session_deadline(p->end[i].s) == UINT64_MAX);
}

static void hello_is_repeated_more_and_more_slowly(void **state)
{
	struct pair *p = *state;
	uint64_t last = p->now, gap, before = 25000;

	pair_attach(p, HOST);
	pair_write(p, HOST);
	for (int n = 0; n < 8; n++) {
		uint64_t t = vmc_session_deadline(p->end[HOST].s);

		gap = t - last;
		assert_true(gap == 2 * before || gap == 2000000);
		before = gap;
		last = p->now = t;
		vmc_session_tick(p->end[HOST].s, p->now);
		assert_true(pair_write(p, HOST) > 0);
	}
}

/* What an earlier agent left in the port is not known. */
static void a_guest_takes_its_port_for_full(void **state)
{
	struct pair *p = *state;
	uint64_t last = p->now, gap = 1000000;

	pair_attach(p, GUEST);
	assert_in_range(pair_write(p, GUEST), 1, HELLO_MAX);
	for (int n = 0; n < 14; n++) {
		uint64_t t = vmc_session_deadline(p->end[GUEST].s);

		assert_int_equal(t - last, gap);
		last = p->now = t;
		vmc_session_tick(p->end[GUEST].s, p->now);
		assert_in_range(pair_write(p, GUEST), 1, HELLO_MAX);
		gap = gap < 1800000000 ? 2 * gap : 3600000000;
	}
}

static void resync_guest(struct pair *p)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	pair_entropy(p, entropy);
	vmc_session_resync(p->end[GUEST].s, entropy, p->now);
}

/* In a session it knows: the preamble goes if it fits. */
static void a_guest_begins_anew_as_the_port_allows(void **state)
{
	struct pair *p = *state;
	struct vmc_session_stats st;
	struct vmc_event up[2];
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	send(p, GUEST, h[GUEST], 100, 0);
	pair_write(p, GUEST);
	resync_guest(p);
	assert_in_range(pair_write(p, GUEST), VMC_MAX_FRAME,
			VMC_MAX_FRAME + HELLO_MAX);
	assert_int_equal(vmc_session_deadline(p->end[GUEST].s) - p->now, 50000);
	handshake(p, up);
	assert_int_equal(take(p, HOST, h[HOST], SIZE_MAX), 100);
	fill_flight(p, h);
	pair_write(p, GUEST);
	vmc_session_get_stats(p->end[GUEST].s, &st);
	assert_true(st.inflight_charge > 163840 - 33536);
	resync_guest(p);
	assert_in_range(pair_write(p, GUEST), 1, HELLO_MAX);
}

/* A host that has said HELLO since is inside no frame. */
static void a_guest_that_was_greeted_needs_no_preamble(void **state)
{
	struct pair *p = *state;
	struct vmc_event ev;
	uint8_t entropy[VMC_ENTROPY_LEN];
	vmc_stream h[2];
	size_t n;

	pair_up(p);
	connect_streams(p, h);
	send(p, GUEST, h[GUEST], 100, 0);
	pair_write(p, GUEST);
	p->end[GUEST].pipe_len = 0;
	pair_entropy(p, entropy);
	vmc_session_resync(p->end[HOST].s, entropy, p->now);
	n = pair_write(p, HOST);
	assert_int_equal(pair_read(p, GUEST, n), n);
	pair_expect(p, GUEST, VMC_EV_DOWN);
	pair_expect(p, GUEST, VMC_EV_NEED_ENTROPY);
	resync_guest(p);
	assert_false(pair_event(p, GUEST, &ev));
	assert_in_range(pair_write(p, GUEST), 2 * HELLO_FIXED, 2 * HELLO_MAX);
}

/* A session that is given up leaves what it wrote in the port. */
static void a_lost_session_leaves_the_port_full(void **state)
{
	struct pair *p = *state;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	send(p, GUEST, h[GUEST], 100, 0);
	pair_write(p, GUEST);
	vmc_session_bye(p->end[GUEST].s, VMC_REASON_SHUTDOWN, p->now);
	pair_write(p, GUEST);
	resync_guest(p);
	assert_in_range(pair_write(p, GUEST), 1, HELLO_MAX);
}

static void names_come_and_go(void **state)
{
	struct pair *p = *state;
	struct vmc_session *g = p->end[GUEST].s;
	struct vmc_event ev;
	const char *name;
	uint32_t pos = 0, flags;

	assert_int_equal(vmc_name_advertise(g, "x.y", VMC_NAME_MESSAGES), 0);
	assert_int_equal(vmc_name_advertise(g, "x.y", 0), VMC_ERR_EXISTS);
	assert_int_equal(vmc_name_advertise(g, "x..y", 0), VMC_ERR_INVAL);
	assert_int_equal(vmc_name_withdraw(g, "z"), VMC_ERR_NOT_FOUND);
	pair_up(p);
	ev = expect(p, HOST, VMC_EV_NAME_ADDED);
	assert_string_equal(ev.name, "x.y");
	assert_int_equal(ev.flags, VMC_NAME_MESSAGES);
	assert_true(vmc_name_next(p->end[HOST].s, &pos, &name, &flags));
	assert_string_equal(name, "x.y");
	assert_false(vmc_name_next(p->end[HOST].s, &pos, &name, &flags));
	assert_int_equal(vmc_name_withdraw(g, "x.y"), 0);
	ev = expect(p, HOST, VMC_EV_NAME_REMOVED);
	assert_string_equal(ev.name, "x.y");
	settle(p);
}

static void names_fill_their_table(void **state)
{
	struct vmc_session_config cfg;
	struct pair *p = *state;
	char name[16];

	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	assert_int_equal(cfg.max_names, 256);
	for (uint32_t i = 0; i < cfg.max_names; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(vmc_name_advertise(p->end[HOST].s, name, 0),
				 0);
	}
	assert_int_equal(vmc_name_advertise(p->end[HOST].s, "more", 0),
			 VMC_ERR_LIMIT);
}

static void bytes_go_both_ways_and_end_in_order(void **state)
{
	struct pair *p = *state;
	struct vmc_event ev;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	send(p, HOST, h[HOST], 100, VMC_PULL_FINISH);
	expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(take(p, GUEST, h[GUEST], 1000), 100);
	assert_true(vmc_stream_at_end(p->end[GUEST].s, h[GUEST]));
	/* Half closed: the other way goes on. */
	send(p, GUEST, h[GUEST], 50, 0);
	expect(p, HOST, VMC_EV_READABLE);
	assert_int_equal(take(p, HOST, h[HOST], 1000), 50);
	assert_false(vmc_stream_at_end(p->end[HOST].s, h[HOST]));
	assert_int_equal(vmc_stream_finish(p->end[GUEST].s, h[GUEST]), 0);
	assert_int_equal(vmc_stream_finish(p->end[GUEST].s, h[GUEST]),
			 VMC_ERR_STATE);
	expect(p, HOST, VMC_EV_READABLE);
	assert_true(vmc_stream_at_end(p->end[HOST].s, h[HOST]));
	ev = expect(p, HOST, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_OK);
	assert_int_equal(ev.bytes_in, 50);
	assert_int_equal(ev.bytes_out, 100);
	p->now += 10000;
	ev = expect(p, GUEST, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_OK);
	assert_int_equal(ev.bytes_in, 100);
	assert_int_equal(ev.bytes_out, 50);
	assert_int_equal(vmc_stream_ready(p->end[GUEST].s, h[GUEST]),
			 VMC_ERR_HANDLE);
	settle(p);
}

static void what_is_not_taken_at_once_waits_in_the_pool(void **state)
{
	struct pair *p = *state;
	struct vmc_session_stats st;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	send(p, HOST, h[HOST], 700, VMC_PULL_MORE);
	expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(take(p, GUEST, h[GUEST], 10), 10);
	send(p, HOST, h[HOST], 200, VMC_PULL_MORE);
	/* There is something already: no second event. */
	assert_int_equal(next(p, GUEST).type, VMC_EV_NONE);
	vmc_session_get_stats(p->end[GUEST].s, &st);
	assert_true(st.pool_used > 0);
	assert_int_equal(take(p, GUEST, h[GUEST], 10000), 890);
	vmc_session_get_stats(p->end[GUEST].s, &st);
	assert_int_equal(st.pool_used, 0);
}

static void data_may_come_before_the_answer(void **state)
{
	struct pair *p = *state;
	struct vmc_event ev;
	vmc_stream h;

	pair_up(p);
	assert_int_equal(vmc_stream_open(p->end[HOST].s, &h, "a", 0, &nobody, 1,
					 1, p->now),
			 0);
	send(p, HOST, h, 1024, VMC_PULL_FINISH);
	ev = expect(p, GUEST, VMC_EV_OPEN);
	assert_int_equal(next(p, GUEST).type, VMC_EV_NONE);
	assert_int_equal(vmc_stream_accept(p->end[GUEST].s, ev.stream, 1, 1),
			 0);
	expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(take(p, GUEST, ev.stream, 5000), 1024);
	assert_true(vmc_stream_at_end(p->end[GUEST].s, ev.stream));
	expect(p, HOST, VMC_EV_ACCEPTED);
}

static void reject_ends_with_its_reason(void **state)
{
	struct pair *p = *state;
	struct vmc_event ev;
	vmc_stream h;

	pair_up(p);
	assert_int_equal(vmc_stream_open(p->end[GUEST].s, &h, "a", 0, &nobody,
					 1, 1, p->now),
			 0);
	send(p, GUEST, h, 10, 0);
	ev = expect(p, HOST, VMC_EV_OPEN);
	assert_int_equal(
		vmc_stream_reject(p->end[HOST].s, ev.stream, VMC_REASON_MODE),
		0);
	assert_int_equal(vmc_stream_reject(p->end[HOST].s, ev.stream, 1),
			 VMC_ERR_HANDLE);
	ev = expect(p, GUEST, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_MODE);
	settle(p);
}

static void stop_ends_one_direction(void **state)
{
	struct pair *p = *state;
	struct vmc_pull pull;
	struct vmc_event ev;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	send(p, HOST, h[HOST], 500, VMC_PULL_MORE);
	expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(
		vmc_stream_stop(p->end[GUEST].s, h[GUEST], VMC_REASON_APP_GONE),
		0);
	assert_int_equal(vmc_stream_stop(p->end[GUEST].s, h[GUEST], 0),
			 VMC_ERR_STATE);
	ev = expect(p, HOST, VMC_EV_STOP);
	assert_int_equal(ev.reason, VMC_REASON_APP_GONE);
	assert_false(vmc_session_pull(p->end[HOST].s, &pull, p->now));
	assert_int_equal(vmc_stream_ready(p->end[HOST].s, h[HOST]),
			 VMC_ERR_STATE);
	/* The other direction lives. */
	send(p, GUEST, h[GUEST], 5, VMC_PULL_FINISH);
	expect(p, HOST, VMC_EV_READABLE);
	assert_int_equal(take(p, HOST, h[HOST], 100), 5);
	p->now += 10000;
	ev = expect(p, GUEST, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_OK);
	p->now += 10000;
	assert_int_equal(expect(p, HOST, VMC_EV_END).reason, VMC_REASON_OK);
}

static void reset_ends_both(void **state)
{
	struct pair *p = *state;
	struct vmc_event ev;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	send(p, HOST, h[HOST], 500, 0);
	assert_int_equal(vmc_stream_reset(p->end[HOST].s, h[HOST], 0x8001), 0);
	ev = expect(p, HOST, VMC_EV_END);
	assert_int_equal(ev.reason, 0x8001);
	assert_int_equal(ev.bytes_out, 0); /* nothing was acked */
	expect(p, GUEST, VMC_EV_READABLE);
	ev = expect(p, GUEST, VMC_EV_END);
	assert_int_equal(ev.reason, 0x8001);
	assert_false(vmc_stream_at_end(p->end[GUEST].s, h[GUEST]));
	settle(p);
}

static void credit_stops_the_sender(void **state)
{
	struct pair *p = *state;
	struct vmc_pull pull;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	/* a guest's initial window */
	send(p, HOST, h[HOST], 4096, VMC_PULL_MORE);
	assert_false(vmc_session_pull(p->end[HOST].s, &pull, p->now));
	expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(next(p, HOST).type, VMC_EV_NONE);
	assert_false(vmc_session_pull(p->end[HOST].s, &pull, p->now));
	take(p, GUEST, h[GUEST], 10000);
	assert_int_equal(next(p, HOST).type, VMC_EV_NONE);
	/* Used up and taken: the window has doubled. */
	assert_true(vmc_session_pull(p->end[HOST].s, &pull, p->now));
	assert_int_equal(pull.len, 8192);
	vmc_session_pull_done(p->end[HOST].s, 0, 0, p->now);
}

static void window_grows_to_its_share(void **state)
{
	struct pair *p = *state;
	struct vmc_stream_info info;
	struct vmc_pull pull;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	assert_int_equal(vmc_stream_ready(p->end[GUEST].s, h[GUEST]), 0);
	for (int n = 0; n < 400; n++) {
		while (vmc_session_pull(p->end[GUEST].s, &pull, p->now)) {
			memset(pull.buf, 'x', pull.len);
			vmc_session_pull_done(p->end[GUEST].s, pull.len,
					      VMC_PULL_MORE, p->now);
		}
		while (next(p, HOST).type == VMC_EV_READABLE)
			take(p, HOST, h[HOST], SIZE_MAX);
		next(p, GUEST);
	}
	assert_int_equal(vmc_stream_get_info(p->end[HOST].s, h[HOST], &info),
			 0);
	/* two thirds of two thirds of 448 KiB less 255 initial windows are
	 * 142 KiB */
	assert_int_equal(info.rx_window, BULK_WINDOW);
}

#define CROWD 30

/* @n streams from guest to host, accepted; the first has an owner of its own */
static void connect_crowd(struct pair *p, vmc_stream h[][2], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint64_t owner = i != 0;

		assert_int_equal(vmc_stream_open(p->end[GUEST].s, &h[i][GUEST],
						 "a", 0, &nobody, owner, 1,
						 p->now),
				 0);
		h[i][HOST] = expect(p, HOST, VMC_EV_OPEN).stream;
		assert_int_equal(
			vmc_stream_accept(p->end[HOST].s, h[i][HOST], owner, 1),
			0);
		assert_int_equal(vmc_stream_ready(p->end[GUEST].s, h[i][GUEST]),
				 0);
		expect(p, GUEST, VMC_EV_ACCEPTED);
	}
}

/* Host to guest, until the stream may send more than may be in flight. */
static void grow_window(struct pair *p, const vmc_stream h[2])
{
	struct vmc_stream_info info = {.tx_credit = 0};
	struct vmc_pull pull;

	for (int n = 0; n < 400 && info.tx_credit < 200u * 1024u; n++) {
		assert_int_equal(vmc_stream_ready(p->end[HOST].s, h[HOST]), 0);
		assert_true(vmc_session_pull(p->end[HOST].s, &pull, p->now));
		vmc_session_pull_done(p->end[HOST].s, pull.len, 0, p->now);
		while (next(p, GUEST).type == VMC_EV_READABLE)
			take(p, GUEST, h[GUEST], SIZE_MAX);
		next(p, HOST);
		assert_int_equal(
			vmc_stream_get_info(p->end[HOST].s, h[HOST], &info), 0);
	}
	settle(p);
}

/* Beyond the cap there is room for streams that seldom send, not for one
 * that has sent all it had and comes again. */
static void bulk_waits_at_the_cap(void **state)
{
	struct pair *p = *state;
	struct vmc_pull pull;
	vmc_stream h[2][2];

	pair_up(p);
	connect_crowd(p, h, 2);
	grow_window(p, h[0]);
	assert_int_equal(vmc_stream_ready(p->end[HOST].s, h[0][HOST]), 0);
	for (int n = 0; n < 6; n++) {
		assert_true(vmc_session_pull(p->end[HOST].s, &pull, p->now));
		assert_int_equal(pull.len, VMC_MAX_FRAME - 32);
		vmc_session_pull_done(p->end[HOST].s, pull.len,
				      n < 5 ? VMC_PULL_MORE : 0, p->now);
	}
	assert_false(vmc_session_pull(p->end[HOST].s, &pull, p->now));
	assert_int_equal(vmc_stream_ready(p->end[HOST].s, h[0][HOST]), 0);
	assert_false(vmc_session_pull(p->end[HOST].s, &pull, p->now));
	assert_int_equal(vmc_stream_ready(p->end[HOST].s, h[1][HOST]), 0);
	assert_true(vmc_session_pull(p->end[HOST].s, &pull, p->now));
	assert_true(pull.stream == h[1][HOST]);
	vmc_session_pull_done(p->end[HOST].s, 1, 0, p->now);
	assert_null(vmc_session_check(p->end[HOST].s));
}

static uint32_t window_of(const struct pair *p, vmc_stream h)
{
	struct vmc_stream_info info;

	assert_int_equal(vmc_stream_get_info(p->end[HOST].s, h, &info), 0);
	return info.rx_window;
}

/* Who opens many streams is not granted more than who has one. */
static void credit_is_shared_by_owners(void **state)
{
	struct pair *p = *state;
	vmc_stream h[CROWD + 1][2];
	uint64_t lone = 0, crowd = 0;
	struct vmc_event ev;
	struct vmc_pull pull;

	pair_up(p);
	connect_crowd(p, h, CROWD + 1);
	for (unsigned int n = 0; n < 2000; n++) {
		while (vmc_session_pull(p->end[GUEST].s, &pull, p->now))
			vmc_session_pull_done(p->end[GUEST].s, pull.len,
					      VMC_PULL_MORE, p->now);
		while ((ev = next(p, HOST)).type == VMC_EV_READABLE)
			take(p, HOST, ev.stream, SIZE_MAX);
		next(p, GUEST);
		lone += window_of(p, h[0][HOST]);
		for (unsigned int i = 1; i <= CROWD; i++)
			crowd += window_of(p, h[i][HOST]);
	}
	assert_true(lone > 2000 * 64 * 1024);
	assert_true(crowd < lone + lone / 8);
	assert_true(lone < crowd + crowd / 8);
}

/* Bytes that a reader which stopped leaves are not the next stream's loss. */
static void a_stuck_stream_leaves_the_next_a_window(void **state)
{
	struct pair *p = *state;
	struct vmc_session_stats st;
	vmc_stream h[3][2];
	struct vmc_event ev;
	struct vmc_pull pull;

	pair_up(p);
	connect_crowd(p, h, 3);
	for (unsigned int n = 0; n < 1000; n++) {
		/* of the same owner: 1 is read first, then 2 instead */
		vmc_stream unread = h[n < 500 ? 2 : 1][HOST];

		while (vmc_session_pull(p->end[GUEST].s, &pull, p->now))
			vmc_session_pull_done(p->end[GUEST].s, pull.len,
					      VMC_PULL_MORE, p->now);
		while ((ev = next(p, HOST)).type == VMC_EV_READABLE)
			if (ev.stream != unread)
				take(p, HOST, ev.stream, SIZE_MAX);
		if (n == 500)
			take(p, HOST, h[2][HOST], SIZE_MAX);
		next(p, GUEST);
	}
	assert_true(window_of(p, h[2][HOST]) >= VMC_MAX_FRAME / 2);
	vmc_session_get_stats(p->end[HOST].s, &st);
	assert_true(st.pool_used > VMC_MAX_FRAME);
}

static void unacked_bytes_are_capped(void **state)
{
	struct pair *p = *state;
	struct vmc_session_stats st;
	vmc_stream h[2];
	int frames;

	pair_up(p);
	connect_streams(p, h);
	frames = fill_flight(p, h);
	vmc_session_get_stats(p->end[GUEST].s, &st);
	assert_in_range(frames, 1, 6);
	assert_in_range(st.inflight_bytes, 90000, 131072 + 4096);
	assert_in_range(st.inflight_charge, 90000, 163840);
}

static void small_writes_are_capped_by_their_number(void **state)
{
	struct pair *p = *state;
	struct vmc_session_stats st;
	struct vmc_pull pull;
	vmc_stream h[2];
	int n = 0;

	pair_up(p);
	connect_streams(p, h);
	settle(p);
	/* One byte and one write each time: nothing is coalesced. */
	assert_int_equal(vmc_stream_ready(p->end[GUEST].s, h[GUEST]), 0);
	while (vmc_session_pull(p->end[GUEST].s, &pull, p->now)) {
		vmc_session_pull_done(p->end[GUEST].s, 1, VMC_PULL_MORE,
				      p->now);
		pair_write(p, GUEST);
		n++;
	}
	vmc_session_get_stats(p->end[GUEST].s, &st);
	assert_in_range(n, 60, 240);
	assert_in_range(st.inflight_writes, 60, 240);
	assert_in_range(st.inflight_charge, 0, 163840);
}

/* How many frames of @n bytes, each a write of its own if @alone, go out to a
 * peer that never acks, from a guest with these limits? */
static unsigned int frames_until_full(const struct vmc_session_config *cfg,
				      size_t n, bool alone,
				      struct vmc_session_stats *ret)
{
	struct vmc_session_config h;
	struct vmc_pull pull;
	unsigned int frames = 0;
	struct pair p;
	vmc_stream s;

	vmc_session_config_default(&h, VMC_ROLE_HOST);
	h.max_streams = 1;
	h.initial_window = 100000;
	pair_init(&p, &h, cfg);
	pair_up(&p);
	settle(&p);
	assert_int_equal(vmc_stream_open(p.end[GUEST].s, &s, "a", 0, &nobody, 1,
					 1, p.now),
			 0);
	pair_write(&p, GUEST);
	assert_int_equal(vmc_stream_ready(p.end[GUEST].s, s), 0);
	while (vmc_session_pull(p.end[GUEST].s, &pull, p.now)) {
		if (n > pull.len)
			n = pull.len;
		memset(pull.buf, 'x', n);
		vmc_session_pull_done(p.end[GUEST].s, n, VMC_PULL_MORE, p.now);
		if (alone)
			pair_write(&p, GUEST);
		frames++;
	}
	vmc_session_get_stats(p.end[GUEST].s, ret);
	pair_free(&p);
	return frames;
}

static void each_cap_on_what_is_in_flight_binds(void **state)
{
	struct vmc_session_config def, c;
	struct vmc_session_stats st;

	(void)state;
	vmc_session_config_default(&def, VMC_ROLE_GUEST);
	c = def;
	c.inflight_bytes = 10000;
	frames_until_full(&c, 5000, true, &st);
	assert_in_range(st.inflight_bytes, 5000, 10000 + 4096);
	c = def;
	c.inflight_writes = 40;
	c.inflight_charge = 1000000;
	frames_until_full(&c, 1, true, &st);
	assert_int_equal(st.inflight_writes, 40 - 8);
	c = def;
	c.inflight_bytes = 6000; /* 64 frames, 16 of them for control */
	assert_in_range(frames_until_full(&c, 1, false, &st), 40, 48);
	c = def;
	frames_until_full(&c, 1, true, &st);
	assert_in_range(st.inflight_charge, 100000, 163840 - 4096);
}

static void small_frames_share_a_write(void **state)
{
	struct pair *p = *state;
	struct vmc_session_stats before, after;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	settle(p);
	vmc_session_get_stats(p->end[HOST].s, &before);
	for (int n = 0; n < 10; n++)
		send(p, HOST, h[HOST], 64, VMC_PULL_MORE);
	pair_write(p, HOST);
	vmc_session_get_stats(p->end[HOST].s, &after);
	assert_int_equal(after.writes_out - before.writes_out, 1);
	assert_int_equal(after.frames_out - before.frames_out, 10);
}

static void a_cut_loses_nothing(void **state)
{
	struct pair *p = *state;
	struct vmc_event up[2], ev;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	settle(p);
	send(p, HOST, h[HOST], 300, VMC_PULL_FINISH);
	pair_write(p, HOST); /* into a pipe that breaks */
	cut(p);
	assert_int_equal(next(p, HOST).type, VMC_EV_DOWN);
	assert_int_equal(vmc_stream_open(p->end[HOST].s, &h[GUEST], "x", 0,
					 &nobody, 1, 1, p->now),
			 VMC_ERR_NOT_UP);
	pair_attach(p, HOST);
	pair_attach(p, GUEST);
	handshake(p, up);
	assert_true(up[0].resumed && up[1].resumed);
	ev = expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(take(p, GUEST, ev.stream, 1000), 300);
	assert_true(vmc_stream_at_end(p->end[GUEST].s, ev.stream));
}

/* Cut at every byte of a unit: what was whole is not sent again. */
static void a_cut_at_any_byte_doubles_nothing(void **state)
{
	(void)state;
	for (size_t at = 0; at <= 3 * 132; at++) {
		struct pair p;
		struct vmc_event up[2], ev;
		vmc_stream h[2];
		size_t got = 0;

		pair_init(&p, NULL, NULL);
		pair_up(&p);
		connect_streams(&p, h);
		settle(&p);
		for (int n = 0; n < 3; n++)
			send(&p, HOST, h[HOST], 100, VMC_PULL_MORE);
		pair_write(&p, HOST);
		pair_read(&p, GUEST, at);
		while (pair_event(&p, GUEST, &ev))
			got += take(&p, GUEST, h[GUEST], SIZE_MAX);
		assert_int_equal(got, at / 132 * 100);
		cut(&p);
		pair_attach(&p, HOST);
		pair_attach(&p, GUEST);
		handshake(&p, up);
		assert_true(up[0].resumed && up[1].resumed);
		for (ev = next(&p, GUEST); ev.type != VMC_EV_NONE;
		     ev = next(&p, GUEST))
			got += take(&p, GUEST, h[GUEST], SIZE_MAX);
		assert_int_equal(got, 300);
		pair_free(&p);
	}
}

static void a_restarted_peer_ends_the_streams(void **state)
{
	struct pair *p = *state;
	struct vmc_session_config cfg;
	struct vmc_event ev;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	cut(p);
	free(p->end[GUEST].mem);
	free(p->end[GUEST].pipe);
	vmc_session_config_default(&cfg, VMC_ROLE_GUEST);
	cfg.instance = 999;
	end_init(&p->end[GUEST], &cfg);
	expect(p, HOST, VMC_EV_DOWN);
	pair_attach(p, HOST);
	pair_attach(p, GUEST);
	for (int n = 0; n < 10; n++) {
		ev = next(p, HOST);
		if (ev.type != VMC_EV_NONE)
			break;
		next(p, GUEST);
	}
	assert_int_equal(ev.type, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_AGENT_LOST);
	/* Up only when the application was told so. */
	assert_int_equal(vmc_stream_open(p->end[HOST].s, &h[0], "a", 0, &nobody,
					 1, 1, p->now),
			 VMC_ERR_NOT_UP);
	ev = expect(p, HOST, VMC_EV_UP);
	assert_false(ev.resumed);
}

static void a_rolled_back_end_is_found_out(void **state)
{
	struct pair *p = *state;
	struct vmc_session_config cfg;
	struct vmc_event ev;
	vmc_stream h[2];
	size_t size;
	void *copy;

	pair_up(p);
	connect_streams(p, h);
	settle(p);
	vmc_session_config_default(&cfg, VMC_ROLE_GUEST);
	size = vmc_session_size(&cfg);
	copy = malloc(size);
	assert_non_null(copy);
	memcpy(copy, p->end[GUEST].mem, size);
	/* Both counters move on by one frame... */
	send(p, GUEST, h[GUEST], 10, VMC_PULL_MORE);
	expect(p, HOST, VMC_EV_READABLE);
	take(p, HOST, h[HOST], 100);
	/* ...then the guest goes back and sends another one instead. */
	memcpy(p->end[GUEST].mem, copy, size);
	free(copy);
	send(p, GUEST, h[GUEST], 11, VMC_PULL_MORE);
	cut(p);
	expect(p, HOST, VMC_EV_DOWN);
	pair_attach(p, HOST);
	pair_attach(p, GUEST);
	for (int n = 0; n < 10; n++) {
		ev = next(p, HOST);
		if (ev.type != VMC_EV_NONE)
			break;
		next(p, GUEST);
	}
	assert_int_equal(ev.type, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_ROLLBACK);
}

/* Another link; nobody has read anything of it yet. */
static void link_anew(struct pair *p)
{
	struct vmc_event ev;

	cut(p);
	for (int i = 0; i < 2; i++) {
		while (pair_event(p, i, &ev))
			assert_int_equal(ev.type, VMC_EV_DOWN);
		pair_attach(p, i);
	}
}

/* Return: why the stream of @i ended, which is up first; OK: it did not. */
static unsigned int end_reason(struct pair *p, int i)
{
	for (int n = 0; n < 10; n++) {
		struct vmc_event ev;

		next(p, !i);
		ev = next(p, i);
		if (ev.type == VMC_EV_END)
			return ev.reason;
	}
	return VMC_REASON_OK;
}

/* @first finds out, and what it says about it is lost with the link. */
static void told_after_all(int back, int first)
{
	struct vmc_session_config cfg;
	struct vmc_event ev;
	struct pair p;
	vmc_stream h[2];
	size_t size;
	void *copy;

	pair_init(&p, NULL, NULL);
	pair_up(&p);
	connect_streams(&p, h);
	settle(&p);
	vmc_session_config_default(&cfg, (enum vmc_role)back);
	size = vmc_session_size(&cfg);
	copy = malloc(size);
	assert_non_null(copy);
	memcpy(copy, p.end[back].mem, size);
	send(&p, back, h[back], 10, VMC_PULL_MORE);
	expect(&p, !back, VMC_EV_READABLE);
	take(&p, !back, h[!back], 100);
	/* As by a snapshot. */
	memcpy(p.end[back].mem, copy, size);
	free(copy);
	link_anew(&p);
	assert_int_equal(end_reason(&p, first), VMC_REASON_ROLLBACK);
	expect(&p, first, VMC_EV_UP);
	/* The other one has not read the answer. */
	link_anew(&p);
	assert_int_equal(end_reason(&p, !first), VMC_REASON_ROLLBACK);
	/* It was for that one: what is lost next has a reason of its own. */
	for (int n = 0; n < 10; n++) {
		do
			ev = next(&p, HOST);
		while (ev.type != VMC_EV_NONE);
		next(&p, GUEST);
	}
	assert_int_equal(p.end[first].s->explain, 0);
	assert_int_equal(p.end[!first].s->explain, 0);
	pair_free(&p);
}

static void a_rollback_is_told_even_if_the_link_dies(void **state)
{
	(void)state;
	told_after_all(GUEST, HOST);
	told_after_all(GUEST, GUEST);
	told_after_all(HOST, HOST);
	told_after_all(HOST, GUEST);
}

static void the_block_may_move(void **state)
{
	struct pair *p = *state;
	struct vmc_session_config cfg;
	struct vmc_event ev;
	vmc_stream h[2];
	size_t size;
	void *moved;

	pair_up(p);
	connect_streams(p, h);
	vmc_session_config_default(&cfg, VMC_ROLE_GUEST);
	size = (vmc_session_size(&cfg) + 63) & ~(size_t)63;
	moved = aligned_alloc(64, size);
	assert_non_null(moved);
	memcpy(moved, p->end[GUEST].mem, vmc_session_size(&cfg));
	memset(p->end[GUEST].mem, 0xee, vmc_session_size(&cfg));
	free(p->end[GUEST].mem);
	p->end[GUEST].mem = moved;
	p->end[GUEST].s = moved;
	send(p, HOST, h[HOST], 10, 0);
	ev = expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(take(p, GUEST, ev.stream, 100), 10);
}

static void grace_ends_the_streams(void **state)
{
	struct pair *p = *state;
	struct vmc_event ev;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	cut(p);
	expect(p, HOST, VMC_EV_DOWN);
	assert_true(vmc_session_deadline(p->end[HOST].s) == p->now + 300000000);
	p->now += 299999999;
	vmc_session_tick(p->end[HOST].s, p->now);
	assert_int_equal(next(p, HOST).type, VMC_EV_NONE);
	p->now++;
	vmc_session_tick(p->end[HOST].s, p->now);
	ev = expect(p, HOST, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_SESSION_LOST);
	assert_true(vmc_session_deadline(p->end[HOST].s) == UINT64_MAX);
}

/* A paused machine cannot come back in time, however long its grace is. */
static void grace_waits_while_the_peer_stands(void **state)
{
	struct pair *p = *state;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	cut(p);
	expect(p, HOST, VMC_EV_DOWN);
	p->now += 100000000;
	vmc_session_peer_stands(p->end[HOST].s, true, p->now);
	assert_true(vmc_session_deadline(p->end[HOST].s) == UINT64_MAX);
	p->now += UINT64_C(10000000000);
	vmc_session_tick(p->end[HOST].s, p->now);
	assert_int_equal(next(p, HOST).type, VMC_EV_NONE);
	/* Said twice changes nothing; then it begins anew. */
	vmc_session_peer_stands(p->end[HOST].s, false, p->now);
	p->now += 1000;
	vmc_session_peer_stands(p->end[HOST].s, false, p->now);
	assert_true(vmc_session_deadline(p->end[HOST].s) ==
		    p->now - 1000 + 300000000);
	p->now += 300000000;
	vmc_session_tick(p->end[HOST].s, p->now);
	expect(p, HOST, VMC_EV_END);
}

/* Who says so may be wrong: a peer that moves all the same is heard. */
static void a_peer_that_should_stand_is_heard(void **state)
{
	struct pair *p = *state;
	vmc_stream h[2];

	vmc_session_peer_stands(p->end[HOST].s, true, p->now);
	pair_up(p);
	connect_streams(p, h);
	send(p, GUEST, h[GUEST], 10, 0);
	expect(p, HOST, VMC_EV_READABLE);
	assert_int_equal(take(p, HOST, h[HOST], 100), 10);
}

static void a_hello_can_be_repeated_at_once(void **state)
{
	struct pair *p = *state;
	struct vmc_session *s = p->end[HOST].s;
	uint64_t due;

	vmc_session_greet_again(s); /* there is no link */
	assert_int_equal(pair_write(p, HOST), 0);
	pair_attach(p, HOST);
	while (pair_write(p, HOST) > 0)
		;
	/* Its patience has grown. */
	do {
		due = vmc_session_deadline(s);
		p->now = due;
		vmc_session_tick(s, p->now);
		pair_write(p, HOST);
	} while (vmc_session_deadline(s) < due + 1000000);
	assert_int_equal(pair_write(p, HOST), 0);
	vmc_session_greet_again(s);
	assert_in_range(pair_write(p, HOST), 1, HELLO_MAX);
	assert_true(vmc_session_deadline(s) < p->now + 1000000);
	/* One that has an answer is over. */
	pair_up(p);
	vmc_session_greet_again(s);
	assert_int_equal(pair_write(p, HOST), 0);
}

static void bye_reaches_the_peer(void **state)
{
	struct pair *p = *state;
	struct vmc_event ev;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	vmc_session_bye(p->end[HOST].s, VMC_REASON_SHUTDOWN, p->now);
	ev = expect(p, GUEST, VMC_EV_DOWN);
	assert_int_equal(ev.reason, VMC_REASON_SHUTDOWN);
	ev = expect(p, GUEST, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_SHUTDOWN);
	expect(p, HOST, VMC_EV_DOWN);
	expect(p, HOST, VMC_EV_END);
}

/* BYE never tears a unit that a stream socket took half of. */
static void bye_waits_for_the_rest_of_a_unit(void **state)
{
	struct pair *p = *state;
	struct end *e = &p->end[HOST];
	const uint8_t *buf;
	vmc_stream h[2];
	size_t n;

	pair_up(p);
	connect_streams(p, h);
	settle(p);
	send(p, HOST, h[HOST], 300, 0);
	n = vmc_session_output(e->s, &buf, p->now);
	assert_int_equal(n, 332);
	memcpy(e->pipe, buf, 100);
	e->pipe_len = 100;
	vmc_session_output_done(e->s, 100, p->now);
	vmc_session_bye(e->s, VMC_REASON_SHUTDOWN, p->now);
	expect(p, GUEST, VMC_EV_READABLE);
	assert_int_equal(expect(p, GUEST, VMC_EV_DOWN).reason,
			 VMC_REASON_SHUTDOWN);
}

static void a_silent_peer_is_stalled_until_it_acks(void **state)
{
	struct pair *p = *state;
	vmc_stream h[2];

	pair_up(p);
	connect_streams(p, h);
	settle(p);
	send(p, HOST, h[HOST], 10, 0);
	pair_write(p, HOST);
	assert_true(vmc_session_deadline(p->end[HOST].s) == p->now + 5000000);
	p->now += 5000000;
	vmc_session_tick(p->end[HOST].s, p->now);
	pair_expect(p, HOST, VMC_EV_STALLED);
	expect(p, GUEST, VMC_EV_READABLE);
	p->now += 10000;
	expect(p, HOST, VMC_EV_UNSTALLED);
	settle(p);
	assert_true(vmc_session_deadline(p->end[HOST].s) == UINT64_MAX);
}

static void a_lost_middle_is_sent_again(void **state)
{
	struct pair *p = *state;
	struct vmc_event up[2];
	vmc_stream h[2];
	size_t got = 0;

	pair_up(p);
	connect_streams(p, h);
	settle(p);
	for (int n = 0; n < 4; n++) {
		send(p, HOST, h[HOST], 100, VMC_PULL_MORE);
		if (n != 1) {
			pair_write(p, HOST);
			continue;
		}
		pair_read(p, GUEST, SIZE_MAX);
		while (next(p, GUEST).type == VMC_EV_READABLE)
			got += take(p, GUEST, h[GUEST], SIZE_MAX);
		send(p, HOST, h[HOST], 100, VMC_PULL_MORE);
		pair_write(p, HOST);
		p->end[HOST].pipe_len = 0;
	}
	expect(p, GUEST, VMC_EV_DOWN);
	handshake(p, up);
	assert_true(up[0].resumed && up[1].resumed);
	while (next(p, GUEST).type == VMC_EV_READABLE)
		got += take(p, GUEST, h[GUEST], SIZE_MAX);
	assert_int_equal(got, 500);
}

static void handles_are_checked(void **state)
{
	struct pair *p = *state;
	struct vmc_session *s = p->end[HOST].s;
	struct vmc_stream_info info;
	vmc_stream h[2];

	assert_int_equal(vmc_stream_open(s, &h[0], "a", 0, &nobody, 1, 1, 0),
			 VMC_ERR_NOT_UP);
	pair_up(p);
	assert_int_equal(vmc_stream_open(s, &h[0], "a b", 0, &nobody, 1, 1, 0),
			 VMC_ERR_INVAL);
	assert_int_equal(vmc_stream_open(s, &h[0], "a", 2, &nobody, 1, 1, 0),
			 VMC_ERR_INVAL);
	assert_int_equal(vmc_stream_open(s, &h[0], "a", 0, &nobody, 1, 0, 0),
			 VMC_ERR_INVAL);
	assert_int_equal(vmc_stream_open(s, &h[0], "a", 0, &nobody, 1, 17, 0),
			 VMC_ERR_INVAL);
	connect_streams(p, h);
	assert_int_equal(vmc_stream_get_info(s, h[0] + 1, &info),
			 VMC_ERR_HANDLE);
	assert_int_equal(vmc_stream_get_info(s, 0, &info), VMC_ERR_HANDLE);
	assert_int_equal(vmc_stream_get_info(s, UINT64_MAX, &info),
			 VMC_ERR_HANDLE);
	assert_int_equal(vmc_stream_accept(s, h[0], 1, 1), VMC_ERR_STATE);
	assert_int_equal(vmc_stream_consume(s, h[0], 1), VMC_ERR_INVAL);
	assert_int_equal(vmc_stream_reset(s, h[0], 0x10000), VMC_ERR_INVAL);
}

static void the_stream_table_ends(void **state)
{
	struct pair *p = *state;
	struct vmc_session *s = p->end[HOST].s;
	struct vmc_session_stats st;
	vmc_stream h;

	pair_up(p);
	for (int n = 0; n < 256; n++)
		assert_int_equal(vmc_stream_open(s, &h, "a", 0, &nobody,
						 (uint64_t)n, 1, p->now),
				 0);
	assert_int_equal(vmc_stream_open(s, &h, "a", 0, &nobody, 1, 1, p->now),
			 VMC_ERR_LIMIT);
	vmc_session_get_stats(s, &st);
	assert_int_equal(st.limit_streams, 1);
	assert_null(vmc_session_check(s));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_limits),
		cmocka_unit_test(init_refuses_what_is_too_small_or_askew),
		T(handshake_needs_both),
		T(hello_is_repeated_more_and_more_slowly),
		T(a_guest_takes_its_port_for_full),
		T(a_guest_begins_anew_as_the_port_allows),
		T(a_guest_that_was_greeted_needs_no_preamble),
		T(a_lost_session_leaves_the_port_full),
		T(names_come_and_go),
		T(names_fill_their_table),
		T(bytes_go_both_ways_and_end_in_order),
		T(what_is_not_taken_at_once_waits_in_the_pool),
		T(data_may_come_before_the_answer),
		T(reject_ends_with_its_reason),
		T(stop_ends_one_direction),
		T(reset_ends_both),
		T(credit_stops_the_sender),
		T(window_grows_to_its_share),
		T(bulk_waits_at_the_cap),
		T(credit_is_shared_by_owners),
		T(a_stuck_stream_leaves_the_next_a_window),
		T(unacked_bytes_are_capped),
		T(small_writes_are_capped_by_their_number),
		cmocka_unit_test(each_cap_on_what_is_in_flight_binds),
		T(small_frames_share_a_write),
		T(a_cut_loses_nothing),
		cmocka_unit_test(a_cut_at_any_byte_doubles_nothing),
		T(a_restarted_peer_ends_the_streams),
		T(a_rolled_back_end_is_found_out),
		T(a_rollback_is_told_even_if_the_link_dies),
		T(the_block_may_move),
		T(grace_ends_the_streams),
		T(grace_waits_while_the_peer_stands),
		T(a_peer_that_should_stand_is_heard),
		T(a_hello_can_be_repeated_at_once),
		T(bye_reaches_the_peer),
		T(bye_waits_for_the_rest_of_a_unit),
		T(a_silent_peer_is_stalled_until_it_acks),
		T(a_lost_middle_is_sent_again),
		T(handles_are_checked),
		T(the_stream_table_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
