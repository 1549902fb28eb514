/* SPDX-License-Identifier: MIT */
/*
 * child_signals.h - what programs that are started begin with
 *
 * Shared with the command.
 */
#ifndef CLIENT_CHILD_SIGNALS_H
#define CLIENT_CHILD_SIGNALS_H

#include <spawn.h>

/**
 * child_signals() - the signals that a shell would give a program
 *
 * Whoever starts it may block them (a thread of the library) or ignore
 * SIGPIPE and SIGCHLD. Return: 0 or an errno.
 */
int child_signals(posix_spawnattr_t *attr);

#endif /* CLIENT_CHILD_SIGNALS_H */
