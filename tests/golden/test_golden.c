/* SPDX-License-Identifier: MIT */
/*
 * test_golden.c - the bytes of every frame type and of HELLO are frozen
 *
 *	test_golden FRAMES.TXT           compare
 *	test_golden --print              what the code makes of the cases
 *
 * A line of the file is NAME HEX. A difference means a new wire version, or a
 * mistake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "session/wire.h"

#define SEED UINT64_C(0x0123456789abcdef)
#define MAX  2048u

static const char *path;

static const struct wire_open open_case = {
	.flags = VMC_OPEN_MESSAGES,
	.who = {.kind = VMC_PRINCIPAL_GUEST, .uid = 1000, .gid = 100},
	.name_len = 16,
	.name = "org.example.echo",
};
static const struct wire_name name_case = {
	.flags = VMC_NAME_MESSAGES,
	.name_len = 16,
	.name = "org.example.echo",
};
static const struct hello hello_case = {
	.kind = HELLO_KIND_HELLO,
	.role = VMC_ROLE_HOST,
	.version_min = 1,
	.version_max = 1,
	.nonce = UINT64_C(0x1122334455667788),
	.session_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	.epoch = 3,
	.attach_no = 5,
	.rx_next = 7,
	.tx_first = 8,
	.tx_next = 9,
	.rx_digest = UINT64_C(0x99aabbccddeeff00),
	.instance = 42,
	.features_offered = 3,
	.features_required = 1,
	.max_frame = 32768,
	.initial_window = 1024,
	.max_streams = 256,
	.max_names = 64,
	.inflight_bytes = 196608,
};

/* ---- one maker per case ----------------------------------------------------
 */

static size_t none(uint8_t *p)
{
	(void)p;
	return 0;
}

static size_t token(uint8_t *p)
{
	return wire_put_u64(p, UINT64_C(0x0807060504030201));
}

static size_t reason(uint8_t *p)
{
	return wire_put_reason(p, VMC_REASON_DENIED);
}

static size_t open_payload(uint8_t *p)
{
	return wire_put_open(p, &open_case);
}

static size_t data(uint8_t *p)
{
	memcpy(p, "hello", 5);
	return 5;
}

static size_t advertise(uint8_t *p)
{
	return wire_put_advertise(p, &name_case);
}

static size_t withdraw(uint8_t *p)
{
	return wire_put_withdraw(p, &name_case);
}

struct frame_case {
	const char *name;
	uint8_t type, flags;
	uint32_t stream, seq;
	size_t (*payload)(uint8_t *p);
};

static const struct frame_case frames[] = {
	{"ACK", WIRE_ACK, 0, 0, 0, none},
	{"PING", WIRE_PING, 0, 0, 0, token},
	{"PONG", WIRE_PONG, 0, 0, 0, token},
	{"BYE", WIRE_BYE, 0, 0, 0, reason},
	{"OPEN", WIRE_OPEN, 0, 2, 1, open_payload},
	{"ACCEPT", WIRE_ACCEPT, 0, 1, 2, none},
	{"REJECT", WIRE_REJECT, 0, 1, 3, reason},
	{"DATA", WIRE_DATA, 0, 2, 4, data},
	{"DATA_FIN", WIRE_DATA, WIRE_FIN, 2, 5, none},
	{"CREDIT", WIRE_CREDIT, 0, 2, 6, token},
	{"STOP", WIRE_STOP, 0, 2, 7, reason},
	{"RESET", WIRE_RESET, 0, 2, 8, reason},
	{"ADVERTISE", WIRE_ADVERTISE, 0, 0, 9, advertise},
	{"WITHDRAW", WIRE_WITHDRAW, 0, 0, 10, withdraw},
};

#define N_FRAMES (sizeof(frames) / sizeof(frames[0]))

static size_t make_frame(const struct frame_case *c, uint8_t *p)
{
	struct wire_header h = {
		.type = c->type,
		.flags = c->flags,
		.stream = c->stream,
		.seq = c->seq,
	};

	h.len = (uint16_t)c->payload(p + WIRE_HEADER);
	h.hash = hash64(p + WIRE_HEADER, h.len);
	wire_put_header(p, &h);
	wire_stamp(p, 17, SEED);
	return WIRE_HEADER + h.len;
}

static size_t make_hello(uint8_t *p, uint8_t kind, bool tlv)
{
	struct hello h = hello_case;

	h.kind = kind;
	if (kind == HELLO_KIND_ACK) {
		h.echo = UINT64_C(0x8877665544332211);
		h.verdict = HELLO_VERDICT_RESUME;
	}
	if (tlv) {
		h.grease_type = 0x7abc;
		h.grease = UINT64_C(0x0102030405060708);
	}
	return wire_put_hello(p, &h);
}

static size_t make_explained(uint8_t *p)
{
	struct hello h = hello_case;

	h.explain = VMC_REASON_MIGRATED;
	return wire_put_hello(p, &h);
}

