/* SPDX-License-Identifier: MIT */
/*
 * loaded.c - which saved states were taken over on this host
 */
#include "host/loaded.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOADED_DIR "/.loaded"

static bool is_id(const char *s)
{
	return strlen(s) == LOADED_ID_LEN &&
	       strspn(s, "0123456789abcdef") == LOADED_ID_LEN;
}

/* Return: the folder, made if need be; or -errno. */
static int open_folder(const char *vm_dir)
{
	const char *slash = strrchr(vm_dir, '/');
	char path[PATH_MAX];
	int n, fd;

	if (!slash)
		return -EINVAL;
	n = snprintf(path, sizeof(path), "%.*s" LOADED_DIR,
		     (int)(slash - vm_dir), vm_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void remove_old(int folder)
{
	time_t old = time(NULL) - LOADED_DAYS_S;
	int copy = fcntl(folder, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *e;

	if (!d && copy >= 0)
		close(copy);
	for (int i = 0; d && i < LOADED_LOOK_MAX && (e = readdir(d)); i++) {
		struct stat st;

		if (is_id(e->d_name) &&
		    fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtime < old)
			unlinkat(folder, e->d_name, 0);
	}
	if (d)
		closedir(d);
}

int loaded_claim(const char *vm_dir, const char *id)
{
	int folder, fd, r;

	if (!is_id(id))
		return -EINVAL;
	folder = open_folder(vm_dir);
	if (folder < 0)
		return folder;
	remove_old(folder);
	fd = openat(folder, id,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	close(folder);
	return r;
}

int loaded_claim_again(struct loaded *l, const char *vm_dir, const char *id,
		       bool waiting)
{
	int r = loaded_claim(vm_dir, id);

	if (r == -EEXIST && waiting && strcmp(l->id, id) == 0)
		return 0;
	if (r == 0)
		snprintf(l->id, sizeof(l->id), "%s", id);
	return r;
}
