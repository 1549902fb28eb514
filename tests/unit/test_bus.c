/* SPDX-License-Identifier: MIT */
/*
 * The bus that QEMU's dbus-vmstate sees, with a D-Bus client in QEMU's place
 * and this program in the worker's. Time is what the test says it is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/state.h"
#include "host/bus.h"

#define BUS_NAME     "org.freedesktop.DBus"
#define BUS_PATH     "/org/freedesktop/DBus"
#define VMSTATE      "org.qemu.VMState1"
#define VMSTATE_PATH "/org/qemu/VMState1"
#define OWNER        ":1.0"

/* Turns that are enough for any exchange here. */
#define TURNS 400

struct world {
	struct bus bus;
	uint8_t *mem;
	uint64_t now_us;
	sd_bus *qemu;
	int worker; /* our end of the pair; -1: none */
	sd_bus_message *reply;
	unsigned int n_replies;
};

static int on_reply(sd_bus_message *m, void *data, sd_bus_error *err)
{
	struct world *w = data;

	(void)err;
	sd_bus_message_unref(w->reply);
	w->reply = sd_bus_message_ref(m);
	w->n_replies++;
	return 0;
}

static void turn(struct world *w)
{
	if (w->qemu)
		(void)sd_bus_process(w->qemu, NULL);
	bus_turn(&w->bus, w->now_us);
}

static void turns(struct world *w)
{
	for (int i = 0; i < TURNS; i++)
		turn(w);
}

static void connect_qemu(struct world *w)
{
	int sv[2];

	if (w->qemu)
		w->qemu = sd_bus_close_unref(w->qemu);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(bus_connect(&w->bus, sv[0]), 0);
	assert_true(sd_bus_new(&w->qemu) >= 0);
	assert_true(sd_bus_set_bus_client(w->qemu, 1) >= 0);
	assert_true(sd_bus_set_fd(w->qemu, sv[1], sv[1]) >= 0);
	assert_true(sd_bus_start(w->qemu) >= 0);
	turns(w);
	assert_true(sd_bus_is_ready(w->qemu) > 0); /* Hello was answered */
}

static void connect_worker(struct world *w)
{
	int sv[2];

	if (w->worker >= 0)
		close(w->worker);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	bus_set_worker(&w->bus, sv[0]);
	w->worker = sv[1];
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->mem = mmap(NULL, BUS_STATE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->mem != MAP_FAILED);
	bus_init(&w->bus, w->mem);
	w->now_us = 1000000;
	w->worker = -1;
	*state = w;
	connect_qemu(w);
	return 0;
}

static int set_up_worker(void **state)
{
	struct bus_msg m;
	struct world *w;
	int fd;

	set_up(state);
	w = *state;
	connect_worker(w);
	assert_int_equal(bus_ipc_recv(w->worker, &m, BUS_FROM_BUS, &fd), 1);
	assert_int_equal(m.type, BUS_QEMU);
	assert_int_equal(m.result, 1);
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	sd_bus_message_unref(w->reply);
	sd_bus_close_unref(w->qemu);
	bus_done(&w->bus);
	if (w->worker >= 0)
		close(w->worker);
	munmap(w->mem, BUS_STATE_SIZE);
	free(w);
	return 0;
}

/* ---- asking ---- */

static void send_call(struct world *w, const char *path, const char *interface,
		      const char *member, const char *types, ...)
{
	sd_bus_message *m;
	va_list ap;

	assert_true(sd_bus_message_new_method_call(w->qemu, &m, OWNER, path,
						   interface, member) >= 0);
	va_start(ap, types);
	assert_true(sd_bus_message_appendv(m, types, ap) >= 0);
	va_end(ap);
	assert_true(sd_bus_call_async(w->qemu, NULL, m, on_reply, w, 0) >= 0);
	sd_bus_message_unref(m);
}

static void send_load(struct world *w, const void *blob, size_t len)
{
	sd_bus_message *m;

	assert_true(sd_bus_message_new_method_call(w->qemu, &m, OWNER,
						   VMSTATE_PATH, VMSTATE,
						   "Load") >= 0);
	assert_true(sd_bus_message_append_array(m, 'y', blob, len) >= 0);
	assert_true(sd_bus_call_async(w->qemu, NULL, m, on_reply, w, 0) >= 0);
	sd_bus_message_unref(m);
	turns(w);
}

