/* SPDX-License-Identifier: MIT */
/* net_socket.c - rtnetlink's socket: what there is, and what changes */
#include "guest/net_socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel's parts are at most 32 KiB. */
#define PART_MAX 32768
/* The answer is made while we ask; this is for a kernel that is stuck. */
#define ANSWER_MS 5000

int net_socket(uint32_t groups)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_ROUTE);
	int r;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* Return: its length; 0: it is not the kernel's; or a negative errno. */
/* NOLINTNEXTLINE(readability-non-const-parameter): recvmsg() writes to it. */
static long receive(int fd, uint8_t *buf, size_t size)
{
	struct sockaddr_nl from = {.nl_pid = 0};
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr h = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n = recvmsg(fd, &h, 0);

	if (n < 0)
		return -errno;
	if (h.msg_flags & MSG_TRUNC)
		return -ENOBUFS;
	/* Any program of the guest may write to the socket. */
	return from.nl_pid == 0 ? n : 0;
}

struct dump {
	net_msg_fn *fn;
	void *data;
	bool done, interrupted;
	int error;
};

static void on_dumped(const struct net_msg *m, void *data)
{
	struct dump *d = data;

	d->interrupted |= m->interrupted;
	if (m->type == NLMSG_DONE || m->type == NLMSG_ERROR) {
		d->done = true;
		d->error = m->error;
	} else if (!d->done) {
		d->fn(m, d->data);
	}
}

static int read_part(int fd, net_msg_fn *fn, void *data)
{
	static uint8_t buf[PART_MAX];
	long n = receive(fd, buf, sizeof(buf));
	struct rd in = rd_init(buf, n > 0 ? (size_t)n : 0);
	struct net_msg m;

	if (n < 0)
		return (int)n;
	while (net_next(&in, &m))
		fn(&m, data);
	return 0;
}

static int ask(int fd, uint16_t type)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} q = {
		.h = {.nlmsg_len = sizeof(q),
		      .nlmsg_type = type,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.g = {.rtgen_family = AF_UNSPEC},
	};

	return send(fd, &q, sizeof(q), 0) < 0 ? -errno : 0;
}

int net_dump(int fd, uint16_t type, net_msg_fn *fn, void *data)
{
	struct dump d = {.fn = fn, .data = data};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r = ask(fd, type);

	while (r == 0 && !d.done) {
		if (poll(&p, 1, ANSWER_MS) <= 0)
			return -ETIMEDOUT;
		r = read_part(fd, on_dumped, &d);
		if (r == -EINTR)
			r = 0;
	}
	if (r == 0)
		r = d.error;
	return r == 0 && d.interrupted ? -EAGAIN : r;
}

int net_read(int fd, net_msg_fn *fn, void *data)
{
	int r;

	do
		r = read_part(fd, fn, data);
	while (r == 0 || r == -EINTR);
	return r == -EAGAIN ? 0 : r;
}
