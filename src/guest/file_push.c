/* SPDX-License-Identifier: MIT */
/*
 * file_push.c - a file to the guest
 *
 * It is written beside its place, where the next Push of that path finds it if
 * this one is cut off, and moved there when all of it has come, is what the
 * caller says it is, and stands on the disk.
 */
#include "guest/file_push.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest/file_error.h"
#include "guest/file_place.h"
#include "guest/file_sum.h"

#define NEW_MODE 0644u

struct push {
	const char *path;
	const char *sha256; /* as the call has it, or NULL */
	int64_t size, at;
	mode_t mode;
	struct file_place place;
	int fd;
	struct sha256_ctx sum;
};

/* ---- before the reply ---------------------------------------------------- */

/* What takes its place: nothing, a file, a link to whatever. */
static int look_at_place(struct push *p, const json_t *mode)
{
	struct stat st;

	p->mode = mode ? (mode_t)json_integer_value(mode) : NEW_MODE;
	if (fstatat(p->place.dir, p->place.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return -EINVAL;
	/* It stays as open as it was; a program of somebody's does not. */
	if (!mode && S_ISREG(st.st_mode))
		p->mode = st.st_mode & 0777;
	return 0;
}

/* Not to be told after an hour what can be seen now. */
static int look_for_room(const struct push *p)
{
	struct statvfs fs;
	uint64_t need = (uint64_t)(p->size - p->at);

	if (fstatvfs(p->fd, &fs) < 0 || fs.f_blocks == 0 || fs.f_frsize == 0)
		return 0;
	return need / fs.f_frsize > fs.f_bfree ? -ENOSPC : 0;
}

static int begin(struct push *p, const json_t *mode)
{
	int r = file_place_open(&p->place, p->path);

	if (r == 0)
		r = look_at_place(p, mode);
	if (r < 0)
		return r;
	p->fd = file_place_begin(&p->place, p->at);
	return p->fd < 0 ? p->fd : look_for_room(p);
}

/* ---- the frames ---------------------------------------------------------- */

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0) {
			p += r;
			n -= (size_t)r;
		}
	}
	return 0;
}

/* A disk that is full is not left so. */
__attribute__((noreturn)) static void give_up(const struct push *p,
					      struct file_stream *s, int error)
{
	file_place_drop(&p->place);
	file_give_up(s, p->path, error);
}

static void take(struct push *p, struct file_stream *s, uint32_t len)
{
	int r;

	if ((int64_t)len > p->size - p->at)
		give_up(p, s, -ESTALE);
	r = write_all(p->fd, file_stream_body(s), len);
	if (r < 0)
		give_up(p, s, r);
	sha256_update(&p->sum, len, file_stream_body(s));
	p->at += len;
}

static bool is_right(const struct push *p, const uint8_t *told,
		     const uint8_t *sum)
{
	char hex[FILE_SUM_HEX + 1];

	file_sum_hex(sum, hex);
	return p->at == p->size && memcmp(told, sum, OPFRAME_SUM) == 0 &&
	       (!p->sha256 || strcasecmp(p->sha256, hex) == 0);
}

/* The caller's sum has come, behind all of the file. */
__attribute__((noreturn)) static void finish(struct push *p,
					     struct file_stream *s)
{
	uint8_t sum[OPFRAME_SUM];
	int r = -ESTALE;

	sha256_digest(&p->sum, sizeof(sum), sum);
	if (is_right(p, file_stream_body(s), sum))
		r = file_place_finish(&p->place, p->fd, p->mode);
	if (r < 0)
		give_up(p, s, r);
	memcpy(file_stream_body(s), sum, sizeof(sum));
	file_stream_end(s, OPFRAME_SUM_OF, sizeof(sum));
}

/* Until the sum has come, or the stream was cut off: it is gone on with then,
 * by another Push. */
static void receive(struct push *p, struct file_stream *s)
{
	struct opframe f;
	int r;

	sha256_init(&p->sum);
	r = file_sum_from(&p->sum, p->fd, p->at);
	if (r < 0)
		give_up(p, s, r);
	while (file_stream_get(s, &f)) {
		if (f.type == OPFRAME_SUM_OF)
			finish(p, s);
		if (f.type != OPFRAME_DATA)
			return;
		take(p, s, f.len);
	}
}

void file_push(struct op_call *call, json_t *p)
{
	static struct file_stream stream;
	struct push push = {
		.path = json_string_value(json_object_get(p, "path")),
		.sha256 = json_string_value(json_object_get(p, "sha256")),
		.size = json_integer_value(json_object_get(p, "size")),
		.at = json_integer_value(json_object_get(p, "offset")),
		.fd = -1,
	};
	int r;

	if (push.at > push.size) {
		op_invalid(call, "offset");
		return;
	}
	r = begin(&push, json_object_get(p, "mode"));
	if (r < 0) {
		file_refuse(call, push.path, r);
		return;
	}
	if (file_stream_open(&stream, call,
			     json_pack("{s:I}", "offset", (json_int_t)push.at)))
		receive(&push, &stream);
	_exit(EXIT_SUCCESS);
}
