/* SPDX-License-Identifier: MIT */
/*
 * find_port.c - which device is the virtio port of that name?
 */
#include "guest/find_port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_LEN 256 /* of a port; longer ones are nobody's */

/* The file appears with the port's name, which comes after the device. */
static bool has_name(int dir, const char *device, const char *name)
{
	char file[NAME_MAX_LEN], text[NAME_MAX_LEN];
	ssize_t n;
	int fd;

	if (snprintf(file, sizeof(file), "%s/name", device) >=
	    (int)sizeof(file))
		return false;
	fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	if (text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	return strcmp(text, name) == 0;
}

int find_port(const char *class_dir, const char *name, char *ret, size_t size)
{
	struct dirent *e;
	int r = -ENOENT;
	DIR *d;

	d = opendir(class_dir);
	if (!d)
		return -errno;
	while (r == -ENOENT && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !has_name(dirfd(d), e->d_name, name))
			continue;
		r = snprintf(ret, size, "%s", e->d_name) < (int)size
			    ? 0
			    : -ENAMETOOLONG;
	}
	closedir(d);
	return r;
}
