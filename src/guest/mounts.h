/* SPDX-License-Identifier: MIT */
/*
 * mounts.h - what is mounted, from /proc/self/mountinfo
 */
#ifndef GUEST_MOUNTS_H
#define GUEST_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A guest that has more sees the first ones. */
#define MOUNTS_MAX 8192

struct mount {
	unsigned int major, minor; /* of the file system, not of its disk */
	char *root;                /* what of the file system is mounted */
	char *path;
	char *type;
	char *source;
	char *options;  /* of the file system, as the kernel has them */
	bool read_only; /* the mount, or the file system */
	bool fs_read_only;
};

struct mounts {
	struct mount *list; /* in the order of mounting */
	size_t n;
};

/* mounts_read() - @root: "" but for tests. Return: 0 or a negative errno. A
 * line that is not as it should be is left out. */
int mounts_read(const char *root, struct mounts *ret);
void mounts_done(struct mounts *m);

/* mounts_hidden() - is another one mounted over it, so that its path leads
 * there? */
bool mounts_hidden(const struct mounts *m, size_t i);

/* mounts_under() - on which is that absolute path? Return: its place, or -1 */
long mounts_under(const struct mounts *m, const char *path);

/* mounts_same_fs() - do they show the same file system? */
bool mounts_same_fs(const struct mount *a, const struct mount *b);

/* mounts_is_pseudo() - is it a window of the kernel's, not a store? */
bool mounts_is_pseudo(const struct mount *m);

/* mounts_once() - is it the one to show for its file system? Of those that
 * show the same: the first that shows all of it, else the first. Hidden ones
 * never. */
bool mounts_once(const struct mounts *m, size_t i);

#endif /* GUEST_MOUNTS_H */
