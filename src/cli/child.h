/* SPDX-License-Identifier: MIT */
/* child.h - one process per stream */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include <sys/types.h>

#include <vmchannel/vmchannel.h>

/**
 * child_start() - start a command with a stream as its stdin and stdout
 * @argv:   NULL-terminated; argv[0] is looked for in PATH
 * @stream: consumed always
 *
 * The environment has VMCHANNEL_CHANNEL, VMCHANNEL_CALLER ("guest:1000") and
 * VMCHANNEL_STREAM besides.
 *
 * Return: 0 or a positive errno; ENOENT: there is no such command.
 */
int child_start(pid_t *ret, char *const *argv, int stream, const char *channel,
		const struct vmc_caller *caller);

/* child_status() - a process's wait status as an exit status (128 + signal) */
int child_status(int wait_status);

#endif /* CLI_CHILD_H */
