/* SPDX-License-Identifier: MIT */
/* outlet.c - stdout and stderr, which others may hold, too, without waiting */
#include "cli/outlet.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A write to a pipe or terminal that somebody else holds, too, must not block
 * (stdin would starve) nor may it become non-blocking for the others: open it
 * anew. Without /proc, or for other kinds, what we were given has to do.
 */
void outlet_open(struct outlet *o, int number)
{
	char path[32];
	struct stat st;
	int fd = -1;

	*o = (struct outlet){.fd = number, .number = number};
	if (fstat(number, &st))
		return;
	o->socket = S_ISSOCK(st.st_mode);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return;
	o->fd = fd;
	o->own = true;
}

ssize_t outlet_write(const struct outlet *o, const struct iovec *v, int n)
{
	/* msg_iov is not const, though sendmsg() does not write to it. */
	struct msghdr msg = {
		/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
		.msg_iov = (struct iovec *)(uintptr_t)v,
		.msg_iovlen = (size_t)n,
	};

	return o->socket ? sendmsg(o->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)
			 : writev(o->fd, v, n);
}

void outlet_hang_up(struct outlet *o)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null >= 0)
		dup2(null, o->number);
	if (null >= 0)
		close(null);
	outlet_close(o);
}

void outlet_close(struct outlet *o)
{
	if (o->own)
		close(o->fd);
	o->fd = o->number;
	o->own = false;
}
