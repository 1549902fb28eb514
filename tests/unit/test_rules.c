/* SPDX-License-Identifier: MIT */
/*
 * test_rules.c - one engine against a hand-made peer: each row of the blame
 * table, versions, features, grease
 */
#include "raw.h"

#include "base/bytes.h"
#include "session/internal.h"

struct fixture {
	struct raw raw;
	struct vmc_session_stats st;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	raw_init(&f->raw, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	raw_free(&f->raw);
	free(f);
	return 0;
}

static const struct vmc_session_stats *stats(struct fixture *f)
{
	raw_stats(&f->raw, &f->st);
	return &f->st;
}

/* Stream 1, opened by the raw peer and accepted. */
static vmc_stream open_one(struct raw *r)
{
	struct vmc_event ev;

	raw_open(r, 1);
	ev = raw_event(r);
	assert_int_equal(ev.type, VMC_EV_OPEN);
	assert_string_equal(ev.name, "a.b");
	assert_int_equal(ev.principal.uid, 1000);
	assert_int_equal(vmc_stream_accept(r->s, ev.stream, 1, 1), 0);
	raw_expect(r, WIRE_ACCEPT, NULL);
	return ev.stream;
}

static uint16_t reason_in(const uint8_t *payload)
{
	uint16_t reason;

	assert_true(wire_get_reason(payload, 4, &reason));
	return reason;
}

/* The engine ends the session and says why. */
static void expect_bye(struct raw *r, unsigned int reason)
{
	const uint8_t *payload;
	struct vmc_event ev = raw_event(r);

	assert_int_equal(ev.type, VMC_EV_DOWN);
	assert_int_equal(ev.reason, reason);
	raw_expect(r, WIRE_BYE, &payload);
	assert_int_equal(reason_in(payload), reason);
}

/* The engine resets one stream and goes on. */
static void expect_reset(struct raw *r, unsigned int reason)
{
	struct vmc_event ev = raw_event(r);
	const uint8_t *payload;

	assert_int_equal(ev.type, VMC_EV_END);
	assert_int_equal(ev.reason, reason);
	raw_expect(r, WIRE_RESET, &payload);
	assert_int_equal(reason_in(payload), reason);
	raw_send(r, WIRE_PING, 0, 0, "12345678", 8);
	raw_event(r);
	raw_expect(r, WIRE_PONG, NULL);
}

/* Sync is lost, nobody is blamed. */
static void expect_resync(struct raw *r)
{
	assert_int_equal(raw_event(r).type, VMC_EV_DOWN);
	assert_int_equal(raw_event(r).type, VMC_EV_NEED_ENTROPY);
}

/* ---- the session's victims
 * --------------------------------------------------- */

struct bad_frame {
	uint8_t type, flags;
	uint32_t stream;
	size_t len;
};

static void frames_that_break_a_rule_end_the_session(void **state)
{
	static const struct bad_frame bad[] = {
		{WIRE_ACK, 0, 0, 1},
		{WIRE_ACK, 1, 0, 0},
		{WIRE_ACK, 0, 1, 0},
		{WIRE_PING, 0, 0, 7},
		{WIRE_PING, 0, 0, 9},
		{WIRE_PONG, 0, 0, 7},
		{WIRE_PONG, 0, 0, 9},
		{WIRE_BYE, 0, 0, 3},
		{WIRE_BYE, 0, 0, 5},
		{WIRE_OPEN, 0, 1, 17},
		{WIRE_OPEN, 0, 1, 82},
		{WIRE_OPEN, 0, 0, 20},
		{WIRE_ACCEPT, 0, 2, 1},
		{WIRE_REJECT, 0, 2, 3},
		{WIRE_REJECT, 0, 2, 5},
		{WIRE_DATA, 2, 1, 1},
		{WIRE_DATA, 0, 0, 1},
		{WIRE_CREDIT, 0, 1, 7},
		{WIRE_CREDIT, 0, 1, 9},
		{WIRE_STOP, 0, 1, 3},
		{WIRE_STOP, 0, 1, 5},
		{WIRE_RESET, 0, 1, 3},
		{WIRE_RESET, 0, 1, 5},
		{WIRE_ADVERTISE, 0, 0, 5},
		{WIRE_ADVERTISE, 0, 0, 70},
		{WIRE_ADVERTISE, 0, 1, 6},
		{WIRE_WITHDRAW, 0, 0, 1},
		{WIRE_WITHDRAW, 0, 0, 66},
		{0x05, 0, 0, 0},
		{0x13, 0, 1, 0},
		{0x7f, 0, 0, 0},
	};
	static const uint8_t zeros[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fixture *f = calloc(1, sizeof(*f));

		raw_init(&f->raw, NULL);
		raw_up(&f->raw);
		open_one(&f->raw);
		raw_send(&f->raw, bad[i].type, bad[i].flags, bad[i].stream,
			 zeros, bad[i].len);
		expect_bye(&f->raw, VMC_REASON_PROTOCOL);
		assert_int_equal(raw_event(&f->raw).type, VMC_EV_END);
		assert_int_equal(stats(f)->bad_frame, 1);
		assert_int_equal(f->st.state, VMC_SESSION_REFUSED);
		raw_free(&f->raw);
		free(f);
	}
}

static void open_of_wrong_parity_ends_the_session(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	raw_open(&f->raw, 2);
	expect_bye(&f->raw, VMC_REASON_PROTOCOL);
}

static void open_of_a_used_id_ends_the_session(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	open_one(&f->raw);
	raw_open(&f->raw, 1);
	expect_bye(&f->raw, VMC_REASON_PROTOCOL);
}

static void open_beyond_the_last_id_ends_the_session(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	raw_open(&f->raw, 0x7fffffff);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_OPEN);
	raw_open(&f->raw, 0x80000001);
	expect_bye(&f->raw, VMC_REASON_PROTOCOL);
}

