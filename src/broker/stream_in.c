/* SPDX-License-Identifier: MIT */
/*
 * stream_in.c - bytes from a program's socket
 *
 * Whoever takes bytes out of a unix socket wakes a program that sleeps in a
 * read at its other end: there is room, says the kernel, and it does not look
 * at what is waited for. A program that asks and waits for the answer is so
 * woken for nothing once per question, which in a guest with one CPU is half
 * of all switches of a round trip. Therefore the few bytes of such a program
 * are only looked at when they are sent, and taken out when the answer has
 * woken it, or before anything else is read. Or by the next sweep: a question
 * in many small pieces can fill the socket, and the rest of it must go in.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "broker/internal.h"

/* A question; whatever is longer is not worth reading twice. */
#define BRIEF_MAX 256u

/* Descriptors cannot cross: there is no room for them, so the kernel closes
 * them. A read ends behind them, which is not the end of what is there. */
/* NOLINTNEXTLINE(readability-non-const-parameter): recvmsg() writes to it. */
static ssize_t receive(const struct stream *st, uint8_t *buf, size_t len,
		       int flags, bool *ret_more)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(st->fd, &msg, MSG_DONTWAIT | flags);

	*ret_more =
		n == (ssize_t)len || st->drain || (msg.msg_flags & MSG_CTRUNC);
	return n;
}

/* All that is there, if it is a question; else 0. */
static size_t look(struct stream *st, uint8_t *buf, size_t len)
{
	bool more;
	ssize_t n = receive(st, buf, len < BRIEF_MAX ? len : BRIEF_MAX,
			    MSG_PEEK, &more);

	if (n <= 0 || more)
		return 0;
	st->left = (uint16_t)n;
	return (size_t)n;
}

bool stream_take_left(struct stream *st)
{
	uint8_t gone[BRIEF_MAX];

	while (st->left > 0) {
		size_t len = st->left < BRIEF_MAX ? st->left : BRIEF_MAX;
		ssize_t n = recv(st->fd, gone, len, MSG_DONTWAIT);

		if (n <= 0)
			return false;
		st->left = (uint16_t)(st->left - n);
	}
	return true;
}

ssize_t stream_receive(struct stream *st, uint8_t *buf, size_t len,
		       bool *ret_more)
{
	bool asks = st->answered && st->brief && !st->drain;
	ssize_t n = 0;

	*ret_more = false;
	st->answered = false;
	if (!stream_take_left(st)) {
		errno = EAGAIN;
		return -1;
	}
	if (asks)
		n = (ssize_t)look(st, buf, len);
	if (n == 0)
		n = receive(st, buf, len, 0, ret_more);
	st->brief = n > 0 && n <= (ssize_t)BRIEF_MAX;
	return n;
}
