/* SPDX-License-Identifier: MIT */
/*
 * link.c - connecting to QEMU, with back-off while nobody listens
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/link.h"

int link_init(struct link_search *l, const char *path)
{
	size_t len = strlen(path);

	memset(l, 0, sizeof(*l));
	if (len >= sizeof(l->addr.sun_path))
		return -ENAMETOOLONG;
	l->addr.sun_family = AF_UNIX;
	memcpy(l->addr.sun_path, path, len + 1);
	l->delay_ms = LINK_RETRY_MIN_MS;
	l->max_ms = LINK_RETRY_MAX_MS;
	return 0;
}

void link_begin(struct link_search *l, uint64_t now_ms)
{
	l->searching = true;
	l->due_ms = now_ms;
	l->delay_ms = LINK_RETRY_MIN_MS;
}

void link_lost(struct link_search *l, uint64_t now_ms)
{
	if (now_ms - l->since_ms >= LINK_PROVEN_MS)
		l->delay_ms = LINK_RETRY_MIN_MS;
	l->searching = true;
	l->due_ms = now_ms + l->delay_ms;
}

/* A unix socket connects at once or not at all (EAGAIN: backlog full). */
static int connect_now(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int link_try(struct link_search *l, uint64_t now_ms)
{
	int fd = connect_now(&l->addr);

	if (fd >= 0) {
		l->searching = false;
		l->was_up = true;
		l->since_ms = now_ms;
		l->last_error = 0;
	} else {
		l->last_error = -fd;
		l->due_ms = now_ms + l->delay_ms;
	}
	/* Also after success: one that is lost at once is not tried faster. */
	l->delay_ms *= 2;
	if (l->delay_ms > l->max_ms)
		l->delay_ms = l->max_ms;
	return fd;
}
