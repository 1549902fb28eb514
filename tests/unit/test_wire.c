/* SPDX-License-Identifier: MIT */
/* test_wire.c - each decoder: exact, one short, one long, limits and limit+1 */
#include "pair.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "session/wire.h"

#define SEED UINT64_C(77)

static struct wire_open sample_open(size_t name_len)
{
	struct wire_open o = {
		.flags = VMC_OPEN_MESSAGES,
		.who = {VMC_PRINCIPAL_GUEST, 1, 2},
		.name_len = (uint8_t)name_len,
	};

	memset(o.name, 'n', name_len);
	return o;
}

static void header_check_covers_every_bit(void **state)
{
	uint8_t h[WIRE_HEADER];
	struct wire_header in = {.type = WIRE_DATA, .len = 7, .stream = 4};
	struct wire_header out;

	(void)state;
	wire_put_header(h, &in);
	wire_stamp(h, 3, SEED);
	assert_true(wire_get_header(h, SEED, &out));
	assert_false(wire_get_header(h, SEED + 1, &out));
	for (unsigned int bit = 0; bit < 8 * WIRE_HEADER; bit++) {
		h[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(wire_get_header(h, SEED, &out));
		h[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void digest_depends_on_everything_that_stays(void **state)
{
	struct wire_header a = {
		.type = 1, .flags = 2, .len = 3, .stream = 4, .hash = 5};
	struct wire_header b[5] = {a, a, a, a, a};
	uint64_t d = wire_digest(9, &a);

	(void)state;
	b[0].type++;
	b[1].flags++;
	b[2].len++;
	b[3].stream++;
	b[4].hash++;
	for (int i = 0; i < 5; i++)
		assert_true(wire_digest(9, &b[i]) != d);
	assert_true(wire_digest(10, &a) != d);
	a.ack = a.seq = 77; /* differ when it is sent again */
	assert_true(wire_digest(9, &a) == d);
}

static void open_is_exact(void **state)
{
	uint8_t p[WIRE_CONTROL_MAX + 1] = {0};
	struct wire_open in, out;

	(void)state;
	for (size_t len = 1; len <= VMC_NAME_MAX; len += VMC_NAME_MAX - 1) {
		size_t n;

		in = sample_open(len);
		n = wire_put_open(p, &in);
		assert_int_equal(n, 17 + len);
		assert_true(wire_get_open(p, n, &out));
		assert_int_equal(out.name_len, len);
		assert_string_equal(out.name, in.name);
		assert_int_equal(out.who.uid, 1);
		assert_int_equal(out.who.gid, 2);
		assert_false(wire_get_open(p, n - 1, &out));
		assert_false(wire_get_open(p, n + 1, &out));
	}
}

static void open_refuses_what_is_not_legal(void **state)
{
	uint8_t p[WIRE_CONTROL_MAX];
	struct wire_open in = sample_open(3), out;
	size_t n = wire_put_open(p, &in);

	(void)state;
	p[0] = 2; /* an unknown flag */
	assert_false(wire_get_open(p, n, &out));
	p[0] = 1;
	p[4] = 2; /* an unknown kind */
	assert_false(wire_get_open(p, n, &out));
	p[4] = 1;
	assert_true(wire_get_open(p, n, &out));
	p[16] = 0; /* no name */
	assert_false(wire_get_open(p, 17, &out));
	p[16] = 3;
	p[18] = 0; /* NUL in the name */
	assert_false(wire_get_open(p, n, &out));
	p[18] = '/';
	assert_false(wire_get_open(p, n, &out));
}

static void small_payloads_are_exact(void **state)
{
	uint8_t p[WIRE_CONTROL_MAX] = {0};
	uint64_t v;
	uint16_t reason;

	(void)state;
	assert_int_equal(wire_put_u64(p, 42), 8);
	assert_true(wire_get_u64(p, 8, &v) && v == 42);
	assert_false(wire_get_u64(p, 7, &v));
	assert_false(wire_get_u64(p, 9, &v));
	assert_int_equal(wire_put_reason(p, 0xffff), 4);
	assert_true(wire_get_reason(p, 4, &reason) && reason == 0xffff);
	assert_false(wire_get_reason(p, 3, &reason));
	assert_false(wire_get_reason(p, 5, &reason));
	p[2] = 1; /* reserved */
	assert_false(wire_get_reason(p, 4, &reason));
}

static void names_are_exact(void **state)
{
	uint8_t p[WIRE_CONTROL_MAX] = {0};
	struct wire_name in = {
		.flags = VMC_NAME_MESSAGES, .name_len = 2, .name = "ab"};
	struct wire_name out;
	size_t n = wire_put_advertise(p, &in);

	(void)state;
	assert_int_equal(n, 7);
	assert_true(wire_get_advertise(p, n, &out));
	assert_string_equal(out.name, "ab");
	assert_false(wire_get_advertise(p, n - 1, &out));
	assert_false(wire_get_advertise(p, n + 1, &out));
	p[0] = 2;
	assert_false(wire_get_advertise(p, n, &out));
	n = wire_put_withdraw(p, &in);
	assert_int_equal(n, 3);
	assert_true(wire_get_withdraw(p, n, &out));
	assert_false(wire_get_withdraw(p, n - 1, &out));
	assert_false(wire_get_withdraw(p, n + 1, &out));
}

static void names_that_are_legal(void **state)
{
	static const char *const good[] = {"a", "A-b_c.0", "a.b.c", "0"};
	static const char *const bad[] = {"",    ".a",  "a.",  "a..b",
					  "a/b", "a b", "a\n", "\xc3\xa4",
					  "..",  "a:1"};
	char longest[VMC_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(vmc_name_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(vmc_name_valid(bad[i], strlen(bad[i])));
	assert_false(vmc_name_valid("a\0b", 3));
	memset(longest, 'x', sizeof(longest));
	assert_true(vmc_name_valid(longest, VMC_NAME_MAX));
	assert_false(vmc_name_valid(longest, VMC_NAME_MAX + 1));
}

/* ---- HELLO ------------------------------------------------------------------
 */

static struct hello sample_hello(void)
{
	return (struct hello){
		.kind = HELLO_KIND_HELLO,
		.version_min = 1,
		.version_max = 1,
		.nonce = 5,
		.max_frame = VMC_MIN_FRAME,
		.max_streams = 1,
		.inflight_bytes = 1,
	};
}

/* Encodes, and the check is right whatever @h says. */
static enum hello_result round_trip(const struct hello *h)
{
	uint8_t p[HELLO_OURS];
	struct hello out;
	size_t len, n = wire_put_hello(p, h);

	return wire_get_hello(p, n, &out, &len);
}

static void hello_is_found_whole_or_not_at_all(void **state)
{
	uint8_t p[HELLO_OURS];
	struct hello h = sample_hello(), out;
	size_t len, n = wire_put_hello(p, &h);

	(void)state;
	for (size_t some = 0; some < n; some++)
		assert_int_equal(wire_get_hello(p, some, &out, &len),
				 HELLO_SHORT);
	assert_int_equal(wire_get_hello(p, n, &out, &len), HELLO_OK);
	for (unsigned int bit = 0; bit < 8 * n; bit++) {
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(wire_get_hello(p, n, &out, &len),
				     HELLO_OK);
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void hello_is_looked_for(void **state)
{
	uint8_t buf[64] = {0};

	(void)state;
	assert_int_equal(wire_find_hello(buf, 0), 0);
	/* The last zero may be its first byte. */
	assert_int_equal(wire_find_hello(buf, sizeof(buf)), 63);
	memset(buf, 'V', sizeof(buf));
	assert_int_equal(wire_find_hello(buf, sizeof(buf)), 64);
	memcpy(buf + 20, hello_magic, HELLO_MAGIC_LEN);
	for (size_t n = 0; n < HELLO_MAGIC_LEN; n++)
		assert_int_equal(wire_find_hello(buf, 20 + n), 20);
	assert_int_equal(wire_find_hello(buf, sizeof(buf)), 20);
	assert_int_equal(wire_find_hello(buf + 20, 44), 0);
	/* What is nearly one is none. */
	buf[35] = 1;
	assert_int_equal(wire_find_hello(buf, sizeof(buf)), 64);
}

/* At every place, behind every beginning of another one. */
static void hello_is_found_everywhere(void **state)
{
	uint8_t buf[80];

	(void)state;
	for (size_t at = 0; at + HELLO_MAGIC_LEN <= sizeof(buf); at++) {
		for (size_t part = 0; part + 1 < HELLO_MAGIC_LEN; part++) {
			for (int fill = 0; fill < 256; fill++) {
				size_t from = at < part ? 0 : at - part;

				memset(buf, fill, sizeof(buf));
				memcpy(buf + from, hello_magic, at - from);
				memcpy(buf + at, hello_magic, HELLO_MAGIC_LEN);
				assert_int_equal(
					wire_find_hello(buf, sizeof(buf)), at);
			}
		}
	}
}

/* Who writes one beginning after the other makes nobody hash each to its end.
 */
static void hello_with_another_in_it_is_none(void **state)
{
	struct hello h = sample_hello(), out;
	uint8_t buf[HELLO_OURS];
	size_t n, len;

	(void)state;
	n = wire_put_hello(buf, &h);
	assert_int_equal(wire_get_hello(buf, n, &out, &len), HELLO_OK);
	memcpy(h.session_id, hello_magic, HELLO_MAGIC_LEN);
	n = wire_put_hello(buf, &h);
	assert_int_equal(wire_get_hello(buf, n, &out, &len), HELLO_BAD);
	/* Seen before the rest has come. */
	assert_int_equal(wire_get_hello(buf, 64, &out, &len), HELLO_BAD);
	assert_int_equal(wire_get_hello(buf, 63, &out, &len), HELLO_SHORT);
}

static void hello_ranges(void **state)
{
	struct hello h;

	(void)state;
#define GOOD(field, value)                                  \
	do {                                                \
		h = sample_hello();                         \
		h.field = (value);                          \
		assert_int_equal(round_trip(&h), HELLO_OK); \
	} while (0)
#define BAD(field, value)                                    \
	do {                                                 \
		h = sample_hello();                          \
		h.field = (value);                           \
		assert_int_equal(round_trip(&h), HELLO_BAD); \
	} while (0)
	GOOD(role, VMC_ROLE_GUEST);
	BAD(role, 2);
	BAD(kind, 0);
	BAD(kind, 3);
	BAD(nonce, 0);
	BAD(echo, 1);
	BAD(verdict, HELLO_VERDICT_RESUME);
	BAD(version_min, 0);
	BAD(version_min, 2);
	GOOD(version_max, 255);
	BAD(tx_first, 1);
	GOOD(tx_next, 1);
	BAD(features_required, 1);
	GOOD(features_offered, 1);
	BAD(max_frame, VMC_MIN_FRAME - 1);
	GOOD(max_frame, VMC_MAX_FRAME);
	GOOD(max_frame, VMC_MAX_FRAME + 1);
	GOOD(initial_window, VMC_MAX_WINDOW);
	GOOD(initial_window, VMC_MAX_WINDOW + 1);
	BAD(max_streams, 0);
	BAD(inflight_bytes, 0);
#undef GOOD
#undef BAD
}

/* A later release may do with more: what is beyond ours is not used. */
static void hello_of_larger_limits_is_clamped(void **state)
{
	uint8_t p[HELLO_OURS];
	struct hello h = sample_hello(), out;
	size_t len, n;

	(void)state;
	h.max_frame = h.initial_window = h.inflight_bytes = UINT32_MAX;
	n = wire_put_hello(p, &h);
	assert_int_equal(wire_get_hello(p, n, &out, &len), HELLO_OK);
	assert_int_equal(out.max_frame, VMC_MAX_FRAME);
	assert_int_equal(out.initial_window, VMC_MAX_WINDOW);
	assert_int_equal(out.inflight_bytes, VMC_MAX_INFLIGHT);
}

static void hello_ack_needs_echo_and_verdict(void **state)
{
	struct hello h = sample_hello();

	(void)state;
	h.kind = HELLO_KIND_ACK;
	h.echo = 1;
	h.verdict = HELLO_VERDICT_REFUSED;
	assert_int_equal(round_trip(&h), HELLO_OK);
	h.verdict = HELLO_VERDICT_NUM;
	assert_int_equal(round_trip(&h), HELLO_BAD);
	h.verdict = HELLO_VERDICT_NONE;
	assert_int_equal(round_trip(&h), HELLO_BAD);
	h.verdict = HELLO_VERDICT_RESUME;
	h.echo = 0;
	assert_int_equal(round_trip(&h), HELLO_BAD);
}

/* @p: a HELLO without TLVs and room behind it; its length becomes @n. */
static enum hello_result with_length(uint8_t *p, size_t n, struct hello *ret)
{
	size_t len;

	le16_put(p + 24, (uint16_t)n);
	le64_put(p + 16, hash64(p + 24, n - 24));
	return wire_get_hello(p, n, ret, &len);
}

static void hello_tlvs(void **state)
{
	uint8_t p[HELLO_MAX + 8] = {0};
	struct hello h = sample_hello(), out;
	size_t n = wire_put_hello(p, &h);

	(void)state;
	assert_int_equal(n, HELLO_FIXED);
	/* 32 empty ones, and one more */
	assert_int_equal(with_length(p, n + 32 * 4, &out), HELLO_OK);
	assert_int_equal(out.tlvs_ignored, 32);
	assert_int_equal(with_length(p, n + 33 * 4, &out), HELLO_BAD);
	/* one whose length goes beyond the end */
	le16_put(p + n + 2, 1);
	assert_int_equal(with_length(p, n + 4, &out), HELLO_BAD);
	assert_int_equal(with_length(p, n + 5, &out), HELLO_OK);
	assert_int_equal(with_length(p, n + 3, &out), HELLO_BAD);
	/* a mandatory one */
	le16_put(p + n, HELLO_TLV_MUST);
	assert_int_equal(with_length(p, n + 5, &out), HELLO_OK);
	assert_true(out.tlv_refused);
	le16_put(p + n, HELLO_TLV_MUST - 1);
	assert_int_equal(with_length(p, n + 5, &out), HELLO_OK);
	assert_false(out.tlv_refused);
}

static void hello_length_limits(void **state)
{
	uint8_t p[HELLO_MAX + 8] = {0};
	struct hello h = sample_hello(), out;
	size_t n = wire_put_hello(p, &h);

	(void)state;
	le16_put(p + n + 2, (uint16_t)(HELLO_MAX - HELLO_FIXED - 4));
	assert_int_equal(with_length(p, HELLO_MAX, &out), HELLO_OK);
	le16_put(p + n + 2, (uint16_t)(HELLO_MAX - HELLO_FIXED - 3));
	assert_int_equal(with_length(p, HELLO_MAX + 1, &out), HELLO_BAD);
	assert_int_equal(with_length(p, HELLO_FIXED - 1, &out), HELLO_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_check_covers_every_bit),
		cmocka_unit_test(digest_depends_on_everything_that_stays),
		cmocka_unit_test(open_is_exact),
		cmocka_unit_test(open_refuses_what_is_not_legal),
		cmocka_unit_test(small_payloads_are_exact),
		cmocka_unit_test(names_are_exact),
		cmocka_unit_test(names_that_are_legal),
		cmocka_unit_test(hello_is_found_whole_or_not_at_all),
		cmocka_unit_test(hello_is_looked_for),
		cmocka_unit_test(hello_is_found_everywhere),
		cmocka_unit_test(hello_with_another_in_it_is_none),
		cmocka_unit_test(hello_ranges),
		cmocka_unit_test(hello_of_larger_limits_is_clamped),
		cmocka_unit_test(hello_ack_needs_echo_and_verdict),
		cmocka_unit_test(hello_tlvs),
		cmocka_unit_test(hello_length_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