static void frame_for_an_id_never_opened_ends_the_session(void **state)
{
	static const uint32_t ids[] = {3, 2};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fixture *f = calloc(1, sizeof(*f));

		raw_init(&f->raw, NULL);
		raw_up(&f->raw);
		open_one(&f->raw);
		raw_send(&f->raw, WIRE_DATA, 0, ids[i], "x", 1);
		expect_bye(&f->raw, VMC_REASON_PROTOCOL);
		raw_free(&f->raw);
		free(f);
	}
}

static void payload_beyond_max_frame_ends_the_session(void **state)
{
	static const uint8_t zeros[VMC_MAX_FRAME];
	struct fixture *f = *state;
	struct wire_header h = {
		.type = WIRE_DATA, .stream = 1, .len = WIRE_PAYLOAD_MAX + 1};

	raw_up(&f->raw);
	open_one(&f->raw);
	h.seq = f->raw.seq++;
	raw_frame(&f->raw, &h, zeros);
	expect_bye(&f->raw, VMC_REASON_PROTOCOL);
}

/* The smaller max_frame of both binds, not the largest there is. */
static void payload_beyond_what_was_agreed_ends_the_session(void **state)
{
	static const uint8_t zeros[VMC_MIN_FRAME];
	struct vmc_session_config cfg;
	struct raw r;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	cfg.grease = 0;
	cfg.max_frame = VMC_MIN_FRAME;
	cfg.initial_window = 2 * VMC_MIN_FRAME;
	cfg.max_streams = 4;
	raw_init(&r, &cfg);
	raw_up(&r);
	open_one(&r);
	raw_send(&r, WIRE_DATA, 0, 1, zeros, VMC_MIN_FRAME - WIRE_HEADER);
	assert_int_equal(raw_event(&r).type, VMC_EV_READABLE);
	raw_send(&r, WIRE_DATA, 0, 1, zeros, VMC_MIN_FRAME - WIRE_HEADER + 1);
	expect_bye(&r, VMC_REASON_PROTOCOL);
	raw_free(&r);
}

static void opens_beyond_max_streams_end_the_session(void **state)
{
	struct vmc_session_config cfg;
	struct raw r;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	cfg.grease = 0;
	cfg.max_streams = 8;
	raw_init(&r, &cfg);
	raw_up(&r);
	/* Nobody answers: seven find room, the eighth is to be rejected. */
	for (uint32_t id = 1; id <= 13; id += 2) {
		raw_open(&r, id);
		assert_int_equal(raw_event(&r).type, VMC_EV_OPEN);
	}
	raw_open(&r, 15);
	assert_int_equal(raw_event(&r).type, VMC_EV_NONE);
	raw_open(&r, 17);
	assert_int_equal(raw_event(&r).type, VMC_EV_DOWN);
	raw_free(&r);
}

static void control_flood_ends_the_session(void **state)
{
	struct vmc_session_config cfg;
	struct vmc_session_stats st;
	struct raw r;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	cfg.grease = 0;
	cfg.control_per_s = 10;
	raw_init(&r, &cfg);
	raw_up(&r);
	for (int i = 0; i < 10; i++) {
		raw_send(&r, WIRE_ACK, 0, 0, NULL, 0);
		assert_int_equal(raw_event(&r).type, VMC_EV_NONE);
	}
	raw_send(&r, WIRE_ACK, 0, 0, NULL, 0);
	expect_bye(&r, VMC_REASON_LIMIT);
	raw_stats(&r, &st);
	assert_int_equal(st.limit_control, 1);
	raw_free(&r);
}

static void payload_pays_for_control(void **state)
{
	struct vmc_session_config cfg;
	struct raw r;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	cfg.grease = 0;
	cfg.control_per_s = 10;
	raw_init(&r, &cfg);
	raw_up(&r);
	open_one(&r);
	for (int i = 0; i < 30; i++) {
		raw_send(&r, WIRE_DATA, 0, 1, "x", 1);
		raw_event(&r);
		raw_send(&r, WIRE_ACK, 0, 0, NULL, 0);
		assert_int_equal(raw_event(&r).type, VMC_EV_NONE);
	}
	raw_free(&r);
}

/* ---- the stream's victims
 * --------------------------------------------------------- */

static void data_up_to_the_credit_and_one_more(void **state)
{
	static const uint8_t zeros[512]; /* a host's initial window */
	struct fixture *f = *state;
	struct vmc_stream_info info;
	vmc_stream h;

	raw_up(&f->raw);
	h = open_one(&f->raw);
	raw_send(&f->raw, WIRE_DATA, 0, 1, zeros, sizeof(zeros));
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_READABLE);
	assert_int_equal(vmc_stream_get_info(f->raw.s, h, &info), 0);
	assert_int_equal(info.rx_queued, sizeof(zeros));
	assert_int_equal(info.rx_window, sizeof(zeros));
	raw_send(&f->raw, WIRE_DATA, 0, 1, zeros, 1);
	expect_reset(&f->raw, VMC_REASON_PROTOCOL);
	assert_int_equal(stats(f)->limit_credit, 1);
	assert_int_equal(f->st.pool_used, 0);
}

static void empty_data_resets_the_stream(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	open_one(&f->raw);
	raw_send(&f->raw, WIRE_DATA, 0, 1, NULL, 0);
	expect_reset(&f->raw, VMC_REASON_PROTOCOL);
}

static void data_after_fin_resets_the_stream(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	open_one(&f->raw);
	raw_send(&f->raw, WIRE_DATA, WIRE_FIN, 1, NULL, 0);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_READABLE);
	raw_send(&f->raw, WIRE_DATA, 0, 1, "x", 1);
	expect_reset(&f->raw, VMC_REASON_PROTOCOL);
}

static void credit_must_grow_and_not_absurdly(void **state)
{
	static const uint64_t limits[] = {0, 1024, (uint64_t)VMC_MAX_POOL + 1,
					  UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct fixture *f = calloc(1, sizeof(*f));
		uint8_t p[8];

		raw_init(&f->raw, NULL);
		raw_up(&f->raw);
		open_one(&f->raw);
		le64_put(p, limits[i]);
		raw_send(&f->raw, WIRE_CREDIT, 0, 1, p, 8);
		expect_reset(&f->raw, VMC_REASON_PROTOCOL);
		raw_free(&f->raw);
		free(f);
	}
}