static void send_save(struct world *w)
{
	send_call(w, VMSTATE_PATH, VMSTATE, "Save", "");
	turns(w);
}

static bool failed(struct world *w)
{
	turns(w);
	assert_non_null(w->reply);
	return sd_bus_message_is_method_error(w->reply, NULL) > 0;
}

static const void *bytes(struct world *w, size_t *ret_len)
{
	const void *p;

	assert_false(failed(w));
	assert_true(sd_bus_message_read_array(w->reply, 'y', &p, ret_len) >= 0);
	return p;
}

static void expect_nothing(struct world *w)
{
	uint8_t nothing[STATE_HEADER_LEN];
	size_t len;
	const void *p = bytes(w, &len);

	state_nothing(nothing);
	assert_int_equal(len, sizeof(nothing));
	assert_memory_equal(p, nothing, sizeof(nothing));
}

/* ---- being a worker ---- */

static struct bus_msg hear(struct world *w, enum bus_type type)
{
	struct bus_msg m;
	int fd = -1;

	assert_int_equal(bus_ipc_recv(w->worker, &m, BUS_FROM_BUS, &fd), 1);
	assert_int_equal(m.type, type);
	return m;
}

static void expect_silence(struct world *w)
{
	struct bus_msg m;
	int fd;

	assert_int_equal(bus_ipc_recv(w->worker, &m, BUS_FROM_BUS, &fd),
			 -EAGAIN);
}

static void say(struct world *w, enum bus_type type, const uint8_t *id,
		uint32_t size)
{
	struct bus_msg m = {.type = type, .size = size};

	memcpy(m.id, id, sizeof(m.id));
	assert_int_equal(bus_ipc_send(w->worker, &m, BUS_FROM_WORKER, -1), 0);
	turns(w);
}

static void put_state(uint8_t *at, size_t len, enum state_kind kind,
		      const uint8_t id[STATE_ID_LEN])
{
	struct state_header h = {.kind = kind, .len = len};

	memcpy(h.save_id, id, sizeof(h.save_id));
	for (size_t i = STATE_HEADER_LEN; i < len; i++)
		at[i] = (uint8_t)(i * 7);
	state_put_header(at, &h);
}

/* ---- names and properties ---- */

