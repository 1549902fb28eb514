/* SPDX-License-Identifier: MIT */
/* child.c - one process per stream */
#include "cli/child.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/child_signals.h"

static int set_environment(const char *channel, const struct vmc_caller *caller)
{
	char who[32];

	snprintf(who, sizeof(who), "%s:%u",
		 caller->side == VMC_PRINCIPAL_HOST ? "host" : "guest",
		 caller->uid);
	if (setenv("VMCHANNEL_CHANNEL", channel, 1) ||
	    setenv("VMCHANNEL_CALLER", who, 1) ||
	    setenv("VMCHANNEL_STREAM", caller->id, 1))
		return ENOMEM;
	return 0;
}

static int spawn(pid_t *ret, char *const *argv, int stream,
		 posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr)
{
	int r = child_signals(attr);

	if (!r)
		r = posix_spawn_file_actions_adddup2(actions, stream,
						     STDIN_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(actions, stream,
						     STDOUT_FILENO);
	if (!r)
		r = posix_spawnp(ret, argv[0], actions, attr, argv, environ);
	return r;
}

int child_start(pid_t *ret, char *const *argv, int stream, const char *channel,
		const struct vmc_caller *caller)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = set_environment(channel, caller);

	if (!r) {
		posix_spawn_file_actions_init(&actions);
		posix_spawnattr_init(&attr);
		r = spawn(ret, argv, stream, &actions, &attr);
		posix_spawnattr_destroy(&attr);
		posix_spawn_file_actions_destroy(&actions);
	}
	close(stream);
	return r;
}

int child_status(int wait_status)
{
	if (WIFSIGNALED(wait_status))
		return 128 + WTERMSIG(wait_status);
	return WEXITSTATUS(wait_status);
}
