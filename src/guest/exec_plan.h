/* SPDX-License-Identifier: MIT */
/*
 * exec_plan.h - what is to be run, as whom, where
 *
 * Made in the process that serves one command, out of what its call said: all
 * strings are borrowed from there, and nothing is freed before it ends.
 */
#ifndef GUEST_EXEC_PLAN_H
#define GUEST_EXEC_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "broker/users.h"

/* Of the interface file. */
#define EXEC_ARGV_MAX 1024

struct exec_plan {
	const char *file; /* looked for in PATH unless it has a slash */
	const char *argv[EXEC_ARGV_MAX + 1]; /* NULL-terminated */
	char **env;
	const char *directory; /* NULL: the home, or / if that is closed */
	struct user_ids user;
	bool pty;
	struct winsize size;
};

/**
 * exec_env() - the environment that a log-in sets, and more
 * @more: object of strings that are added, or take the place of those; or NULL
 * @term: TERM, or NULL
 *
 * Return: a NULL-terminated array, or NULL: no memory.
 */
char **exec_env(const struct user_ids *user, json_t *more, const char *term);

/* exec_env_is_right() - is each key of @more a name of a variable? */
bool exec_env_is_right(json_t *more);

#endif /* GUEST_EXEC_PLAN_H */