static void test_names(void **state)
{
	struct world *w = *state;
	const char *text;
	uint32_t n;

	send_call(w, BUS_PATH, BUS_NAME, "GetNameOwner", "s", VMSTATE);
	assert_false(failed(w));
	assert_true(sd_bus_message_read(w->reply, "s", &text) > 0);
	assert_string_equal(text, OWNER);
	send_call(w, BUS_PATH, BUS_NAME, "ListQueuedOwners", "s", VMSTATE);
	assert_false(failed(w));
	assert_true(sd_bus_message_read(w->reply, "as", 1, &text) > 0);
	assert_string_equal(text, OWNER);
	send_call(w, BUS_PATH, BUS_NAME, "StartServiceByName", "su", VMSTATE,
		  0);
	assert_false(failed(w));
	assert_true(sd_bus_message_read(w->reply, "u", &n) > 0);
	assert_int_equal(n, 2);
	send_call(w, BUS_PATH, BUS_NAME, "AddMatch", "s", "type='signal'");
	assert_false(failed(w));
	send_call(w, BUS_PATH, BUS_NAME, "RemoveMatch", "s", "type='signal'");
	assert_false(failed(w));
	send_call(w, BUS_PATH, BUS_NAME, "GetNameOwner", "s", BUS_NAME);
	assert_false(failed(w));
	assert_true(sd_bus_message_read(w->reply, "s", &text) > 0);
	assert_string_equal(text, BUS_NAME);
	send_call(w, BUS_PATH, BUS_NAME, "GetNameOwner", "s", "org.other");
	assert_true(failed(w));
	assert_string_equal(sd_bus_message_get_error(w->reply)->name,
			    SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

static void test_id(void **state)
{
	struct world *w = *state;
	const char *key, *text;

	send_call(w, VMSTATE_PATH, BUS_NAME ".Properties", "GetAll", "s",
		  VMSTATE);
	assert_false(failed(w));
	assert_true(sd_bus_message_read(w->reply, "a{sv}", 1, &key, "s",
					&text) > 0);
	assert_string_equal(key, "Id");
	assert_string_equal(text, "vmchannel");
}

/* Each call only as QEMU makes it: path, interface, arguments. */
static void test_other_calls(void **state)
{
	static const struct {
		const char *path, *interface, *member;
		bool text;
	} other[] = {
		{VMSTATE_PATH, VMSTATE, "Drop", false},
		{VMSTATE_PATH, BUS_NAME, "Save", false},
		{BUS_PATH, VMSTATE, "Save", false},
		{VMSTATE_PATH, VMSTATE, "Save", true},
		{VMSTATE_PATH, VMSTATE, "Load", true},
		{"/", BUS_NAME, "AddMatch", true},
		{BUS_PATH, BUS_NAME, "AddMatch", false},
		{VMSTATE_PATH, BUS_NAME ".Peer", "GetMachineId", false},
		{VMSTATE_PATH, BUS_NAME ".Introspectable", "Introspect", false},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		send_call(w, other[i].path, other[i].interface, other[i].member,
			  other[i].text ? "s" : "", "x");
		assert_true(failed(w));
		assert_int_equal(w->bus.n.refused, i + 1);
	}
	assert_null(w->bus.call);
	expect_silence(w);
}

/* ---- Save ---- */

static void test_save(void **state)
{
	static const uint32_t sizes[] = {STATE_HEADER_LEN, 989792, BUS_AREA};
	struct world *w = *state;

	for (size_t i = 0; i < 3; i++) {
		uint8_t *expected = malloc(sizes[i]);
		struct bus_msg m;
		const void *p;
		size_t len;

		send_save(w);
		m = hear(w, BUS_SAVE);
		assert_int_equal(w->n_replies, i);
		put_state(w->mem + BUS_SAVE_AT, sizes[i], STATE_MOVE, m.id);
		memcpy(expected, w->mem + BUS_SAVE_AT, sizes[i]);
		say(w, BUS_SAVED, m.id, sizes[i]);
		p = bytes(w, &len);
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(p, expected, len);
		assert_int_equal(w->mem[BUS_SAVE_AT], 0); /* given back */
		free(expected);
	}
	assert_int_equal(w->bus.n.saves, 3);
	assert_int_equal(w->bus.n.nothing, 0);
}

static void test_save_of_no_session(void **state)
{
	struct world *w = *state;
	struct bus_msg m;

	send_save(w);
	m = hear(w, BUS_SAVE);
	say(w, BUS_SAVED, m.id, 0);
	expect_nothing(w);
	send_save(w);
	m = hear(w, BUS_SAVE);
	state_nothing(w->mem + BUS_SAVE_AT);
	say(w, BUS_SAVED, m.id, STATE_HEADER_LEN);
	expect_nothing(w);
	assert_int_equal(w->bus.n.nothing, 2);
	assert_int_equal(w->bus.n.nonsense, 0);
}

/* Every Save has an id of its own, and only that is answered. */
static void test_save_id(void **state)
{
	struct world *w = *state;
	struct bus_msg first, second;

	send_save(w);
	first = hear(w, BUS_SAVE);
	w->now_us += BUS_SAVE_MS * 1000u - 1;
	turns(w);
	assert_int_equal(w->n_replies, 0);
	w->now_us++;
	expect_nothing(w);
	assert_int_equal(w->bus.n.late, 1);

	send_save(w);
	second = hear(w, BUS_SAVE);
	assert_memory_not_equal(first.id, second.id, sizeof(first.id));
	put_state(w->mem + BUS_SAVE_AT, 200, STATE_MOVE, first.id);
	say(w, BUS_SAVED, first.id, 200);
	assert_int_equal(w->n_replies, 1);
	/* The right answer, with the other one's bytes. */
	say(w, BUS_SAVED, second.id, 200);
	assert_int_equal(w->n_replies, 2);
	expect_nothing(w);
	assert_int_equal(w->bus.n.nonsense, 1);
}

static void test_save_that_is_none(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 4; i++) {
		uint8_t *at = w->mem + BUS_SAVE_AT;
		uint32_t len = 400;
		struct bus_msg m;

		send_save(w);
		m = hear(w, BUS_SAVE);
		put_state(at, len, i == 0 ? STATE_UPGRADE : STATE_MOVE, m.id);
		if (i == 1)
			len -= 8;
		if (i == 2)
			at[0] ^= 1;
		if (i == 3)
			len = STATE_HEADER_LEN - 1;
		say(w, BUS_SAVED, m.id, len);
		expect_nothing(w);
	}
	assert_int_equal(w->bus.n.nonsense, 4);
	assert_int_equal(w->bus.n.saves, 0);
}

static void test_save_without_worker(void **state)
{
	struct world *w = *state;

	send_save(w);
	assert_int_equal(w->n_replies, 0);
	w->now_us += BUS_SAVE_MS * 1000u;
	expect_nothing(w);
}

/* The one that comes instead of it is asked, with the same id. */
static void test_save_when_the_worker_dies(void **state)
{
	struct world *w = *state;
	struct bus_msg m, again;
	size_t len;

	send_save(w);
	m = hear(w, BUS_SAVE);
	close(w->worker);
	w->worker = -1;
	turns(w);
	assert_int_equal(w->bus.worker, -1);
	connect_worker(w);
	hear(w, BUS_QEMU);
	again = hear(w, BUS_SAVE);
	assert_memory_equal(m.id, again.id, sizeof(m.id));
	put_state(w->mem + BUS_SAVE_AT, 160, STATE_MOVE, m.id);
	say(w, BUS_SAVED, m.id, 160);
	bytes(w, &len);
	assert_int_equal(len, 160);
}

static void test_one_call_at_a_time(void **state)
{
	struct world *w = *state;
	struct bus_msg m;

	send_save(w);
	m = hear(w, BUS_SAVE);
	send_save(w);
	assert_true(failed(w));
	assert_string_equal(sd_bus_message_get_error(w->reply)->name,
			    SD_BUS_ERROR_LIMITS_EXCEEDED);
	send_load(w, w->mem, 100);
	assert_true(failed(w));
	assert_int_equal(w->n_replies, 2);
	expect_silence(w);
	say(w, BUS_SAVED, m.id, 0);
	assert_int_equal(w->n_replies, 3);
	expect_nothing(w);
}

/* ---- Load ---- */

static void test_load(void **state)
{
	static const size_t sizes[] = {STATE_HEADER_LEN, 989792, BUS_AREA};
	static const uint8_t id[STATE_ID_LEN] = {1, 2, 3};
	struct world *w = *state;

	for (size_t i = 0; i < 3; i++) {
		uint8_t *blob = malloc(sizes[i]);
		struct bus_msg m;

		put_state(blob, sizes[i], i ? STATE_MOVE : STATE_NOTHING, id);
		send_load(w, blob, sizes[i]);
		m = hear(w, BUS_LOAD);
		assert_int_equal(m.size, sizes[i]);
		assert_memory_equal(w->mem + BUS_LOAD_AT, blob, sizes[i]);
		assert_int_equal(w->n_replies, i);
		say(w, BUS_LOADED, m.id, 0);
		assert_int_equal(w->n_replies, i + 1);
		assert_false(failed(w));
		assert_int_equal(w->mem[BUS_LOAD_AT], 0); /* given back */
		free(blob);
	}
	assert_int_equal(w->bus.n.loads, 3);
	assert_int_equal(w->bus.n.bad_loads, 0);
}

/* Whatever comes: QEMU hears success, the worker that it was no state. */
static void test_load_of_no_state(void **state)
{
	static const uint8_t id[STATE_ID_LEN] = {1};
	uint8_t *blob = calloc(1, BUS_AREA + 8);
	struct world *w = *state;

	for (int i = 0; i < 4; i++) {
		size_t len = i == 0   ? 0
			     : i == 1 ? STATE_HEADER_LEN - 1
			     : i == 2 ? BUS_AREA + 8
				      : 1000;
		struct bus_msg m;

		if (i == 2)
			put_state(blob, len, STATE_MOVE, id);
		if (i == 3)
			memset(blob, 0xee, 1000);
		send_load(w, blob, len);
		m = hear(w, BUS_LOAD);
		assert_int_equal(m.size, 0);
		say(w, BUS_LOADED, m.id, 0);
		assert_false(failed(w));
		assert_int_equal(w->bus.n.bad_loads, i + 1);
	}
	free(blob);
}

static void test_load_late(void **state)
{
	uint8_t blob[STATE_HEADER_LEN];
	struct world *w = *state;
	struct bus_msg m;

	state_nothing(blob);
	send_load(w, blob, sizeof(blob));
	m = hear(w, BUS_LOAD);
	w->now_us += BUS_LOAD_MS * 1000u - 1;
	turns(w);
	assert_int_equal(w->n_replies, 0);
	w->now_us++;
	assert_false(failed(w));
	assert_int_equal(w->bus.n.late, 1);
	say(w, BUS_LOADED, m.id, 0); /* it counts all the same */
	assert_int_equal(w->bus.n.loads, 1);
	assert_false(w->bus.load_waits);
}

/* A state outlives the lack of a worker, but not two that die of it. */
static void test_load_waits_for_a_worker(void **state)
{
	static const uint8_t id[STATE_ID_LEN] = {9};
	uint8_t blob[400];
	struct world *w = *state;
	struct bus_msg m, again;

	put_state(blob, sizeof(blob), STATE_MOVE, id);
	send_load(w, blob, sizeof(blob));
	w->now_us += BUS_LOAD_MS * 1000u;
	assert_false(failed(w));
	connect_worker(w);
	hear(w, BUS_QEMU);
	m = hear(w, BUS_LOAD);
	assert_memory_equal(w->mem + BUS_LOAD_AT, blob, sizeof(blob));
	connect_worker(w);
	hear(w, BUS_QEMU);
	again = hear(w, BUS_LOAD);
	assert_memory_equal(m.id, again.id, sizeof(m.id));
	connect_worker(w);
	hear(w, BUS_QEMU);
	expect_silence(w);
	assert_int_equal(w->mem[BUS_LOAD_AT], 0);
}

/* What another QEMU brought does not reach this one's worker. */
static void test_load_of_another_qemu(void **state)
{
	uint8_t blob[STATE_HEADER_LEN];
	struct world *w = *state;

	state_nothing(blob);
	send_load(w, blob, sizeof(blob));
	w->now_us += BUS_LOAD_MS * 1000u;
	turns(w);
	connect_qemu(w);
	connect_worker(w);
	hear(w, BUS_QEMU);
	expect_silence(w);
}

/* ---- connections ---- */

static void test_replaced(void **state)
{
	struct world *w = *state;
	sd_bus *old = w->qemu;

	send_save(w);
	hear(w, BUS_SAVE);
	w->qemu = NULL;
	connect_qemu(w);
	assert_null(w->bus.call); /* nobody waits for it any more */
	assert_int_equal(hear(w, BUS_QEMU).result, 0);
	assert_int_equal(hear(w, BUS_QEMU).result, 1);
	sd_bus_close_unref(old);
	send_save(w);
	say(w, BUS_SAVED, hear(w, BUS_SAVE).id, 0);
	expect_nothing(w);
}

static void test_qemu_ends(void **state)
{
	struct world *w = *state;

	send_save(w);
	hear(w, BUS_SAVE);
	w->qemu = sd_bus_close_unref(w->qemu);
	turns(w);
	assert_null(w->bus.conn);
	assert_null(w->bus.call);
	assert_int_equal(hear(w, BUS_QEMU).result, 0);
}

static void test_worker_nonsense(void **state)
{
	struct world *w = *state;

	assert_int_equal(send(w->worker, "hello", 5, 0), 5);
	turns(w);
	assert_int_equal(w->bus.n.nonsense, 1);
	assert_int_equal(w->bus.worker, -1);
	send_save(w);
	w->now_us += BUS_SAVE_MS * 1000u;
	expect_nothing(w);
}

/* ---- a QEMU that was taken over ---- */

/* A connection by hand. Return: our end. */
static int raw_qemu(struct world *w, bool authenticated)
{
	char hello[80];
	int sv[2];

	w->qemu = sd_bus_close_unref(w->qemu);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(bus_connect(&w->bus, sv[0]), 0);
	if (authenticated) {
		int n = snprintf(hello, sizeof(hello),
				 "%cAUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", 0);

		assert_int_equal(send(sv[1], hello, (size_t)n, 0), n);
		turns(w);
	}
	return sv[1];
}

/* Calls and never reads an answer. */
static void test_qemu_does_not_read(void **state)
{
	/* Peer.Ping, without arguments, serial 1 */
	static const uint8_t call[] = {
		'l', 1, 0,   1, 0, 0, 0, 0, 1,   0,   0,   0,   0x1d, 0, 0, 0,
		1,   1, 'o', 0, 1, 0, 0, 0, '/', 0,   0,   0,   0,    0, 0, 0,
		3,   1, 's', 0, 4, 0, 0, 0, 'P', 'i', 'n', 'g', 0,    0, 0, 0,
	};
	struct world *w = *state;
	int fd = raw_qemu(w, true);
	unsigned int n = 0;

	while (w->bus.conn && n < 100000) {
		n += send(fd, call, sizeof(call), MSG_NOSIGNAL) > 0;
		bus_turn(&w->bus, w->now_us);
	}
	assert_null(w->bus.conn);
	assert_int_equal(w->bus.n.dropped, 1);
	assert_true(w->bus.n.refused > BUS_QUEUE_MAX);
	close(fd);
}

/* A message of 100 MiB is announced; the sandbox's limit on memory or the end
 * of the bytes stops it, not our patience. */
static void test_nonsense_from_qemu(void **state)
{
	static const char *const starts[] = {
		"",
		"GET / HTTP/1.1\r\n\r\n",
		"l\1\0\1",
	};
	struct world *w = *state;
	unsigned int seed = 1;

	for (size_t i = 0; i < 300; i++) {
		uint8_t buf[512];
		int fd = raw_qemu(w, i % 2);
		size_t n = strlen(starts[i % 3]);

		for (size_t k = 0; k < sizeof(buf); k++) {
			seed = seed * 1103515245u + 12345u;
			buf[k] = (uint8_t)(seed >> 16);
		}
		memcpy(buf, starts[i % 3], n);
		assert_int_equal(send(fd, buf, sizeof(buf), MSG_NOSIGNAL),
				 sizeof(buf));
		shutdown(fd, SHUT_WR);
		turns(w);
		assert_null(w->bus.conn);
		close(fd);
	}
	connect_qemu(w); /* and it still works */
}

static void test_without_qemu(void **state)
{
	struct world *w = *state;
	struct bus_poll p;

	bus_poll(&w->bus, &p);
	assert_true(p.qemu_fd >= 0);
	assert_int_equal(p.until_us, BUS_US_NEVER); /* idle: no timer */
	send_save(w);
	bus_poll(&w->bus, &p);
	assert_int_equal(p.until_us, w->now_us + BUS_SAVE_MS * 1000u);
	w->qemu = sd_bus_close_unref(w->qemu);
	turns(w);
	bus_poll(&w->bus, &p);
	assert_int_equal(p.qemu_fd, -1);
	assert_int_equal(p.until_us, BUS_US_NEVER);
}

#define ALONE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define WITH_WORKER(f) \
	cmocka_unit_test_setup_teardown(f, set_up_worker, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ALONE(test_names),
		ALONE(test_id),
		WITH_WORKER(test_other_calls),
		WITH_WORKER(test_save),
		WITH_WORKER(test_save_of_no_session),
		WITH_WORKER(test_save_id),
		WITH_WORKER(test_save_that_is_none),
		ALONE(test_save_without_worker),
		WITH_WORKER(test_save_when_the_worker_dies),
		WITH_WORKER(test_one_call_at_a_time),
		WITH_WORKER(test_load),
		WITH_WORKER(test_load_of_no_state),
		WITH_WORKER(test_load_late),
		ALONE(test_load_waits_for_a_worker),
		ALONE(test_load_of_another_qemu),
		WITH_WORKER(test_replaced),
		WITH_WORKER(test_qemu_ends),
		WITH_WORKER(test_worker_nonsense),
		WITH_WORKER(test_qemu_does_not_read),
		WITH_WORKER(test_nonsense_from_qemu),
		ALONE(test_without_qemu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
