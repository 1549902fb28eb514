/* SPDX-License-Identifier: MIT */
/* file_pull.c - a file of the guest */
#include "guest/file_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/file_error.h"
#include "guest/file_info.h"
#include "guest/file_sum.h"

struct pull {
	const char *path;
	int fd;
	struct stat st;
	int64_t at;
	struct sha256_ctx sum;
};

/* Opening something else than a file can do things: it is looked at first. */
static int open_file(struct pull *p)
{
	char again[32];
	int fd = open(p->path, O_PATH | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &p->st) < 0)
		return -errno;
	if (S_ISDIR(p->st.st_mode))
		return -EISDIR;
	if (!S_ISREG(p->st.st_mode))
		return -EINVAL;
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	p->fd = open(again, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0 || fstat(p->fd, &p->st) < 0)
		return -errno;
	return p->at > p->st.st_size ? -ESTALE : 0;
}

static bool has_changed(const struct pull *p)
{
	const struct timespec *then = &p->st.st_mtim;
	struct stat now;
	char byte;

	/* Some of /proc and /sys say nothing true of their size. */
	return read(p->fd, &byte, 1) != 0 || fstat(p->fd, &now) < 0 ||
	       now.st_size != p->st.st_size ||
	       now.st_mtim.tv_sec != then->tv_sec ||
	       now.st_mtim.tv_nsec != then->tv_nsec;
}

__attribute__((noreturn)) static void give_up(const struct pull *p,
					      struct file_stream *s, int error)
{
	file_give_up(s, p->path, error == -ENODATA ? -ESTALE : error);
}

/* Return: false: the caller has gone, or sent what nobody waits for. */
static bool send_piece(struct pull *p, struct file_stream *s)
{
	int64_t left = p->st.st_size - p->at;
	size_t want = left < (int64_t)OPFRAME_MAX ? (size_t)left : OPFRAME_MAX;
	ssize_t n = read(p->fd, file_stream_body(s), want);

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		give_up(p, s, n < 0 ? -errno : -ENODATA);
	sha256_update(&p->sum, (size_t)n, file_stream_body(s));
	p->at += n;
	return file_stream_quiet(s) &&
	       file_stream_put(s, OPFRAME_OUT, (size_t)n);
}

static void send_all(struct pull *p, struct file_stream *s)
{
	int r;

	sha256_init(&p->sum);
	r = file_sum_from(&p->sum, p->fd, p->at);
	if (r < 0)
		give_up(p, s, r);
	while (p->at < p->st.st_size)
		if (!send_piece(p, s))
			return;
	if (has_changed(p))
		give_up(p, s, -ESTALE);
	sha256_digest(&p->sum, OPFRAME_SUM, file_stream_body(s));
	file_stream_end(s, OPFRAME_SUM_OF, OPFRAME_SUM);
}

void file_pull(struct op_call *call, json_t *p)
{
	static struct file_stream stream;
	struct pull pull = {
		.path = json_string_value(json_object_get(p, "path")),
		.at = json_integer_value(json_object_get(p, "offset")),
		.fd = -1,
	};
	int r = open_file(&pull);

	if (r < 0) {
		file_refuse(call, pull.path, r);
		return;
	}
	if (file_stream_open(
		    &stream, call,
		    json_pack("{s:o}", "info", file_info(&pull.st, NULL))))
		send_all(&pull, &stream);
	_exit(EXIT_SUCCESS);
}
