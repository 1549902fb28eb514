/* SPDX-License-Identifier: MIT */
/*
 * test_status.c - whoever adds a record may be killed at each instruction: the
 * next process finds all that were there, and loses none of its own
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/internal.h"

/* Of one that is added; a sanitizer makes many of few. */
#define STEPS_MAX 100000

static struct status_ring *ring; /* shared with who is killed */

static void add(struct status_ring *r, uint64_t number)
{
	struct stream_record rec = {
		.number = number,
		.bytes_in = number,
		.channel = "org.test.x",
	};

	status_add(r, &rec);
}

static void expect(const struct status_ring *r, uint64_t number)
{
	const struct stream_record *rec = status_find(r, number);

	assert_non_null(rec);
	assert_true(rec->bytes_in == number);
	assert_string_equal(rec->channel, "org.test.x");
}

/* The newest first, whatever is between. */
static void expect_order(const struct status_ring *r)
{
	uint64_t last = UINT64_MAX;

	for (size_t i = 0; i < r->n; i++) {
		const struct stream_record *rec = status_newest(r, i);

		if (!rec)
			continue;
		assert_true(rec->number < last);
		last = rec->number;
	}
}

/* @before records were there when the next one was being added. */
static void go_on(struct status_ring *r, uint64_t before)
{
	uint64_t oldest = before < STATUS_MAX ? 1 : before - STATUS_MAX + 2;

	assert_true(r->next < STATUS_MAX && r->n <= STATUS_MAX);
	for (uint64_t n = oldest; n <= before; n++)
		expect(r, n);
	/* As the arena does for a stream that has no record. */
	if (status_find(r, before + 1))
		expect(r, before + 1);
	else
		add(r, before + 1);
	add(r, before + 2);
	expect(r, before + 1);
	expect(r, before + 2);
	expect_order(r);
	for (uint64_t n = before + 3; n < before + 3 + STATUS_MAX; n++)
		add(r, n);
	assert_null(status_find(r, before + 2));
	expect(r, before + 3);
	expect(r, before + 2 + STATUS_MAX);
	assert_int_equal(status_count(r), STATUS_MAX);
	expect_order(r);
}

/* Return: its pid; it is stopped before it adds @number. */
static pid_t stopped_before(uint64_t number)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		add(ring, number);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		skip(); /* there is no right to look at another process */
	return pid;
}

/* Return: it has taken one more step. */
static bool step(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return WSTOPSIG(status) == SIGTRAP;
}

static void killed_after(uint64_t before)
{
	struct status_ring *left = malloc(sizeof(*left));
	struct status_ring *last = malloc(sizeof(*last));
	unsigned int looks = 0, steps = 0;
	pid_t pid;

	assert_non_null(left);
	assert_non_null(last);
	memset(ring, 0, sizeof(*ring));
	for (uint64_t n = 1; n <= before; n++)
		add(ring, n);
	memcpy(last, ring, sizeof(*last));
	pid = stopped_before(before + 1);
	while (step(pid) && ++steps < STEPS_MAX) {
		/* What it left does not change with each instruction. */
		if (memcmp(last, ring, sizeof(*last)) == 0)
			continue;
		memcpy(last, ring, sizeof(*last));
		memcpy(left, ring, sizeof(*left));
		go_on(left, before);
		looks++;
	}
	assert_in_range(steps, 10, STEPS_MAX - 1);
	assert_true(looks >= 3);
	expect(ring, before + 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(left);
	free(last);
}

static void killed_with_an_empty_ring(void **state)
{
	(void)state;
	killed_after(0);
}

static void killed_while_it_fills(void **state)
{
	(void)state;
	killed_after(5);
	killed_after(STATUS_MAX - 1);
}

static void killed_when_it_goes_round(void **state)
{
	(void)state;
	killed_after(STATUS_MAX);
	killed_after(STATUS_MAX + 7);
	killed_after(2 * STATUS_MAX - 1);
}

/* A hole is nobody's, whatever it was asked. */
static void a_hole_is_not_found(void **state)
{
	static const uint8_t token[TOKEN_LEN] = {9};
	struct stream_record rec = {.number = 1, .follow = true};

	(void)state;
	memset(ring, 0, sizeof(*ring));
	memcpy(rec.token, token, sizeof(token));
	status_add(ring, &rec);
	assert_non_null(status_find_token(ring, token));
	ring->records[0].number = 0;
	assert_null(status_find_token(ring, token));
	assert_null(status_find(ring, 0));
	assert_null(status_newest(ring, 0));
	assert_int_equal(status_count(ring), 0);
}

static int set_up(void **state)
{
	(void)state;
	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return ring == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	return munmap(ring, sizeof(*ring));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_with_an_empty_ring),
		cmocka_unit_test(killed_while_it_fills),
		cmocka_unit_test(killed_when_it_goes_round),
		cmocka_unit_test(a_hole_is_not_found),
	};

	return cmocka_run_group_tests_name("status", tests, set_up, tear_down);
}
