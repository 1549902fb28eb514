/* SPDX-License-Identifier: MIT */
/*
 * bus_main.c - a process around bus.c
 *
 * QEMU connects once, when it starts, so this process outlives workers. It
 * polls four descriptors and sleeps while nothing migrates.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/bus.h"
#include "host/bus_main.h"
#include "host/confine.h"

/* Blocks above this go back to the system when they are freed; libc would
 * raise it after the first large message. */
#define LARGE_BLOCK (128 * 1024)

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static int fail(const char *what, int r)
{
	log_error("ev=bus-start what=%s error=\"%s\"", what, strerror(-r));
	return EXIT_RUN;
}

static bool started_by_supervisor(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(BUS_FD_PAIR, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET;
}

/* ---- turns ---- */

/* Return: false when there is no supervisor any more. */
static bool hear_supervisor(struct bus *b)
{
	struct bus_msg m;
	int fd = -1;
	int r = bus_ipc_recv(BUS_FD_PAIR, &m, BUS_FROM_SUPERVISOR, &fd);

	if (r == 1)
		bus_set_worker(b, fd); /* the only message */
	return r == 1 || r == -EAGAIN;
}

static void accept_qemu(struct bus *b)
{
	int fd = accept4(BUS_FD_LISTENER, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r = fd < 0 ? -errno : bus_connect(b, fd);

	if (r < 0 && r != -EAGAIN)
		log_limited(now_us(), LOG_LEVEL_WARNING,
			    "ev=vmstate-connect error=\"%s\"", strerror(-r));
}

static int timeout_ms(uint64_t until_us)
{
	uint64_t now = now_us();

	if (until_us == BUS_US_NEVER)
		return -1;
	/* Up: waking before the time is waking twice. */
	return until_us <= now ? 0 : (int)((until_us - now + 999u) / 1000u);
}

static void loop(struct bus *b)
{
	bool go_on = true;

	while (go_on) {
		struct bus_poll want;

		bus_poll(b, &want);

		struct pollfd p[] = {
			{.fd = BUS_FD_PAIR, .events = POLLIN},
			{.fd = BUS_FD_LISTENER, .events = POLLIN},
			{.fd = b->worker, .events = POLLIN},
			{.fd = want.qemu_fd, .events = want.qemu_events},
		};

		if (poll(p, 4, timeout_ms(want.until_us)) < 0 && errno != EINTR)
			return;
		/* A new worker before the end of the old one. */
		if (p[0].revents)
			go_on = hear_supervisor(b);
		if (p[1].revents)
			accept_qemu(b);
		bus_turn(b, now_us());
	}
}

int bus_run(const struct options *opt)
{
	struct bus bus;
	char name[96];
	void *mem;
	int r;

	if (!started_by_supervisor()) {
		fprintf(stderr, "vmchanneld: --bus is for vmchanneld itself; "
				"leave it out\n");
		return EXIT_USAGE;
	}
	snprintf(name, sizeof(name), "vmchanneld: vm=%.64s role=bus", opt->vm);
	log_init(name);
	prctl(PR_SET_NAME, "vmchanneld-bus");
	syscall(SYS_close_range, (unsigned int)BUS_FD_END, ~0u, 0u);
	mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	mem = mmap(NULL, BUS_STATE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   BUS_FD_STATE, 0);
	if (mem == MAP_FAILED)
		return fail("state", -errno);
	r = confine(opt, SANDBOX_BUS);
	if (r >= 0)
		return r;
	bus_init(&bus, mem);
	loop(&bus);
	bus_done(&bus);
	return 0;
}
