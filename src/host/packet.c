/* SPDX-License-Identifier: MIT */
/*
 * packet.c - bytes and at most one descriptor over a pair
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/packet.h"

/* Room for one more descriptor than allowed, so that a second one is seen and
 * closed rather than cut off. */
#define FDS_MAX 2

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

int packet_send(int sock, const uint8_t *buf, size_t len, int fd)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	union control c;
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *h = &c.align;

		memset(&c, 0, sizeof(c));
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
		mh.msg_control = &c;
		mh.msg_controllen = CMSG_SPACE(sizeof(fd));
	}
	do
		n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static size_t take_fds(struct msghdr *mh, int fds[FDS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(mh); h; h = CMSG_NXTHDR(mh, h)) {
		size_t len = h->cmsg_len - CMSG_LEN(0);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; (i + 1) * sizeof(int) <= len; i++) {
			if (n < FDS_MAX)
				memcpy(&fds[n++],
				       CMSG_DATA(h) + i * sizeof(int),
				       sizeof(int));
		}
	}
	return n;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): recvmsg() writes to it. */
ssize_t packet_recv(int sock, uint8_t *buf, size_t size, int *ret_fd)
{
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	union control c;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &c,
		.msg_controllen = sizeof(c),
	};
	int fds[FDS_MAX];
	size_t n_fds;
	ssize_t n;

	do
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	n_fds = take_fds(&mh, fds);
	if (n == 0 && n_fds == 0)
		return 0;
	if (n > 0 && n_fds <= 1 && !(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		*ret_fd = n_fds == 1 ? fds[0] : -1;
		return n;
	}
	while (n_fds > 0)
		close(fds[--n_fds]);
	return -EPROTO;
}
