/* SPDX-License-Identifier: MIT */
/*
 * fuzz_message.c - messages that a program at the other side sends
 *
 * The first byte is the size of the receiver's buffer. Each message must be
 * the bytes that its header announces; none may reach past the buffer.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

#include "fuzz.h"

#define HEADER    4u
#define BYTES_MAX (80u * 1024u) /* fits a socket's buffer */

static size_t announced(const uint8_t *p)
{
	return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 |
	       (size_t)p[3] << 24;
}

/* What must come of the bytes that are left? */
static int expected(const uint8_t *p, size_t left, size_t room)
{
	if (left == 0)
		return 0;
	if (left < HEADER)
		return -EPROTO;
	if (announced(p) > room)
		return -EMSGSIZE;
	return left - HEADER < announced(p) ? -EPROTO : 1;
}

static void read_messages(int fd, const uint8_t *p, size_t left, size_t room)
{
	uint8_t *buf = malloc(room ? room : 1);
	size_t len;
	int r;

	FUZZ_CHECK(buf);
	do {
		r = vmc_recv_msg(fd, buf, room, &len);
		FUZZ_CHECK(r == expected(p, left, room));
		if (r == 1) {
			FUZZ_CHECK(len == announced(p));
			FUZZ_CHECK(!len || !memcmp(buf, p + HEADER, len));
			p += HEADER + len;
			left -= HEADER + len;
		}
	} while (r == 1);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2];

	if (size == 0)
		return 0;
	if (size > BYTES_MAX)
		size = BYTES_MAX;
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	FUZZ_CHECK(send(fds[1], data + 1, size - 1, MSG_DONTWAIT) ==
		   (ssize_t)size - 1);
	close(fds[1]);
	read_messages(fds[0], data + 1, size - 1, data[0]);
	close(fds[0]);
	return 0;
}
