/* SPDX-License-Identifier: MIT */
/* The messages between the bus process, the supervisor and a worker. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/bus_ipc.h"

#define SUP BUS_FROM_SUPERVISOR
#define BUS BUS_FROM_BUS
#define WRK BUS_FROM_WORKER

/* One legal message of each type. */
static const struct {
	enum bus_side from;
	bool fd;
	struct bus_msg m;
} legal[] = {
	{SUP, true, {.type = BUS_WORKER}},
	{BUS, true, {.type = BUS_STATE}},
	{BUS, false, {.type = BUS_QEMU, .result = 1}},
	{BUS, false, {.type = BUS_SAVE, .id = "0123456789abcde"}},
	{WRK, false, {.type = BUS_SAVED, .id = {1}, .size = BUS_AREA}},
	{BUS, false, {.type = BUS_LOAD, .id = {2}, .size = 80}},
	{WRK, false, {.type = BUS_LOADED, .id = {3}, .result = -5}},
};

#define N_LEGAL (sizeof(legal) / sizeof(legal[0]))

static void test_round_trip(void **state)
{
	for (size_t i = 0; i < N_LEGAL; i++) {
		uint8_t buf[BUS_MSG_BYTES];
		struct bus_msg m;

		assert_true(bus_encode(&legal[i].m, legal[i].from, legal[i].fd,
				       buf));
		assert_true(bus_decode(&m, legal[i].from, legal[i].fd, buf,
				       sizeof(buf)));
		assert_int_equal(m.version, BUS_VERSION);
		assert_int_equal(m.type, legal[i].m.type);
		assert_int_equal(m.result, legal[i].m.result);
		assert_int_equal(m.size, legal[i].m.size);
		assert_memory_equal(m.id, legal[i].m.id, sizeof(m.id));
	}
}

static void test_every_type_is_tested(void **state)
{
	bool seen[BUS_TYPE_NUM] = {true};

	for (size_t i = 0; i < N_LEGAL; i++)
		seen[legal[i].m.type] = true;
	for (size_t i = 0; i < BUS_TYPE_NUM; i++)
		assert_true(seen[i]);
}

/* A message says who may send it and whether a descriptor comes along. */
static void test_sender_and_descriptor(void **state)
{
	static const enum bus_side sides[] = {SUP, BUS, WRK};
	uint8_t buf[BUS_MSG_BYTES];
	struct bus_msg m;

	for (size_t i = 0; i < N_LEGAL; i++) {
		bus_encode(&legal[i].m, legal[i].from, legal[i].fd, buf);
		assert_false(bus_decode(&m, legal[i].from, !legal[i].fd, buf,
					sizeof(buf)));
		for (size_t s = 0; s < 3; s++)
			assert_int_equal(bus_decode(&m, sides[s], legal[i].fd,
						    buf, sizeof(buf)),
					 sides[s] == legal[i].from);
	}
}

/* Fields that a type does not have are zero, lengths exact. */
static void test_nothing_extra(void **state)
{
	uint8_t buf[BUS_MSG_BYTES + 1] = {0};
	struct bus_msg m;

	for (size_t i = 0; i < N_LEGAL; i++) {
		bool fd = legal[i].fd;

		bus_encode(&legal[i].m, legal[i].from, fd, buf);
		for (size_t n = 0; n < BUS_MSG_BYTES; n++)
			assert_false(bus_decode(&m, legal[i].from, fd, buf, n));
		assert_false(bus_decode(&m, legal[i].from, fd, buf,
					BUS_MSG_BYTES + 1));
	}
	bus_encode(&legal[3].m, BUS, false, buf); /* SAVE: only an id */
	buf[8] = 1;
	assert_false(bus_decode(&m, BUS, false, buf, BUS_MSG_BYTES));
	buf[8] = 0;
	buf[4] = 1;
	assert_false(bus_decode(&m, BUS, false, buf, BUS_MSG_BYTES));
	bus_encode(&legal[2].m, BUS, false, buf); /* QEMU: no id */
	buf[27] = 1;
	assert_false(bus_decode(&m, BUS, false, buf, BUS_MSG_BYTES));
}

static void test_size_and_version(void **state)
{
	struct bus_msg m = {.type = BUS_SAVED, .size = BUS_AREA + 1};
	uint8_t buf[BUS_MSG_BYTES];

	assert_false(bus_encode(&m, WRK, false, buf));
	m.size--;
	assert_true(bus_encode(&m, WRK, false, buf));
	buf[8] = 1; /* BUS_AREA + 1 */
	assert_false(bus_decode(&m, WRK, false, buf, sizeof(buf)));
	buf[8] = 0;
	buf[0] = BUS_VERSION + 1;
	assert_false(bus_decode(&m, WRK, false, buf, sizeof(buf)));
	buf[0] = BUS_VERSION_OLD - 1;
	assert_false(bus_decode(&m, WRK, false, buf, sizeof(buf)));
	buf[0] = BUS_VERSION_OLD;
	assert_true(bus_decode(&m, WRK, false, buf, sizeof(buf)));
	buf[2] = BUS_TYPE_NUM;
	assert_false(bus_decode(&m, WRK, false, buf, sizeof(buf)));
	buf[2] = BUS_NONE;
	assert_false(bus_decode(&m, WRK, false, buf, sizeof(buf)));
}

static void test_pair(void **state)
{
	struct bus_msg m = {.type = BUS_STATE};
	int sv[2], fd = -1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	assert_int_equal(bus_ipc_send(sv[0], &m, BUS, -1), -EINVAL);
	assert_int_equal(bus_ipc_send(sv[0], &m, BUS, 2), 0);
	assert_int_equal(bus_ipc_recv(sv[1], &m, BUS, &fd), 1);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(bus_ipc_recv(sv[1], &m, BUS, &fd), -EAGAIN);
	assert_int_equal(bus_ipc_send(sv[0], &m, BUS, 2), 0);
	assert_int_equal(bus_ipc_recv(sv[1], &m, WRK, &fd), -EPROTO);
	assert_int_equal(
		send(sv[0], (char[BUS_MSG_BYTES + 1]){1}, BUS_MSG_BYTES + 1, 0),
		BUS_MSG_BYTES + 1);
	assert_int_equal(bus_ipc_recv(sv[1], &m, BUS, &fd), -EPROTO);
	close(sv[0]);
	assert_int_equal(bus_ipc_recv(sv[1], &m, BUS, &fd), 0);
	close(sv[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_type_is_tested),
		cmocka_unit_test(test_sender_and_descriptor),
		cmocka_unit_test(test_nothing_extra),
		cmocka_unit_test(test_size_and_version),
		cmocka_unit_test(test_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
