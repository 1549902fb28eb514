/* SPDX-License-Identifier: MIT */
/*
 * test_stream_in.c - a question is left in its socket until it is answered,
 * and is read once all the same
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/internal.h"

struct bench {
	struct stream st;
	int program;
	uint8_t buf[1024];
	bool more;
};

static int set_up(void **state)
{
	struct bench *t = calloc(1, sizeof(*t));
	int fds[2];

	assert_non_null(t);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	t->st.fd = fds[0];
	t->program = fds[1];
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *t = *state;

	close(t->st.fd);
	close(t->program);
	free(t);
	return 0;
}

static void says(struct bench *t, size_t n)
{
	uint8_t bytes[1024];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(send(t->program, bytes, n, 0), n);
}

static ssize_t hear(struct bench *t, size_t len)
{
	return stream_receive(&t->st, t->buf, len, &t->more);
}

static int in_socket(const struct bench *t)
{
	int n = -1;

	assert_int_equal(ioctl(t->st.fd, FIONREAD, &n), 0);
	return n;
}

/* It has asked before, and was answered. */
static void make_asker(struct bench *t)
{
	says(t, 1);
	assert_int_equal(hear(t, 1024), 1);
	assert_int_equal(in_socket(t), 0);
	t->st.answered = true;
}

static void a_question_stays_until_it_is_answered(void **state)
{
	struct bench *t = *state;

	make_asker(t);
	says(t, 255);
	assert_int_equal(hear(t, 1024), 255);
	assert_int_equal(t->buf[254], 254);
	assert_false(t->more);
	assert_int_equal(in_socket(t), 255);
	assert_true(stream_take_left(&t->st));
	assert_int_equal(in_socket(t), 0);
}

static void nothing_is_read_twice(void **state)
{
	struct bench *t = *state;

	make_asker(t);
	says(t, 10);
	assert_int_equal(hear(t, 1024), 10);
	says(t, 20);
	assert_int_equal(hear(t, 1024), 20);
	assert_int_equal(t->buf[0], 0);
	assert_int_equal(in_socket(t), 0);
	assert_int_equal(hear(t, 1024), -1);
	assert_int_equal(errno, EAGAIN);
}

static void what_is_long_is_taken(void **state)
{
	struct bench *t = *state;

	make_asker(t);
	says(t, 256);
	assert_int_equal(hear(t, 1024), 256);
	assert_int_equal(in_socket(t), 0);
}

/* One who only asks is taken at his word each time. */
static void who_was_not_answered_does_not_wait(void **state)
{
	struct bench *t = *state;

	make_asker(t);
	t->st.answered = false;
	says(t, 1);
	assert_int_equal(hear(t, 1024), 1);
	assert_int_equal(in_socket(t), 0);
}

static void what_does_not_fit_is_taken(void **state)
{
	struct bench *t = *state;

	make_asker(t);
	says(t, 10);
	assert_int_equal(hear(t, 10), 10);
	assert_true(t->more);
	assert_int_equal(in_socket(t), 0);
}

static void the_end_comes_after_what_was_left(void **state)
{
	struct bench *t = *state;

	make_asker(t);
	says(t, 3);
	assert_int_equal(hear(t, 1024), 3);
	shutdown(t->program, SHUT_WR);
	t->st.drain = true;
	assert_int_equal(hear(t, 1024), 0);
}

/* Descriptors end a read early; there is no edge for what lies behind. */
static void descriptors_are_not_left(void **state)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct bench *t = *state;
	struct iovec iov = {.iov_base = t->buf, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	make_asker(t);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &t->program, sizeof(int));
	assert_int_equal(sendmsg(t->program, &msg, 0), 1);
	says(t, 5);
	assert_int_equal(hear(t, 1024), 1);
	assert_true(t->more);
	assert_int_equal(t->st.left, 0);
	assert_int_equal(hear(t, 1024), 5);
}

/* A table that somebody else left must not write beyond the buffer. */
static void any_number_of_left_bytes_can_be_taken(void **state)
{
	struct bench *t = *state;

	says(t, 1000);
	t->st.left = 700;
	assert_true(stream_take_left(&t->st));
	assert_int_equal(in_socket(t), 300);
	t->st.left = 65535;
	assert_false(stream_take_left(&t->st));
	assert_int_equal(hear(t, 1024), -1);
	assert_int_equal(errno, EAGAIN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_question_stays_until_it_is_answered),
		TEST(nothing_is_read_twice),
		TEST(what_is_long_is_taken),
		TEST(who_was_not_answered_does_not_wait),
		TEST(what_does_not_fit_is_taken),
		TEST(the_end_comes_after_what_was_left),
		TEST(descriptors_are_not_left),
		TEST(any_number_of_left_bytes_can_be_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
