/* SPDX-License-Identifier: MIT */
/* What outlives a worker or a program: the arena, kept descriptors, and the
 * supervisor's own state. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/arena.h"
#include "host/keep.h"
#include "host/resume.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int any_fd(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* ---- the arena ---- */

static int arena_fd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, ARENA_SIZE), 0);
	return fd;
}

static void test_arena_fresh(void **state)
{
	int fd = arena_fd();
	struct arena a;

	(void)state;
	assert_int_equal(arena_open(&a, fd), 0);
	assert_false(a.left);
	assert_false(a.torn);
	assert_int_equal((uintptr_t)a.mem % 64, 0);
	assert_true(a.head->turn % 2 == 1); /* until a turn has ended */
	munmap(a.head, ARENA_SIZE);
	close(fd);
}

/* One worker's life and death, then the next one's look. */
static void look_after(int fd, uint64_t turn, struct arena *ret)
{
	struct arena a;

	assert_int_equal(arena_open(&a, fd), 0);
	memset(a.mem, 7, 100);
	a.head->turn = turn;
	munmap(a.head, ARENA_SIZE);
	assert_int_equal(arena_open(ret, fd), 0);
}

static void test_arena_between_turns(void **state)
{
	int fd = arena_fd();
	struct arena a;

	(void)state;
	look_after(fd, 8, &a);
	assert_true(a.left);
	assert_false(a.torn);
	assert_int_equal(((uint8_t *)a.mem)[99], 7);
	arena_forget(&a);
	assert_false(a.left);
	assert_int_equal(((uint8_t *)a.mem)[99], 0);
	munmap(a.head, ARENA_SIZE);
	close(fd);
}

static void test_arena_torn(void **state)
{
	int fd = arena_fd();
	struct arena a;

	(void)state;
	look_after(fd, 9, &a);
	assert_false(a.left);
	assert_true(a.torn);
	assert_int_equal(((uint8_t *)a.mem)[99], 7); /* for the records */
	assert_true(a.head->turn % 2 == 1);
	munmap(a.head, ARENA_SIZE);
	close(fd);
}

static void test_arena_of_another_program(void **state)
{
	int fd = arena_fd();
	struct arena a;

	(void)state;
	look_after(fd, 8, &a);
	a.head->build[3] ^= 1;
	munmap(a.head, ARENA_SIZE);
	assert_int_equal(arena_open(&a, fd), 0);
	assert_false(a.left);
	assert_int_equal(((uint8_t *)a.mem)[99], 0);
	munmap(a.head, ARENA_SIZE);
	close(fd);
}

/* ---- kept descriptors ---- */

static void test_keep(void **state)
{
	struct keep k = {0};
	int fds[40];

	(void)state;
	for (int i = 0; i < 40; i++) {
		fds[i] = any_fd();
		assert_int_equal(keep_add(&k, 100u + (unsigned)i, i, fds[i]),
				 0);
	}
	assert_true(keep_drop(&k, 105));
	assert_false(is_open(fds[5]));
	assert_false(keep_drop(&k, 105));
	assert_int_equal(k.n, 39);
	assert_int_equal(k.list[5].request, 106); /* the order stays */
	assert_int_equal(k.list[5].kind, 6);
	keep_clear(&k);
	assert_int_equal(k.n, 0);
	assert_false(is_open(fds[39]));
	keep_done(&k);
}

/* A worker that has been taken over. */
static void test_keep_limits(void **state)
{
	struct keep k = {0};
	int second;

	(void)state;
	assert_int_equal(keep_add(&k, 1, 0, any_fd()), 0);
	second = any_fd();
	assert_int_equal(keep_add(&k, 1, 0, second), -EEXIST);
	assert_false(is_open(second));
	for (uint64_t i = 2; k.n < KEEP_MAX; i++)
		assert_int_equal(keep_add(&k, i, 0, 10000), 0);
	second = any_fd();
	assert_int_equal(keep_add(&k, 99999, 0, second), -ENOSPC);
	assert_false(is_open(second));
	keep_done(&k);
}

