/* SPDX-License-Identifier: MIT */
/* exec_spawn.h - the process of a command */
#ifndef GUEST_EXEC_SPAWN_H
#define GUEST_EXEC_SPAWN_H

#include "guest/exec_cgroup.h"
#include "guest/exec_plan.h"

/* What the server has of it; its own ends do not block. */
struct exec_command {
	pid_t pid;
	int in;       /* -1: closed; on a terminal the same as out */
	int out, err; /* -1: closed */
	bool pty;
};

enum exec_step {
	EXEC_STEP_PREPARE, /* pipes, a terminal, a process */
	EXEC_STEP_USER,    /* becoming that user */
	EXEC_STEP_DIRECTORY,
	EXEC_STEP_PROGRAM,
};

struct exec_failure {
	enum exec_step step;
	int error; /* an errno; 0: none */
};

/**
 * exec_spawn() - start a command; when it returns, it runs
 * @end_fd: readable: do not wait for it any more
 *
 * Return: false, with the reason; nothing of it is left then but a process
 * that may still be ending.
 */
bool exec_spawn(struct exec_command *ret, const struct exec_plan *plan,
		const struct exec_cgroup *group, int end_fd,
		struct exec_failure *ret_failure);

#endif /* GUEST_EXEC_SPAWN_H */