static void credit_of_one_more_is_taken(void **state)
{
	struct fixture *f = *state;
	struct vmc_stream_info info;
	uint8_t p[8];
	vmc_stream h;

	raw_up(&f->raw);
	h = open_one(&f->raw);
	le64_put(p, 1025);
	raw_send(&f->raw, WIRE_CREDIT, 0, 1, p, 8);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_int_equal(vmc_stream_get_info(f->raw.s, h, &info), 0);
	assert_int_equal(info.tx_credit, 1025);
}

static void answers_of_the_wrong_side_reset_the_stream(void **state)
{
	struct fixture *f = *state;
	uint8_t p[4] = {0};

	raw_up(&f->raw);
	open_one(&f->raw);
	raw_send(&f->raw, WIRE_ACCEPT, 0, 1, NULL, 0);
	expect_reset(&f->raw, VMC_REASON_PROTOCOL);
	raw_open(&f->raw, 3);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_OPEN);
	raw_send(&f->raw, WIRE_REJECT, 0, 3, p, 4);
	expect_reset(&f->raw, VMC_REASON_PROTOCOL);
}

static void a_second_accept_resets_the_stream(void **state)
{
	struct vmc_principal who = {0};
	struct fixture *f = *state;
	vmc_stream h;

	raw_up(&f->raw);
	assert_int_equal(
		vmc_stream_open(f->raw.s, &h, "x", 0, &who, 1, 1, f->raw.now),
		0);
	raw_expect(&f->raw, WIRE_OPEN, NULL);
	raw_send(&f->raw, WIRE_ACCEPT, 0, 2, NULL, 0);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_ACCEPTED);
	raw_send(&f->raw, WIRE_ACCEPT, 0, 2, NULL, 0);
	expect_reset(&f->raw, VMC_REASON_PROTOCOL);
}

static void frames_for_an_ended_stream_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t p[8] = {0};
	vmc_stream h;

	raw_up(&f->raw);
	h = open_one(&f->raw);
	assert_int_equal(vmc_stream_reset(f->raw.s, h, VMC_REASON_DENIED), 0);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_END);
	raw_expect(&f->raw, WIRE_RESET, NULL);
	raw_send(&f->raw, WIRE_DATA, 0, 1, "x", 1);
	raw_send(&f->raw, WIRE_CREDIT, 0, 1, p, 8);
	raw_send(&f->raw, WIRE_STOP, 0, 1, p, 4);
	raw_send(&f->raw, WIRE_RESET, 0, 1, p, 4);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_int_equal(stats(f)->state, VMC_SESSION_UP);
	assert_int_equal(vmc_stream_consume(f->raw.s, h, 0), VMC_ERR_HANDLE);
}

static void opens_beyond_the_rate_are_rejected(void **state)
{
	struct vmc_session_config cfg;
	struct vmc_session_stats st;
	const uint8_t *payload;
	struct raw r;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	cfg.grease = 0;
	cfg.opens_per_s = 2;
	raw_init(&r, &cfg);
	raw_up(&r);
	for (uint32_t id = 1; id <= 3; id += 2) {
		raw_open(&r, id);
		assert_int_equal(raw_event(&r).type, VMC_EV_OPEN);
	}
	raw_open(&r, 5);
	assert_int_equal(raw_event(&r).type, VMC_EV_NONE);
	assert_int_equal(raw_expect(&r, WIRE_REJECT, &payload).stream, 5);
	assert_int_equal(reason_in(payload), VMC_REASON_LIMIT);
	raw_stats(&r, &st);
	assert_int_equal(st.limit_opens, 1);
	r.now += 500000;
	raw_open(&r, 7);
	assert_int_equal(raw_event(&r).type, VMC_EV_OPEN);
	raw_free(&r);
}

static void an_eighth_of_the_table_is_ours(void **state)
{
	struct vmc_principal who = {0};
	struct fixture *f = *state;
	const uint8_t *payload;
	vmc_stream h;

	raw_up(&f->raw);
	for (uint32_t n = 0; n < 224; n++) {
		struct vmc_event ev;

		raw_open(&f->raw, 2 * n + 1);
		ev = raw_event(&f->raw);
		assert_int_equal(ev.type, VMC_EV_OPEN);
		assert_int_equal(vmc_stream_accept(f->raw.s, ev.stream, 1, 1),
				 0);
		raw_expect(&f->raw, WIRE_ACCEPT, NULL);
	}
	raw_open(&f->raw, 449);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	raw_expect(&f->raw, WIRE_REJECT, &payload);
	assert_int_equal(reason_in(payload), VMC_REASON_LIMIT);
	assert_int_equal(stats(f)->limit_streams, 1);
	assert_int_equal(
		vmc_stream_open(f->raw.s, &h, "x", 0, &who, 1, 1, f->raw.now),
		0);
}

static void names_beyond_the_table_are_not_listed(void **state)
{
	struct vmc_session_config cfg;
	struct vmc_session_stats st;
	uint8_t p[WIRE_CONTROL_MAX];
	struct wire_name a = {.name_len = 1};
	struct vmc_event ev;
	struct raw r;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	cfg.grease = 0;
	cfg.max_names = 2;
	raw_init(&r, &cfg);
	raw_up(&r);
	for (int i = 0; i < 3; i++) {
		a.name[0] = (char)('a' + i);
		raw_send(&r, WIRE_ADVERTISE, 0, 0, p,
			 wire_put_advertise(p, &a));
		ev = raw_event(&r);
		assert_int_equal(ev.type,
				 i < 2 ? VMC_EV_NAME_ADDED : VMC_EV_NONE);
	}
	raw_stats(&r, &st);
	assert_int_equal(st.limit_names, 1);
	assert_int_equal(st.names_peer, 2);
	/* Withdrawing what was not listed, then what was. */
	raw_send(&r, WIRE_WITHDRAW, 0, 0, p, wire_put_withdraw(p, &a));
	assert_int_equal(raw_event(&r).type, VMC_EV_NONE);
	a.name[0] = 'a';
	raw_send(&r, WIRE_WITHDRAW, 0, 0, p, wire_put_withdraw(p, &a));
	ev = raw_event(&r);
	assert_int_equal(ev.type, VMC_EV_NAME_REMOVED);
	assert_string_equal(ev.name, "a");
	raw_free(&r);
}

