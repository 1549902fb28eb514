/* SPDX-License-Identifier: MIT */
/* mount_disks.c - what a file system stands on */
#include "guest/mount_disks.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guest/text.h"

/* A file system upon a file upon a file system upon ... */
#define DEPTH_MAX 8

size_t mount_disks(const char *root, const struct mount *m,
		   char ret[][DISK_NAME_MAX], size_t max)
{
	struct stat st;

	if (m->major != 0)
		return disks_below(root, m->major, m->minor, ret, max);
	/* btrfs and its like have a number of their own. /dev is the kernel's:
	 * stat() does not wait there. */
	if (strncmp(m->source, "/dev/", 5) != 0 || stat(m->source, &st) < 0 ||
	    !S_ISBLK(st.st_mode))
		return 0;
	return disks_below(root, major(st.st_rdev), minor(st.st_rdev), ret,
			   max);
}

/* What is written to an overlay goes to its upper folder. Return: the place of
 * the file system that has it. */
static long through_overlays(const struct mounts *m, long i)
{
	char path[PATH_MAX];

	for (int n = 0; n < DEPTH_MAX && i >= 0; n++) {
		struct text o = text_of(m->list[i].options);
		bool found = false;

		if (strcmp(m->list[i].type, "overlay") != 0)
			return i;
		while (o.left && !found) {
			struct text w = text_until(&o, ',');

			found = text_skip(&w, "upperdir=");
			if (found)
				text_copy(w, path, sizeof(path));
		}
		if (!found)
			return i;
		i = mounts_under(m, path);
	}
	return i;
}

static unsigned int depth_of(const char *root, const struct mounts *m, size_t i,
			     unsigned int left)
{
	char disks[DISK_BELOW_MAX][DISK_NAME_MAX], path[PATH_MAX];
	unsigned int deepest = 0;
	size_t n;

	if (left == 0)
		return 0;
	n = mount_disks(root, &m->list[i], disks, DISK_BELOW_MAX);
	for (size_t k = 0; k < n; k++) {
		unsigned int depth;
		long under;

		if (!disks_loop_file(root, disks[k], path))
			continue;
		under = through_overlays(m, mounts_under(m, path));
		depth = under < 0 ? 1
				  : 1 + depth_of(root, m, (size_t)under,
						 left - 1);
		deepest = depth > deepest ? depth : deepest;
	}
	return deepest;
}

unsigned int mount_depth(const char *root, const struct mounts *m, size_t i)
{
	return depth_of(root, m, i, DEPTH_MAX);
}
