/* SPDX-License-Identifier: MIT */
/*
 * ipc_socket.c - messages and descriptors over the pair
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "host/ipc.h"
#include "host/packet.h"

int ipc_send(int sock, const struct ipc_msg *m, enum ipc_side from, int fd)
{
	uint8_t buf[IPC_BYTES_MAX];
	size_t len = ipc_encode(m, from, fd >= 0, buf);

	return len == 0 ? -EINVAL : packet_send(sock, buf, len, fd);
}

int ipc_send_wait(int sock, const struct ipc_msg *m, enum ipc_side from, int fd,
		  unsigned int ms)
{
	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLOUT};
		int r = ipc_send(sock, m, from, fd);

		if (r != -EAGAIN || ms == 0)
			return r;
		ms--;
		poll(&p, 1, 1);
	}
}

int ipc_recv(int sock, struct ipc_msg *ret, enum ipc_side from, int *ret_fd)
{
	uint8_t buf[IPC_BYTES_MAX];
	int fd = -1;
	ssize_t n = packet_recv(sock, buf, sizeof(buf), &fd);

	if (n <= 0)
		return (int)n;
	if (ipc_decode(ret, from, fd >= 0, buf, (size_t)n)) {
		*ret_fd = fd;
		return 1;
	}
	if (fd >= 0)
		close(fd);
	return -EPROTO;
}
