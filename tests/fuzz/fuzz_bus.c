/* SPDX-License-Identifier: MIT */
/*
 * fuzz_bus.c - what a QEMU that was taken over may send to the bus process,
 * and a worker
 *
 * The first byte chooses: the bytes of a connection from its beginning, behind
 * a greeting, or the packets of a worker while QEMU waits for a Save. Nothing
 * may wait, grow without limit or stay behind.
 */
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/log.h"
#include "fuzz.h"
#include "host/bus.h"

/* A socket takes all of it at once. */
#define BYTES_MAX 60000u
#define TURNS     64

static const char greeting[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

/* org.qemu.VMState1.Save of /org/qemu/VMState1, serial 1 */
static const char save[] = "l\1\0\1\0\0\0\0\1\0\0\0\x4d\0\0\0"
			   "\1\1o\0\x12\0\0\0/org/qemu/VMState1\0\0\0\0\0\0"
			   "\2\1s\0\x11\0\0\0org.qemu.VMState1\0\0\0\0\0\0\0"
			   "\3\1s\0\4\0\0\0Save\0\0\0\0";

/* As the process does it: no turn without a reason. One that has made no
 * progress costs sd-bus the memory that a message claims to need. */
static bool is_due(const struct bus *b)
{
	struct bus_poll want;

	bus_poll(b, &want);

	struct pollfd p[] = {
		{.fd = b->worker, .events = POLLIN},
		{.fd = want.qemu_fd, .events = want.qemu_events},
	};

	return poll(p, 2, 0) > 0 || want.until_us == 0;
}

static void turns(struct bus *b, uint64_t *now_us)
{
	bus_turn(b, ++*now_us);
	for (int i = 0; i < TURNS && is_due(b); i++)
		bus_turn(b, ++*now_us);
}

static void put(int fd, const void *bytes, size_t len)
{
	if (len > 0)
		(void)!send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Each packet: a byte of length, bytes. */
static void be_worker(int fd, const uint8_t *data, size_t size)
{
	while (size > 1) {
		size_t len = data[0] % (BUS_MSG_BYTES + 2);

		if (len > size - 1)
			len = size - 1;
		put(fd, data + 1, len);
		data += 1 + len;
		size -= 1 + len;
	}
}

static void check(const struct bus *b)
{
	struct bus_poll p;

	bus_poll(b, &p);
	FUZZ_CHECK(b->conn || (p.qemu_fd == -1 && !b->call));
	FUZZ_CHECK(!b->call || p.until_us != BUS_US_NEVER);
	FUZZ_CHECK(b->load_size <= BUS_AREA);
}

static void run(struct bus *b, unsigned int what, const uint8_t *data,
		size_t size)
{
	uint64_t now_us = 1;
	int qemu[2], worker[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, qemu) ==
			   0 &&
		   socketpair(AF_UNIX, SOCK_SEQPACKET, 0, worker) == 0);
	FUZZ_CHECK(bus_connect(b, qemu[0]) == 0);
	bus_set_worker(b, worker[0]);
	if (what != 0)
		put(qemu[1], greeting, sizeof(greeting) - 1);
	if (what == 2)
		put(qemu[1], save, sizeof(save) - 1);
	else
		put(qemu[1], data, size);
	turns(b, &now_us);
	check(b);
	FUZZ_CHECK(what != 2 || b->call);
	if (what == 2)
		be_worker(worker[1], data, size);
	turns(b, &now_us);
	check(b);
	now_us += BUS_SAVE_MS * 1000u;
	turns(b, &now_us); /* whatever was asked is answered now */
	check(b);
	FUZZ_CHECK(!b->call);
	close(qemu[1]);
	close(worker[1]);
	for (size_t i = 0; i < size && b->conn; i++)
		turns(b, &now_us); /* many small messages */
	turns(b, &now_us);
	FUZZ_CHECK(!b->conn && b->worker == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *mem;
	struct bus b;

	if (!mem) {
		log_set_level(LOG_LEVEL_ERROR);
		mem = mmap(NULL, BUS_STATE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		FUZZ_CHECK(mem != MAP_FAILED);
	}
	if (size == 0 || size > BYTES_MAX)
		return 0;
	bus_init(&b, mem);
	run(&b, data[0] % 3, data + 1, size - 1);
	bus_done(&b);
	return 0;
}
