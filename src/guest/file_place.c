/* SPDX-License-Identifier: MIT */
/* file_place.c - a path of the guest, and the unfinished file beside it */
#include "guest/file_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "guest/file_sum.h"

#define PREFIX ".vmchannel-"
/* Of the name, if it is too long to be part of another one. */
#define HASHED 32

/* ---- names --------------------------------------------------------------- */

static void name_partial(struct file_place *p)
{
	struct sha256_ctx sum;
	uint8_t bytes[OPFRAME_SUM];
	char hex[FILE_SUM_HEX + 1];
	size_t len = strlen(p->name);

	if (len + strlen(PREFIX) <= NAME_MAX) {
		memcpy(p->partial, PREFIX, strlen(PREFIX));
		memcpy(p->partial + strlen(PREFIX), p->name, len + 1);
		return;
	}
	sha256_init(&sum);
	sha256_update(&sum, len, (const uint8_t *)p->name);
	sha256_digest(&sum, sizeof(bytes), bytes);
	file_sum_hex(bytes, hex);
	snprintf(p->partial, sizeof(p->partial), PREFIX "%.*s", HASHED, hex);
}

static int split(struct file_place *p, const char *path, char *folder)
{
	const char *slash = strrchr(path, '/');
	size_t len;

	if (path[0] != '/')
		return -EINVAL;
	len = (size_t)(slash - path);
	if (strlen(slash + 1) > NAME_MAX || len >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(p->name, sizeof(p->name), "%s", slash + 1);
	if (p->name[0] == '\0' || strcmp(p->name, ".") == 0 ||
	    strcmp(p->name, "..") == 0)
		return -EISDIR;
	memcpy(folder, len > 0 ? path : "/", len > 0 ? len : 1);
	folder[len > 0 ? len : 1] = '\0';
	return 0;
}

int file_place_open(struct file_place *ret, const char *path)
{
	char folder[PATH_MAX];
	int r = split(ret, path, folder);

	if (r < 0)
		return r;
	name_partial(ret);
	ret->dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ret->dir < 0 ? -errno : 0;
}

/* ---- the unfinished file ------------------------------------------------- */

/* In a folder where all may write, somebody else may have made one. */
static bool is_own(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
	       st->st_nlink == 1 && (st->st_mode & 077) == 0;
}

int file_place_partial(const struct file_place *p, int64_t *ret)
{
	struct stat st;

	if (fstatat(p->dir, p->partial, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_own(&st))
		return -ENOENT;
	*ret = st.st_size;
	return 0;
}

/* Return: is @fd what has that name? */
static bool is_there(const struct file_place *p, int fd)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 &&
	       fstatat(p->dir, p->partial, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       is_own(&there) && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino;
}

/* One that is not ours goes, if it may be removed. */
static int clear(const struct file_place *p)
{
	int64_t size;
	int r = file_place_partial(p, &size);

	if (r == 0 || unlinkat(p->dir, p->partial, 0) == 0 || errno == ENOENT)
		return 0;
	return -errno;
}

/* Return: 0 if it may be written to from @offset on. */
static int take(const struct file_place *p, int fd, int64_t offset)
{
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (!is_there(p, fd))
		return -EBUSY;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < offset)
		return -ESTALE;
	return ftruncate(fd, offset) < 0 ? -errno : 0;
}

int file_place_begin(const struct file_place *p, int64_t offset)
{
	int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int r = clear(p);
	int fd;

	if (r < 0)
		return r;
	fd = openat(p->dir, p->partial, flags | (offset > 0 ? 0 : O_CREAT),
		    0600);
	if (fd < 0)
		return errno == ENOENT && offset > 0 ? -ESTALE : -errno;
	r = take(p, fd, offset);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

int file_place_finish(const struct file_place *p, int fd, mode_t mode)
{
	int folder;

	if (!is_there(p, fd))
		return -EBUSY;
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0 ||
	    renameat(p->dir, p->partial, p->dir, p->name) < 0)
		return -errno;
	/* The name, too. A folder that may not be read is not written out;
	 * nobody is told less than is true of the file. */
	folder = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0) {
		(void)fsync(folder);
		close(folder);
	}
	return 0;
}

void file_place_drop(const struct file_place *p)
{
	unlinkat(p->dir, p->partial, 0);
}