/* ---- nobody's fault
 * ------------------------------------------------------------------ */

static void a_gap_in_the_numbers_is_a_loss_of_sync(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	f->raw.seq++;
	raw_open(&f->raw, 1);
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->bad_sequence, 1);
	assert_int_equal(f->st.resyncs, 1);
}

static void a_number_on_what_has_none_is_a_loss_of_sync(void **state)
{
	struct fixture *f = *state;
	struct wire_header h = {.type = WIRE_ACK, .seq = 1};

	raw_up(&f->raw);
	raw_frame(&f->raw, &h, NULL);
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->bad_sequence, 1);
}

static void an_ack_of_what_was_not_sent_is_a_loss_of_sync(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	f->raw.ack = 1;
	raw_send(&f->raw, WIRE_ACK, 0, 0, NULL, 0);
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->bad_header, 1);
}

/* The peer that says this is not the one that has seen our past. */
static void an_ack_of_another_history_is_a_loss_of_sync(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	f->raw.rx_digest[0]++;
	raw_send(&f->raw, WIRE_ACK, 0, 0, NULL, 0);
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->bad_header, 1);
}

static void a_splice_is_a_loss_of_sync(void **state)
{
	struct fixture *f = *state;
	struct wire_header h = {.type = WIRE_PING, .len = 8};
	uint8_t buf[WIRE_HEADER + 8] = {0};

	raw_up(&f->raw);
	h.hash = hash64("12345678", 8);
	wire_put_header(buf, &h);
	wire_stamp(buf, 0, f->raw.tx_seed ^ f->raw.rx_digest[0]);
	memcpy(buf + WIRE_HEADER, "12345679", 8);
	raw_bytes(&f->raw, buf, sizeof(buf));
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->bad_payload, 1);
}

static void a_frame_of_another_attach_is_a_loss_of_sync(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	f->raw.tx_seed++;
	raw_send(&f->raw, WIRE_ACK, 0, 0, NULL, 0);
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->bad_header, 1);
}

static void a_torn_frame_is_given_up(void **state)
{
	static const uint8_t half[20] = {WIRE_PING};
	struct fixture *f = *state;

	raw_up(&f->raw);
	raw_bytes(&f->raw, half, sizeof(half));
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_true(vmc_session_deadline(f->raw.s) == f->raw.now + 1000000);
	f->raw.now += 999999;
	vmc_session_tick(f->raw.s, f->raw.now);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	f->raw.now++;
	vmc_session_tick(f->raw.s, f->raw.now);
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->partial_timeout, 1);
}

static void unknown_ignorable_frames_are_ignored(void **state)
{
	struct fixture *f = *state;

	raw_up(&f->raw);
	raw_send(&f->raw, 0x8f, 0, 0, "x", 1);
	raw_send(&f->raw, 0xff, 0x55, 99, "x", 1); /* has a number */
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_int_equal(stats(f)->unknown_ignored, 2);
	open_one(&f->raw);
}

static void pings_are_answered_once_for_the_newest(void **state)
{
	struct fixture *f = *state;
	const uint8_t *payload;
	struct wire_header h;

	raw_up(&f->raw);
	for (int i = 0; i < 5; i++)
		raw_send(&f->raw, WIRE_PING, 0, 0,
			 i < 4 ? "12345678" : "abcdefgh", 8);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	raw_expect(&f->raw, WIRE_PONG, &payload);
	assert_memory_equal(payload, "abcdefgh", 8);
	assert_false(raw_get(&f->raw, &h, &payload));
	assert_int_equal(stats(f)->limit_pings, 4);
	assert_int_equal(f->st.pings_in, 5);
}

static void losses_of_sync_are_limited(void **state)
{
	struct fixture *f = *state;
	uint8_t entropy[VMC_ENTROPY_LEN] = {1};
	struct hello h, ack;
	int n;

	raw_up(&f->raw);
	for (n = 0; n < 30; n++) {
		f->raw.tx_seed++;
		raw_send(&f->raw, WIRE_ACK, 0, 0, NULL, 0);
		assert_int_equal(raw_event(&f->raw).type, VMC_EV_DOWN);
		if (raw_event(&f->raw).type != VMC_EV_NEED_ENTROPY)
			break;
		entropy[0]++;
		vmc_session_resync(f->raw.s, entropy, f->raw.now);
		f->raw.out_at = f->raw.out_len = 0;
		assert_true(raw_get_hello(&f->raw, &h));
		f->raw.theirs = h;
		ack = raw_hello(HELLO_KIND_ACK);
		ack.echo = h.nonce;
		ack.verdict = HELLO_VERDICT_UNKNOWN;
		raw_say(&f->raw, &ack);
		assert_int_equal(raw_event(&f->raw).type, VMC_EV_UP);
		raw_new_session(&f->raw);
	}
	assert_int_equal(n, 10);
	assert_int_equal(stats(f)->resync_backoff, 1);
	assert_true(vmc_session_deadline(f->raw.s) == f->raw.now + 1000000);
	f->raw.now += 1000000;
	vmc_session_tick(f->raw.s, f->raw.now);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NEED_ENTROPY);
}

/* ---- HELLO, versions, features
 * ------------------------------------------------------- */