/* ---- the supervisor's state ---- */

static const struct options no_options = {.resume_fd = -1};

static void fill(struct supervisor *s)
{
	*s = (struct supervisor){
		.opt = &no_options,
		.vm_fds = {10, 11, 12},
		.exe_fd = -1,
		.signal_fd = -1,
		.config_fd = -1,
		.state_fd = 13,
		.arena_fd = 14,
		.link_fd = -1,
		.pair = 15,
		.worker = 4711,
		.worker_ready = true,
		.life = LIFE_FENCED,
		.started_ms = 1,
		.linger_ms = UINT64_MAX,
		.n_deaths = 3,
		.deaths = {5, 6, 7, 0, 0},
		.announced = true,
		.up = {.pair = -1, .asked = true},
		.upgrades = {.at_ms = {9, 2, 3, 4, 5, 6, 7, UINT64_MAX},
			     .n = 9,
			     .refused = 4},
	};
	s->link.was_up = true;
	s->link.since_ms = 12345;
	assert_int_equal(children_reserve(&s->children, "org.a", 1), 0);
	children_add(&s->children, 77, "org.a");
	assert_int_equal(keep_add(&s->keep, UINT64_MAX, 1, 10001), 0);
	assert_int_equal(keep_add(&s->keep, 2, 3, 10002), 0);
}

static void empty(struct supervisor *s)
{
	*s = (struct supervisor){
		.opt = &no_options,
		.vm_fds = {-1, -1, -1},
		.link_fd = -1,
		.pair = -1,
	};
}

static void done(struct supervisor *s)
{
	children_done(&s->children);
	keep_done(&s->keep);
}

static void test_resume_round_trip(void **state)
{
	static struct supervisor a, b;
	int fd;

	(void)state;
	fill(&a);
	empty(&b);
	fd = resume_write(&a);
	assert_true(fd >= 0);
	assert_int_equal(resume_read(&b, fd), 0);
	assert_memory_equal(a.vm_fds, b.vm_fds, sizeof(a.vm_fds));
	assert_int_equal(b.state_fd, 13);
	assert_int_equal(b.arena_fd, 14);
	assert_int_equal(b.link_fd, -1);
	assert_int_equal(b.pair, 15);
	assert_int_equal(b.worker, 4711);
	assert_true(b.worker_ready && b.announced && b.up.asked);
	assert_int_equal(b.life, LIFE_FENCED);
	assert_int_equal(b.started_ms, 1);
	assert_true(b.linger_ms == UINT64_MAX);
	assert_int_equal(b.n_deaths, 3);
	assert_memory_equal(a.deaths, b.deaths, sizeof(a.deaths));
	assert_int_equal(b.upgrades.n, 9);
	assert_int_equal(b.upgrades.refused, 4);
	assert_memory_equal(a.upgrades.at_ms, b.upgrades.at_ms,
			    sizeof(a.upgrades.at_ms));
	assert_true(b.link.was_up && !b.link.searching);
	assert_int_equal(b.link.since_ms, 12345);
	assert_int_equal(b.children.n, 1);
	assert_int_equal(b.children.list[0].pid, 77);
	assert_string_equal(b.children.list[0].service, "org.a");
	assert_int_equal(b.keep.n, 2);
	assert_true(b.keep.list[0].request == UINT64_MAX);
	assert_int_equal(b.keep.list[1].fd, 10002);
	assert_int_equal(b.keep.list[1].kind, 3);
	close(fd);
	done(&a);
	done(&b);
}

/* What a later program adds is skipped, another format is refused, and no cut
 * is taken for the whole. */
