/* SPDX-License-Identifier: MIT */
/* target.h - [USER@]VM and [USER@]VM:PATH */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include <stdbool.h>

struct target {
	const char *user; /* NULL: not said */
	const char *vm;   /* NULL: a path of this machine */
	const char *path; /* NULL: not said */
};

/**
 * target_user() - take [USER@]VM apart
 * @text: is cut, and borrowed
 *
 * Return: CLI_OK, or CLI_FAILED, reported.
 */
int target_user(struct target *ret, const char *verb, char *text);

/* target_path() - the same for [USER@]VM:PATH; a text without ":", or with a
 * "/" before it, is a path of this machine */
int target_path(struct target *ret, const char *verb, char *text);

#endif /* CLI_TARGET_H */