static void a_hello_alone_makes_nobody_up(void **state)
{
	struct fixture *f = *state;
	struct hello h = raw_hello(HELLO_KIND_HELLO), back;

	raw_attach(&f->raw);
	raw_say(&f->raw, &h);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_true(raw_get_hello(&f->raw, &back));
	assert_int_equal(back.kind, HELLO_KIND_ACK);
	assert_int_equal(back.echo, RAW_NONCE);
	assert_int_equal(stats(f)->state, VMC_SESSION_SYNC);
}

static void an_answer_to_another_nonce_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct hello ack = raw_hello(HELLO_KIND_ACK);

	raw_attach(&f->raw);
	ack.echo = f->raw.theirs.nonce + 1;
	ack.verdict = HELLO_VERDICT_UNKNOWN;
	raw_say(&f->raw, &ack);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_int_equal(stats(f)->bad_hello, 1);
	assert_int_equal(f->st.state, VMC_SESSION_SYNC);
}

static void a_hello_of_my_own_role_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct hello ack = raw_hello(HELLO_KIND_ACK);

	raw_attach(&f->raw);
	ack.role = VMC_ROLE_HOST;
	ack.echo = f->raw.theirs.nonce;
	ack.verdict = HELLO_VERDICT_UNKNOWN;
	raw_say(&f->raw, &ack);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_int_equal(stats(f)->bad_hello, 1);
}

static void answers_to_hello_are_limited(void **state)
{
	struct fixture *f = *state;
	struct hello h = raw_hello(HELLO_KIND_HELLO), back;
	int answers = 0;

	raw_attach(&f->raw);
	for (int i = 0; i < 20; i++) {
		h.nonce++;
		raw_say(&f->raw, &h);
		raw_event(&f->raw);
		answers += raw_get_hello(&f->raw, &back);
	}
	assert_int_equal(answers, 5);
	assert_int_equal(stats(f)->hello_limited, 15);
}

static void hello_is_found_behind_garbage(void **state)
{
	struct fixture *f = *state;
	struct hello ack = raw_hello(HELLO_KIND_ACK);
	uint8_t junk[5000];

	raw_attach(&f->raw);
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(i * 37);
	memcpy(junk + 4990, hello_magic, 10); /* nearly one */
	raw_bytes(&f->raw, junk, sizeof(junk));
	ack.echo = f->raw.theirs.nonce;
	ack.verdict = HELLO_VERDICT_UNKNOWN;
	raw_say(&f->raw, &ack);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_UP);
}

struct version_row {
	uint8_t mine_min, mine_max, min, max, used; /* 0: refused */
};

