/* SPDX-License-Identifier: MIT */
/*
 * file_place.h - a path of the guest, and the unfinished file beside it
 *
 * The folder is opened once; everything else goes by names in it, which are
 * never followed if they are links.
 */
#ifndef GUEST_FILE_PLACE_H
#define GUEST_FILE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct file_place {
	int dir;
	char name[NAME_MAX + 1];
	char partial[NAME_MAX + 1]; /* the same for the same name */
};

/* All return 0 or a negative errno. */

/* file_place_open() - @path: absolute, of something that can be a file */
int file_place_open(struct file_place *ret, const char *path);

/* file_place_partial() - bytes of the unfinished file, if it is the caller's
 * own and no one else may write it; -ENOENT */
int file_place_partial(const struct file_place *p, int64_t *ret);

/**
 * file_place_begin() - open the unfinished file, with its first @offset bytes
 *
 * Return: the descriptor; -EBUSY if somebody writes it already, -ESTALE if it
 * does not have that many bytes.
 */
int file_place_begin(const struct file_place *p, int64_t offset);
/* file_place_finish() - write it out and let it take the place of the name; it
 * is nobody else's to read before */
int file_place_finish(const struct file_place *p, int fd, mode_t mode);
/* file_place_drop() - nobody can go on with it */
void file_place_drop(const struct file_place *p);

#endif /* GUEST_FILE_PLACE_H */
