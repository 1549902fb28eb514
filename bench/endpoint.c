/* SPDX-License-Identifier: MIT */
/* endpoint.c - descriptors of any transport from one line of text */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef BENCH_CLIENT
#include <vmchannel/vmchannel.h>
#endif

#define LISTEN_BACKLOG  32
#define OPEN_TIMEOUT_MS 10000
#define PART_MAX        128

struct endpoint_listener {
	int fd; /* TCP; -1: a channel */
#ifdef BENCH_CLIENT
	struct vmc_listener *channel;
#endif
};

/* Splits "A:B" at the last colon. */
static int split(const char *text, char ret_a[PART_MAX], const char **ret_b)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : PART_MAX;

	if (n >= PART_MAX)
		return -EINVAL;
	memcpy(ret_a, text, n);
	ret_a[n] = '\0';
	*ret_b = colon + 1;
	return 0;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_unix(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int parse_tcp(const char *text, struct sockaddr_in *ret)
{
	char address[PART_MAX];
	const char *port;
	int r = split(text, address, &port);

	if (r < 0)
		return r;
	*ret = (struct sockaddr_in){.sin_family = AF_INET};
	ret->sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	return inet_pton(AF_INET, address, &ret->sin_addr) == 1 ? 0 : -EINVAL;
}

/* Without it TCP would wait for company and lose every ping-pong. */
static void no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int tcp_socket(const char *text, struct sockaddr_in *ret)
{
	int fd, r = parse_tcp(text, ret);

	if (r < 0)
		return r;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	no_delay(fd);
	return fd;
}

static int open_tcp(const char *text)
{
	struct sockaddr_in sa;
	int err, fd = tcp_socket(text, &sa);

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

#ifdef BENCH_CLIENT
static int open_channel(const char *text)
{
	char vm[PART_MAX];
	const char *channel;
	int r = split(text, vm, &channel);

	return r < 0 ? r : vmc_connect(vm, channel, 0, OPEN_TIMEOUT_MS, NULL);
}
#else
static int open_channel(const char *text)
{
	(void)text;
	return -EPROTONOSUPPORT;
}
#endif

static const struct {
	const char *prefix;
	int (*open)(const char *rest);
} kinds[] = {
	{"file:", open_file},
	{"unix:", open_unix},
	{"tcp:", open_tcp},
	{"vmc:", open_channel},
};

int endpoint_open(const char *spec)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].prefix);

		if (strncmp(spec, kinds[i].prefix, n) == 0)
			return kinds[i].open(spec + n);
	}
	return -EINVAL;
}

static int listen_tcp(const char *text, int *ret_port)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int err, fd = tcp_socket(text, &sa);

	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	    listen(fd, LISTEN_BACKLOG) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sa, &len) == 0) {
		*ret_port = ntohs(sa.sin_port);
		return fd;
	}
	err = -errno;
	close(fd);
	return err;
}

static int listen_channel(const char *text, struct endpoint_listener *l)
{
#ifdef BENCH_CLIENT
	char vm[PART_MAX];
	const char *channel;
	int r = split(text, vm, &channel);

	return r < 0 ? r : vmc_listen(&l->channel, vm, channel, 0);
#else
	(void)text;
	(void)l;
	return -EPROTONOSUPPORT;
#endif
}

int endpoint_listen(const char *spec, struct endpoint_listener **ret,
		    int *ret_port)
{
	struct endpoint_listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	*ret_port = 0;
	l->fd = -1;
	if (strncmp(spec, "tcp:", 4) == 0)
		r = l->fd = listen_tcp(spec + 4, ret_port);
	else if (strncmp(spec, "vmc:", 4) == 0)
		r = listen_channel(spec + 4, l);
	else
		r = -EINVAL;
	if (r < 0) {
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

static int accept_tcp(int listener, int timeout_ms)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	int fd, n = poll(&p, 1, timeout_ms);

	if (n <= 0)
		return n == 0 ? -ETIMEDOUT : -errno;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	no_delay(fd);
	return fd;
}

int endpoint_accept(struct endpoint_listener *l, int timeout_ms)
{
	if (l->fd >= 0)
		return accept_tcp(l->fd, timeout_ms);
#ifdef BENCH_CLIENT
	return vmc_accept(l->channel, NULL, timeout_ms);
#else
	return -EPROTONOSUPPORT;
#endif
}

void endpoint_listener_free(struct endpoint_listener *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
#ifdef BENCH_CLIENT
	vmc_listener_free(l->channel);
#endif
	free(l);
}