static void the_largest_common_version_is_used(void **state)
{
	static const struct version_row rows[] = {
		{1, 1, 1, 1, 1}, {1, 1, 1, 2, 1},   {1, 1, 2, 2, 0},
		{2, 3, 1, 1, 0}, {1, 2, 1, 1, 1},   {1, 3, 2, 5, 3},
		{2, 3, 1, 2, 2}, {1, 1, 2, 255, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hello ack = raw_hello(HELLO_KIND_ACK);
		struct vmc_session_config cfg;
		struct vmc_session_stats st;
		struct raw r;

		vmc_session_config_default(&cfg, VMC_ROLE_HOST);
		cfg.version_min = rows[i].mine_min;
		cfg.version_max = rows[i].mine_max;
		raw_init(&r, &cfg);
		raw_attach(&r);
		ack.echo = r.theirs.nonce;
		ack.verdict = HELLO_VERDICT_UNKNOWN;
		ack.version_min = rows[i].min;
		ack.version_max = rows[i].max;
		raw_say(&r, &ack);
		raw_event(&r);
		raw_stats(&r, &st);
		assert_int_equal(st.version, rows[i].used);
		assert_int_equal(st.state, rows[i].used ? VMC_SESSION_UP
							: VMC_SESSION_REFUSED);
		if (!rows[i].used) {
			struct hello back;

			assert_true(raw_get_hello(&r, &back));
			assert_int_equal(back.verdict, HELLO_VERDICT_REFUSED);
			assert_int_equal(st.version_mismatch, 1);
			assert_true(vmc_session_deadline(r.s) == UINT64_MAX);
		}
		raw_free(&r);
	}
}

struct feature_row {
	uint64_t mine, mine_required, offered, required;
	bool up;
};

static void features_are_what_both_offer(void **state)
{
	static const struct feature_row rows[] = {
		{0, 0, 0, 0, true},          {0, 0, 6, 0, true},
		{0, 0, 4, 4, false},         {6, 0, 4, 4, true},
		{6, 2, 4, 0, false},         {6, 2, 2, 0, true},
		{UINT64_MAX, 0, 1, 1, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hello ack = raw_hello(HELLO_KIND_ACK);
		struct vmc_session_config cfg;
		struct vmc_session_stats st;
		struct raw r;

		vmc_session_config_default(&cfg, VMC_ROLE_HOST);
		cfg.features_offered = rows[i].mine;
		cfg.features_required = rows[i].mine_required;
		raw_init(&r, &cfg);
		raw_attach(&r);
		ack.echo = r.theirs.nonce;
		ack.verdict = HELLO_VERDICT_UNKNOWN;
		ack.features_offered = rows[i].offered;
		ack.features_required = rows[i].required;
		raw_say(&r, &ack);
		raw_event(&r);
		raw_stats(&r, &st);
		assert_int_equal(st.state, rows[i].up ? VMC_SESSION_UP
						      : VMC_SESSION_REFUSED);
		if (rows[i].up)
			assert_true(st.features ==
				    (rows[i].mine & rows[i].offered));
		raw_free(&r);
	}
}

static void a_mandatory_tlv_that_is_unknown_is_refused(void **state)
{
	struct fixture *f = *state;
	struct hello ack = raw_hello(HELLO_KIND_ACK);

	raw_attach(&f->raw);
	ack.echo = f->raw.theirs.nonce;
	ack.verdict = HELLO_VERDICT_UNKNOWN;
	ack.grease_type = HELLO_TLV_MUST;
	raw_say(&f->raw, &ack);
	raw_event(&f->raw);
	assert_int_equal(stats(f)->state, VMC_SESSION_REFUSED);
}

/* ---- resume or new --------------------------------------------------------
 */

enum lie {
	LIE_NONE,
	LIE_NOTHING_RECEIVED, /* also true: the frame is sent again */
	LIE_SESSION,
	LIE_EPOCH,
	LIE_MAX_FRAME,
	LIE_DIGEST,
	LIE_RX_AHEAD,
	LIE_TX_AHEAD,
	LIE_TX_BEHIND,
	LIE_NUM
};

static const uint8_t lie_verdict[LIE_NUM] = {
	[LIE_NONE] = HELLO_VERDICT_RESUME,
	[LIE_NOTHING_RECEIVED] = HELLO_VERDICT_RESUME,
	[LIE_SESSION] = HELLO_VERDICT_UNKNOWN,
	[LIE_EPOCH] = HELLO_VERDICT_UNKNOWN,
	[LIE_MAX_FRAME] = HELLO_VERDICT_UNKNOWN,
	[LIE_DIGEST] = HELLO_VERDICT_ROLLBACK,
	[LIE_RX_AHEAD] = HELLO_VERDICT_ROLLBACK,
	[LIE_TX_AHEAD] = HELLO_VERDICT_ROLLBACK,
	[LIE_TX_BEHIND] = HELLO_VERDICT_ROLLBACK,
};

static void tell_lie(struct hello *h, enum lie lie, uint64_t first_digest)
{
	h->session_id[3] ^= lie == LIE_SESSION;
	h->epoch += lie == LIE_EPOCH;
	h->max_frame -= lie == LIE_MAX_FRAME;
	h->rx_digest ^= lie == LIE_DIGEST;
	h->rx_next += lie == LIE_RX_AHEAD;
	if (lie == LIE_TX_AHEAD)
		h->tx_first = h->tx_next = 2;
	if (lie == LIE_TX_BEHIND)
		h->tx_first = h->tx_next = 0;
	if (lie == LIE_NOTHING_RECEIVED) {
		h->rx_next = 0;
		h->rx_digest = first_digest;
	}
}

/* One frame each way, then a cut; the peer tells the truth but for @lie. */
static uint8_t verdict_about(enum lie lie)
{
	struct hello h = raw_hello(HELLO_KIND_HELLO), back;
	struct vmc_principal who = {0};
	struct vmc_session_stats st;
	struct wire_header frame;
	vmc_stream stream;
	uint64_t first;
	struct raw r;

	raw_init(&r, NULL);
	raw_up(&r);
	first = raw_derive(&r, 5);
	assert_int_equal(
		vmc_stream_open(r.s, &stream, "x", 0, &who, 1, 1, r.now), 0);
	frame = raw_expect(&r, WIRE_OPEN, NULL);
	r.ack = 0; /* not acked */
	raw_send(&r, 0xff, 0, 0, NULL, 0);
	raw_event(&r);
	raw_stats(&r, &st);
	memcpy(h.session_id, st.session_id, sizeof(h.session_id));
	h.epoch = st.epoch;
	h.rx_next = 1;
	h.rx_digest = wire_digest(first, &frame);
	h.tx_first = h.tx_next = 1;
	tell_lie(&h, lie, first);
	vmc_session_detach(r.s, r.now);
	raw_event(&r);
	r.out_at = r.out_len = 0;
	raw_attach(&r);
	raw_say(&r, &h);
	assert_int_equal(raw_event(&r).type, VMC_EV_NONE);
	assert_true(raw_get_hello(&r, &back));
	raw_free(&r);
	return back.verdict;
}

static void only_what_fits_is_resumed(void **state)
{
	(void)state;
	for (int lie = 0; lie < LIE_NUM; lie++)
		assert_int_equal(verdict_about((enum lie)lie),
				 lie_verdict[lie]);
}

/* An end that went back to before what it has acked, history and all. */
static void what_was_acked_cannot_be_sent_again(void **state)
{
	struct fixture *f = *state;
	struct hello h = raw_hello(HELLO_KIND_HELLO), back;
	struct vmc_principal who = {0};
	struct wire_header frame;
	vmc_stream stream;

	raw_up(&f->raw);
	assert_int_equal(vmc_stream_open(f->raw.s, &stream, "x", 0, &who, 1, 1,
					 f->raw.now),
			 0);
	assert_int_equal(vmc_stream_finish(f->raw.s, stream), 0);
	frame = raw_expect(&f->raw, WIRE_OPEN, NULL);
	raw_expect(&f->raw, WIRE_DATA, NULL);
	raw_send(&f->raw, WIRE_ACK, 0, 0, NULL, 0);
	raw_event(&f->raw);
	memcpy(h.session_id, stats(f)->session_id, sizeof(h.session_id));
	h.epoch = f->st.epoch;
	h.rx_next = 1;
	h.rx_digest = wire_digest(raw_derive(&f->raw, 5), &frame);
	vmc_session_detach(f->raw.s, f->raw.now);
	raw_event(&f->raw);
	f->raw.out_at = f->raw.out_len = 0;
	raw_attach(&f->raw);
	raw_say(&f->raw, &h);
	raw_event(&f->raw);
	assert_true(raw_get_hello(&f->raw, &back));
	assert_int_equal(back.verdict, HELLO_VERDICT_ROLLBACK);
}

/* The grace ends while a handshake runs: what was said of the session under
 * the present nonce is true no more, so it is said under another. */
static void grace_that_ends_in_a_handshake_begins_it_anew(void **state)
{
	struct fixture *f = *state;
	struct raw *r = &f->raw;
	static const uint8_t none[16];
	uint8_t entropy[VMC_ENTROPY_LEN] = {9};
	struct hello before, after;

	raw_up(r);
	vmc_session_detach(r->s, r->now);
	assert_int_equal(raw_event(r).type, VMC_EV_DOWN);
	r->now += 299999999;
	raw_attach(r);
	before = r->theirs;
	assert_memory_not_equal(before.session_id, none, sizeof(none));
	r->now++;
	vmc_session_tick(r->s, r->now);
	assert_int_equal(raw_event(r).type, VMC_EV_NEED_ENTROPY);
	/* An answer to the old nonce has no effect. */
	assert_false(raw_get_hello(r, &after));
	vmc_session_resync(r->s, entropy, r->now);
	assert_true(raw_get_hello(r, &after));
	assert_true(after.nonce != before.nonce);
	assert_memory_equal(after.session_id, none, sizeof(none));
}

/* ---- the preamble -----------------------------------------------------------
 */

static size_t zeros_before_hello(struct raw *r)
{
	size_t n = 0;

	raw_collect(r);
	while (r->out_at + n + 1 < r->out_len && !r->out[r->out_at + n + 1])
		n++;
	assert_memory_equal(r->out + r->out_at + n, hello_magic,
			    HELLO_MAGIC_LEN);
	r->out_at = r->out_len;
	return n;
}

static void a_preamble_goes_before_hello_when_frames_may_be_torn(void **state)
{
	struct fixture *f = *state;
	uint8_t entropy[VMC_ENTROPY_LEN] = {9};

	raw_attach(&f->raw);
	f->raw.out_at = 0;
	assert_int_equal(zeros_before_hello(&f->raw), HELLO_PREAMBLE);
	/* Nothing but HELLOs was written since. */
	vmc_session_resync(f->raw.s, entropy, f->raw.now);
	assert_true(zeros_before_hello(&f->raw) < HELLO_PREAMBLE);
}

/* As a destination does when the state comes. */
static void a_preamble_is_not_repeated_for_a_loaded_session(void **state)
{
	struct fixture *f = *state;
	uint8_t entropy[VMC_ENTROPY_LEN] = {9};

	raw_attach(&f->raw);
	f->raw.out_at = 0;
	assert_int_equal(zeros_before_hello(&f->raw), HELLO_PREAMBLE);
	assert_true(vmc_session_is_greeting(f->raw.s));
	vmc_session_attach_greeted(f->raw.s, entropy, f->raw.now);
	assert_true(zeros_before_hello(&f->raw) < HELLO_PREAMBLE);
	raw_up(&f->raw);
	assert_false(vmc_session_is_greeting(f->raw.s));
}

static void a_preamble_goes_before_hello_after_frames(void **state)
{
	struct fixture *f = *state;
	uint8_t entropy[VMC_ENTROPY_LEN] = {9};

	raw_up(&f->raw);
	open_one(&f->raw);
	vmc_session_resync(f->raw.s, entropy, f->raw.now);
	assert_int_equal(zeros_before_hello(&f->raw), HELLO_PREAMBLE);
}

/* Counters of the ring of rejects run freely, through 2^32 as well. */
static void rejects_survive_the_wrap_of_their_counters(void **state)
{
	struct fixture *f = *state;
	struct raw *r = &f->raw;
	struct vmc_session_config cfg;
	const uint8_t *payload;
	vmc_stream h[3];

	raw_free(r);
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	cfg.grease = 0;
	cfg.max_streams = 3;
	raw_init(r, &cfg);
	raw_up(r);
	r->s->reject_head = r->s->reject_tail = UINT32_MAX - 1;
	for (unsigned int i = 0; i < 3; i++) {
		raw_open(r, 1 + 2 * i);
		h[i] = raw_event(r).stream;
	}
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vmc_stream_reject(r->s, h[i], 100 + i), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(raw_expect(r, WIRE_REJECT, &payload).stream,
				 1 + 2 * i);
		assert_int_equal(reason_in(payload), 100 + i);
	}
}

static void a_refused_peer_may_come_back_better(void **state)
{
	struct fixture *f = *state;
	struct hello ack = raw_hello(HELLO_KIND_ACK);
	struct hello h = raw_hello(HELLO_KIND_HELLO);

	raw_attach(&f->raw);
	ack.echo = f->raw.theirs.nonce;
	ack.verdict = HELLO_VERDICT_REFUSED;
	raw_say(&f->raw, &ack);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_int_equal(stats(f)->state, VMC_SESSION_REFUSED);
	h.nonce++;
	raw_say(&f->raw, &h);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NEED_ENTROPY);
	assert_int_equal(stats(f)->state, VMC_SESSION_SYNC);
}

