/* SPDX-License-Identifier: MIT */
/*
 * qemu_group.c - a QEMU that runs as another user reaches vmstate.sock
 */
#include "host/qemu_group.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKET_MODE 0660

bool qemu_group_find(const char *name, gid_t *ret)
{
	const struct group *gr = getgrnam(name);
	unsigned long n;
	char *end;

	if (gr) {
		*ret = gr->gr_gid;
		return true;
	}
	errno = 0;
	n = strtoul(name, &end, 10);
	/* The largest is none: chown() takes it for "as it is". */
	if (!isdigit((unsigned char)*name) || *end || errno || n >= UINT_MAX)
		return false;
	*ret = (gid_t)n;
	return true;
}

/* One that everybody may enter stays as it is. */
static int open_dir(const char *dir, gid_t gid)
{
	struct stat st;
	mode_t mode;

	if (stat(dir, &st) < 0)
		return -errno;
	if (st.st_mode & S_IXOTH)
		return 0;
	mode = (st.st_mode & 07707u) | S_IXGRP;
	if (chown(dir, (uid_t)-1, gid) < 0 || chmod(dir, mode) < 0)
		return -errno;
	return 0;
}

int qemu_group_admit(const char *dir, const char *socket, gid_t gid)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, socket);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	/* The group first: it is nobody's business meanwhile. */
	if (chown(path, (uid_t)-1, gid) < 0 || chmod(path, SOCKET_MODE) < 0)
		return -errno;
	return open_dir(dir, gid);
}
