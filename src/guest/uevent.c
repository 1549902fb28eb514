/* SPDX-License-Identifier: MIT */
/*
 * uevent.c - the kernel's own announcements of devices, without udev
 */
#include "guest/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KERNEL_GROUP 1 /* group 2 is udev's */
#define UEVENT_MAX   8192
/* Messages per wake-up; the socket keeps the others. */
#define UEVENT_BATCH 64

int uevent_open(void)
{
	struct sockaddr_nl addr = {
		.nl_family = AF_NETLINK,
		.nl_groups = KERNEL_GROUP,
	};
	int fd, r;

	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

bool uevent_is_port(const char *msg, size_t len)
{
	static const char wanted[] = "SUBSYSTEM=virtio-ports";

	while (len > 0) {
		const char *end = memchr(msg, '\0', len);
		size_t n = end ? (size_t)(end - msg) : len;

		if (n == sizeof(wanted) - 1 && memcmp(msg, wanted, n) == 0)
			return true;
		n += end != NULL;
		msg += n;
		len -= n;
	}
	return false;
}

bool uevent_drain(int fd)
{
	bool found = false;

	for (int i = 0; i < UEVENT_BATCH; i++) {
		struct sockaddr_nl from = {.nl_pid = 0};
		socklen_t from_len = sizeof(from);
		char msg[UEVENT_MAX];
		ssize_t n;

		n = recvfrom(fd, msg, sizeof(msg), 0, (struct sockaddr *)&from,
			     &from_len);
		if (n < 0 && errno == ENOBUFS) {
			found = true;
			continue;
		}
		if (n < 0)
			break;
		/* Programs can send here, too; only the kernel is 0. */
		if (from.nl_pid != 0)
			continue;
		found |= uevent_is_port(msg, (size_t)n);
	}
	return found;
}