static void grease_is_sent_when_wanted(void **state)
{
	struct vmc_session_config cfg;
	const uint8_t *payload;
	struct wire_header h;
	struct raw r;

	(void)state;
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	raw_init(&r, &cfg);
	raw_up(&r);
	assert_int_equal(r.theirs.tlvs_ignored, 1);
	assert_true(raw_get(&r, &h, &payload));
	assert_int_equal(h.type & 0xf0, 0xf0);
	assert_int_equal(h.stream, 0);
	raw_free(&r);
}

static void bye_of_the_peer_ends_all(void **state)
{
	struct fixture *f = *state;
	struct vmc_event ev;
	uint8_t p[4];

	raw_up(&f->raw);
	open_one(&f->raw);
	le16_put(p, VMC_REASON_SHUTDOWN);
	le16_put(p + 2, 0);
	raw_send(&f->raw, WIRE_BYE, 0, 0, p, 4);
	ev = raw_event(&f->raw);
	assert_int_equal(ev.type, VMC_EV_DOWN);
	assert_int_equal(ev.reason, VMC_REASON_SHUTDOWN);
	ev = raw_event(&f->raw);
	assert_int_equal(ev.type, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_SHUTDOWN);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_NONE);
	assert_true(vmc_session_deadline(f->raw.s) == UINT64_MAX);
}

/* ---- acks
 * -------------------------------------------------------------------------------
 */