/* Case number @i into @p; NULL after the last. */
static const char *make(size_t i, uint8_t *p, size_t *ret_len)
{
	if (i < N_FRAMES) {
		*ret_len = make_frame(&frames[i], p);
		return frames[i].name;
	}
	switch (i - N_FRAMES) {
	case 0:
		*ret_len = make_hello(p, HELLO_KIND_HELLO, false);
		return "HELLO";
	case 1:
		*ret_len = make_hello(p, HELLO_KIND_ACK, false);
		return "HELLO_ACK";
	case 2:
		*ret_len = make_hello(p, HELLO_KIND_HELLO, true);
		return "HELLO_TLV";
	case 3:
		*ret_len = make_explained(p);
		return "HELLO_EXPLAIN";
	default:
		return NULL;
	}
}

static void to_hex(const uint8_t *p, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++)
		snprintf(ret + 2 * i, 3, "%02x", p[i]);
}

static void print_all(void)
{
	static uint8_t bytes[MAX];
	static char hex[2 * MAX + 1];
	const char *name;
	size_t len;

	for (size_t i = 0; (name = make(i, bytes, &len)); i++) {
		to_hex(bytes, len, hex);
		printf("%s %s\n", name, hex);
	}
}

/* ---- tests ----------------------------------------------------------------
 */

static void bytes_are_frozen(void **state)
{
	static uint8_t bytes[MAX];
	static char hex[2 * MAX + 1], line[2 * MAX + 64], want[2 * MAX + 64];
	FILE *f = fopen(path, "re");
	const char *name;
	size_t len, i;

	(void)state;
	assert_non_null(f);
	for (i = 0; (name = make(i, bytes, &len)); i++) {
		to_hex(bytes, len, hex);
		snprintf(want, sizeof(want), "%s %s\n", name, hex);
		assert_non_null(fgets(line, sizeof(line), f));
		assert_string_equal(line, want);
	}
	assert_null(fgets(line, sizeof(line), f));
	fclose(f);
}

static void every_frame_type_has_a_case(void **state)
{
	static const uint8_t types[] = {
#define FRAME(name, type, flags, stream, min, max, handler) (type),
#include "session/frames.def"
#undef FRAME
	};

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		size_t k = 0;

		while (k < N_FRAMES && frames[k].type != types[i])
			k++;
		assert_true(k < N_FRAMES);
	}
}

static void frames_decode_to_what_was_encoded(void **state)
{
	static uint8_t bytes[MAX];
	struct wire_header h;

	(void)state;
	for (size_t i = 0; i < N_FRAMES; i++) {
		size_t len = make_frame(&frames[i], bytes);

		assert_true(wire_get_header(bytes, SEED, &h));
		assert_int_equal(h.type, frames[i].type);
		assert_int_equal(h.flags, frames[i].flags);
		assert_int_equal(h.stream, frames[i].stream);
		assert_int_equal(h.seq, frames[i].seq);
		assert_int_equal(h.ack, 17);
		assert_int_equal(h.len, len - WIRE_HEADER);
		assert_int_equal(h.hash, hash64(bytes + WIRE_HEADER, h.len));
	}
}

static void hello_decodes_to_what_was_encoded(void **state)
{
	static uint8_t bytes[MAX];
	struct hello h;
	size_t len;

	(void)state;
	make_hello(bytes, HELLO_KIND_ACK, false);
	assert_int_equal(wire_get_hello(bytes, MAX, &h, &len), HELLO_OK);
	assert_int_equal(len, HELLO_FIXED);
	assert_int_equal(h.verdict, HELLO_VERDICT_RESUME);
	assert_int_equal(h.nonce, hello_case.nonce);
	assert_memory_equal(h.session_id, hello_case.session_id, 16);
	assert_int_equal(h.epoch, 3);
	assert_int_equal(h.attach_no, 5);
	assert_int_equal(h.rx_next, 7);
	assert_int_equal(h.tx_first, 8);
	assert_int_equal(h.tx_next, 9);
	assert_int_equal(h.rx_digest, hello_case.rx_digest);
	assert_int_equal(h.instance, 42);
	assert_int_equal(h.features_offered, 3);
	assert_int_equal(h.features_required, 1);
	assert_int_equal(h.max_frame, 32768);
	assert_int_equal(h.initial_window, 1024);
	assert_int_equal(h.max_streams, 256);
	assert_int_equal(h.max_names, 64);
	assert_int_equal(h.inflight_bytes, 196608);
	make_hello(bytes, HELLO_KIND_HELLO, true);
	assert_int_equal(wire_get_hello(bytes, MAX, &h, &len), HELLO_OK);
	assert_int_equal(h.tlvs_ignored, 1);
	assert_int_equal(h.explain, 0);
	make_explained(bytes);
	assert_int_equal(wire_get_hello(bytes, MAX, &h, &len), HELLO_OK);
	assert_int_equal(h.explain, VMC_REASON_MIGRATED);
	assert_int_equal(h.tlvs_ignored, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_frozen),
		cmocka_unit_test(every_frame_type_has_a_case),
		cmocka_unit_test(frames_decode_to_what_was_encoded),
		cmocka_unit_test(hello_decodes_to_what_was_encoded),
	};

	if (argc == 2 && !strcmp(argv[1], "--print")) {
		print_all();
		return 0;
	}
	path = argc > 1 ? argv[1] : "frames.txt";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