static void test_resume_versions_and_cuts(void **state)
{
	static struct supervisor a, b;
	static uint8_t buf[4096];
	const uint8_t unknown[] = {0xff, 0x7f, 3, 0, 1, 2, 3};
	unsigned int taken = 0;
	ssize_t n;
	int fd;

	(void)state;
	fill(&a);
	fd = resume_write(&a);
	n = pread(fd, buf, sizeof(buf), 0);
	assert_true(n > 0 && n < (ssize_t)sizeof(buf));
	assert_int_equal(pwrite(fd, unknown, sizeof(unknown), n),
			 sizeof(unknown));
	empty(&b);
	assert_int_equal(resume_read(&b, fd), 0);
	assert_int_equal(b.keep.n, 2);
	done(&b);
	for (ssize_t cut = 0; cut < n; cut++) {
		assert_int_equal(ftruncate(fd, cut), 0);
		assert_int_equal(pwrite(fd, buf, (size_t)cut, 0), cut);
		empty(&b);
		taken += resume_read(&b, fd) == 0;
		done(&b);
	}
	/* Only where an item ends; one who cuts there must also have told. */
	assert_true(taken < 50);
	assert_int_equal(ftruncate(fd, n), 0);
	buf[0] ^= 1;
	assert_int_equal(pwrite(fd, buf, (size_t)n, 0), n);
	empty(&b);
	assert_int_equal(resume_read(&b, fd), -EPROTONOSUPPORT);
	close(fd);
	done(&a);
}

static void test_inherit(void **state)
{
	static struct supervisor s;
	int fd = any_fd(), kept = any_fd();

	(void)state;
	empty(&s);
	s.state_fd = s.arena_fd = -1;
	s.link_fd = fd;
	assert_int_equal(keep_add(&s.keep, 1, 1, kept), 0);
	resume_inherit(&s, true);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(fcntl(kept, F_GETFD), 0);
	resume_inherit(&s, false);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(kept, F_GETFD), FD_CLOEXEC);
	close(fd);
	done(&s);
}

/* ---- an upgrade at the wrong time ---- */

static void test_no_upgrade_while_the_vm_is_elsewhere(void **state)
{
	static const struct {
		enum life life;
		const char *text;
	} rows[] = {
		{LIFE_INCOMING, "the VM has not arrived yet; try again when it "
				"runs here"},
		{LIFE_FENCED, "the VM is being saved or moved; try again when "
			      "that is over"},
		{LIFE_AWAY, "the VM runs elsewhere; end this vmchanneld "
			    "instead"},
		{LIFE_HELD, "an upgrade is going on already; try again"},
		{LIFE_LOST, "the worker is just being started; try again"},
	};
	static struct supervisor s;

	(void)state;
	empty(&s);
	s.worker = 1; /* only looked at */
	s.worker_ready = true;
	assert_null(upgrade_why_not(&s));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s.life = rows[i].life;
		assert_string_equal(upgrade_why_not(&s), rows[i].text);
		assert_ptr_equal(upgrade_why_not(&s),
				 upgrade_not_in(rows[i].life));
	}
	s.life = LIFE_NUM; /* of a later program */
	assert_string_equal(upgrade_why_not(&s), upgrade_not_in(LIFE_LOST));
	s.life = LIFE_SERVING;
	s.worker_ready = false;
	assert_string_equal(upgrade_why_not(&s), upgrade_not_in(LIFE_LOST));
	s.up.phase = UPGRADE_STARTING;
	assert_string_equal(upgrade_why_not(&s), upgrade_not_in(LIFE_HELD));
	s.stopping = true;
	assert_string_equal(upgrade_why_not(&s), "vmchanneld is ending");
	done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_fresh),
		cmocka_unit_test(test_arena_between_turns),
		cmocka_unit_test(test_arena_torn),
		cmocka_unit_test(test_arena_of_another_program),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_keep_limits),
		cmocka_unit_test(test_resume_round_trip),
		cmocka_unit_test(test_resume_versions_and_cuts),
		cmocka_unit_test(test_inherit),
		cmocka_unit_test(test_no_upgrade_while_the_vm_is_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
