/* SPDX-License-Identifier: MIT */
/*
 * spawn.h - the supervisor's other processes: this program again
 */
#ifndef HOST_SPAWN_H
#define HOST_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "host/options.h"

/* Descriptors that a child finds at SPAWN_FD_FIRST, +1, ... */
#define SPAWN_FD_FIRST 3
#define SPAWN_FDS_MAX  12
/* Of spawn_args(), with the NULL. */
#define SPAWN_ARGS_MAX 7

/**
 * spawn_self() - fork and execute
 * @exe_fd: the program
 * @argv:   ends with NULL
 * @fds:    @n descriptors to place at SPAWN_FD_FIRST, ...; they stay the
 *          caller's
 *
 * The child leaves the terminal, ignores what a terminal or a service manager
 * sends to the whole group, and inherits nothing else.
 *
 * Return: its pid or a negative errno.
 */
pid_t spawn_self(int exe_fd, const char *const *argv, const int *fds, size_t n);

/* spawn_args() - the arguments of a helper that needs no more than every one;
 * @role: e.g. "--bus" */
void spawn_args(const struct options *o, const char *role,
		const char *argv[SPAWN_ARGS_MAX]);

#endif /* HOST_SPAWN_H */
