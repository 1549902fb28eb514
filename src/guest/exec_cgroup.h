/* SPDX-License-Identifier: MIT */
/*
 * exec_cgroup.h - a command's cgroup, below the agent's own
 *
 * Only cgroup v2, and only where the agent's part of the tree is its own to
 * divide: systemd says so of a unit with Delegate=, and without systemd nobody
 * else does. Named after the process that serves the command, so that one of
 * which that process is gone is known as left over.
 */
#ifndef GUEST_EXEC_CGROUP_H
#define GUEST_EXEC_CGROUP_H

#include <limits.h>

/* The name of the process that serves a command. */
#define EXEC_PROCESS "vmch-exec"

struct exec_cgroup {
	char path[PATH_MAX]; /* "" if there is none */
};

/* exec_cgroup_make() - for this process's command */
void exec_cgroup_make(struct exec_cgroup *ret);
/* exec_cgroup_enter() - the calling process and all that it starts */
void exec_cgroup_enter(const struct exec_cgroup *g);
/* exec_cgroup_kill() - all that is in it, at once */
void exec_cgroup_kill(const struct exec_cgroup *g);
/* exec_cgroup_remove() - once nothing is in it */
void exec_cgroup_remove(const struct exec_cgroup *g);

/* exec_cgroup_sweep() - kill what is in those that are left over */
void exec_cgroup_sweep(void);

#endif /* GUEST_EXEC_CGROUP_H */
