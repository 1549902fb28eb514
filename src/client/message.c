/* SPDX-License-Identifier: MIT */
/* message.c - messages on a stream: u32 length, little-endian, and the bytes */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/conn.h"
#include "client/error.h"

#define HEADER 4u

static int io_error(const char *what)
{
	int e = errno;

	return client_fail(e, "%s: %s", what, strerror(e));
}

/* After a part of a message is out, the rest must follow, whatever the
 * descriptor's mode. */
static bool may_continue(int fd, bool begun, short events)
{
	if (errno == EINTR)
		return true;
	return errno == EAGAIN && begun &&
	       client_wait(fd, events, CLIENT_NEVER) == 0;
}

/* Takes @n sent bytes off the front of the two pieces. */
static void advance(struct iovec iov[2], size_t n)
{
	for (int i = 0; i < 2; i++) {
		size_t k = n < iov[i].iov_len ? n : iov[i].iov_len;

		iov[i].iov_base = (char *)iov[i].iov_base + k;
		iov[i].iov_len -= k;
		n -= k;
	}
}

int vmc_send_msg(int fd, const void *buf, size_t len)
{
	uint8_t header[HEADER] = {len & 0xff, len >> 8 & 0xff, len >> 16 & 0xff,
				  len >> 24 & 0xff};
	/* iov_base is not const, though sendmsg() does not write to it. */
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	struct iovec iov[2] = {{header, HEADER}, {(void *)(uintptr_t)buf, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	size_t left = HEADER + len;

	if (len > VMC_MSG_MAX)
		return client_fail(EMSGSIZE,
				   "a message of %zu bytes is over the limit "
				   "of %u; split it",
				   len, VMC_MSG_MAX);
	while (left > 0) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (n < 0 && !may_continue(fd, left < HEADER + len, POLLOUT))
			return io_error("cannot send a message");
		if (n < 0)
			continue;
		advance(iov, (size_t)n);
		left -= (size_t)n;
	}
	return 0;
}

/* Return: bytes read, fewer than @len only at the end; or a negative errno. */
static ssize_t read_full(int fd, void *buf, size_t len, bool begun)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n == 0)
			break;
		if (n < 0 && !may_continue(fd, begun || done > 0, POLLIN))
			return io_error("cannot receive a message");
		if (n > 0)
			done += (size_t)n;
	}
	return (ssize_t)done;
}

static int cut_short(void)
{
	return client_fail(EPROTO, "the stream ended within a message; "
				   "vmc_stream_status() says why");
}

int vmc_recv_msg(int fd, void *buf, size_t size, size_t *ret_len)
{
	uint8_t h[HEADER];
	size_t len;
	ssize_t n = read_full(fd, h, HEADER, false);

	if (n <= 0)
		return (int)n;
	if ((size_t)n < HEADER)
		return cut_short();
	len = (size_t)h[0] | (size_t)h[1] << 8 | (size_t)h[2] << 16 |
	      (size_t)h[3] << 24;
	if (len > VMC_MSG_MAX || len > size)
		return client_fail(EMSGSIZE,
				   "a message of %zu bytes came where at most "
				   "%zu were expected; does the other program "
				   "use messages?",
				   len,
				   size < VMC_MSG_MAX ? size : VMC_MSG_MAX);
	n = read_full(fd, buf, len, true);
	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return cut_short();
	*ret_len = len;
	return 1;
}