static void an_ack_waits_for_company_but_not_for_ever(void **state)
{
	struct fixture *f = *state;
	const uint8_t *payload;
	struct wire_header h;

	raw_up(&f->raw);
	raw_send(&f->raw, 0xff, 0, 0, NULL, 0);
	raw_event(&f->raw);
	assert_false(raw_get(&f->raw, &h, &payload));
	assert_true(vmc_session_deadline(f->raw.s) == f->raw.now + 10000);
	f->raw.now += 10000;
	h = raw_expect(&f->raw, WIRE_ACK, NULL);
	assert_int_equal(h.ack, 1);
	assert_true(vmc_session_deadline(f->raw.s) == UINT64_MAX);
	assert_int_equal(stats(f)->acks_out, 1);
}

static void thirty_two_frames_are_acked_at_once(void **state)
{
	struct fixture *f = *state;
	const uint8_t *payload;
	struct wire_header h;

	raw_up(&f->raw);
	for (int i = 0; i < 31; i++)
		raw_send(&f->raw, 0xff, 0, 0, NULL, 0);
	raw_event(&f->raw);
	assert_false(raw_get(&f->raw, &h, &payload));
	raw_send(&f->raw, 0xff, 0, 0, NULL, 0);
	raw_event(&f->raw);
	assert_int_equal(raw_expect(&f->raw, WIRE_ACK, NULL).ack, 32);
}

/* Whoever only receives asks before its ACKs fill the pipe. */
static void unproven_acks_are_limited(void **state)
{
	struct fixture *f = *state;
	const uint8_t *payload;
	struct wire_header h;
	int acks = 0, pings = 0;

	raw_up(&f->raw);
	for (int i = 0; i < 100; i++) {
		raw_send(&f->raw, 0xff, 0, 0, NULL, 0);
		raw_event(&f->raw);
		f->raw.now += 20000;
		while (raw_get(&f->raw, &h, &payload)) {
			acks += h.type == WIRE_ACK;
			pings += h.type == WIRE_PING;
		}
	}
	assert_int_equal(pings, 1);
	assert_in_range(acks, 16, 32);
	assert_true(vmc_session_deadline(f->raw.s) == UINT64_MAX);
}

static void a_lost_frame_is_found_by_pong(void **state)
{
	struct vmc_principal who = {0};
	struct fixture *f = *state;
	const uint8_t *payload;
	uint8_t token[8];
	vmc_stream h;

	raw_up(&f->raw);
	assert_int_equal(
		vmc_stream_open(f->raw.s, &h, "x", 0, &who, 1, 1, f->raw.now),
		0);
	raw_expect(&f->raw, WIRE_OPEN, NULL);
	f->raw.ack = 0; /* as if it never came */
	f->raw.now += 5000000;
	vmc_session_tick(f->raw.s, f->raw.now);
	assert_int_equal(raw_event(&f->raw).type, VMC_EV_STALLED);
	raw_expect(&f->raw, WIRE_PING, &payload);
	memcpy(token, payload, 8);
	raw_send(&f->raw, WIRE_PONG, 0, 0, token, 8);
	expect_resync(&f->raw);
	assert_int_equal(stats(f)->bad_sequence, 1);
	assert_int_equal(f->st.stalls, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(frames_that_break_a_rule_end_the_session),
		T(open_of_wrong_parity_ends_the_session),
		T(open_of_a_used_id_ends_the_session),
		T(open_beyond_the_last_id_ends_the_session),
		T(frame_for_an_id_never_opened_ends_the_session),
		T(payload_beyond_max_frame_ends_the_session),
		T(payload_beyond_what_was_agreed_ends_the_session),
		T(opens_beyond_max_streams_end_the_session),
		T(control_flood_ends_the_session),
		T(payload_pays_for_control),
		T(data_up_to_the_credit_and_one_more),
		T(empty_data_resets_the_stream),
		T(data_after_fin_resets_the_stream),
		T(credit_must_grow_and_not_absurdly),
		T(credit_of_one_more_is_taken),
		T(answers_of_the_wrong_side_reset_the_stream),
		T(a_second_accept_resets_the_stream),
		T(frames_for_an_ended_stream_are_ignored),
		T(opens_beyond_the_rate_are_rejected),
		T(an_eighth_of_the_table_is_ours),
		T(names_beyond_the_table_are_not_listed),
		T(a_gap_in_the_numbers_is_a_loss_of_sync),
		T(a_number_on_what_has_none_is_a_loss_of_sync),
		T(an_ack_of_what_was_not_sent_is_a_loss_of_sync),
		T(an_ack_of_another_history_is_a_loss_of_sync),
		T(a_splice_is_a_loss_of_sync),
		T(a_frame_of_another_attach_is_a_loss_of_sync),
		T(a_torn_frame_is_given_up),
		T(unknown_ignorable_frames_are_ignored),
		T(pings_are_answered_once_for_the_newest),
		T(losses_of_sync_are_limited),
		T(a_hello_alone_makes_nobody_up),
		T(an_answer_to_another_nonce_is_not_believed),
		T(a_hello_of_my_own_role_is_ignored),
		T(answers_to_hello_are_limited),
		T(hello_is_found_behind_garbage),
		T(the_largest_common_version_is_used),
		T(features_are_what_both_offer),
		T(a_mandatory_tlv_that_is_unknown_is_refused),
		T(only_what_fits_is_resumed),
		T(what_was_acked_cannot_be_sent_again),
		T(grace_that_ends_in_a_handshake_begins_it_anew),
		T(a_preamble_goes_before_hello_when_frames_may_be_torn),
		T(a_preamble_is_not_repeated_for_a_loaded_session),
		T(a_preamble_goes_before_hello_after_frames),
		T(rejects_survive_the_wrap_of_their_counters),
		T(a_refused_peer_may_come_back_better),
		T(grease_is_sent_when_wanted),
		T(bye_of_the_peer_ends_all),
		T(an_ack_waits_for_company_but_not_for_ever),
		T(thirty_two_frames_are_acked_at_once),
		T(unproven_acks_are_limited),
		T(a_lost_frame_is_found_by_pong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
