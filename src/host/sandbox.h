/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - what the worker gives up before it reads a guest's byte
 */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Descriptors the worker can have: sockets of VMC_MAX_STREAMS streams, of
 * control connections and half-made calls, and a few of its own. */
#define SANDBOX_FILES_MAX 4096u

/* Far above what the largest state needs; a leak ends here. */
#define SANDBOX_DATA_MAX (256u * 1024u * 1024u)

struct sandbox_user {
	bool change;
	uid_t uid;
	gid_t gid;
};

/**
 * sandbox_enter() - give up everything that moving bytes does not need
 * @user: who to become (only root can)
 * @ret_missing: set to what this system refuses, "" if nothing; for one line
 *               of log. Seccomp, no-new-privileges and capabilities are never
 *               missing: then the call fails.
 *
 * Nothing can be opened, connected, executed or forked afterwards.
 * Descriptors that are open stay open.
 *
 * Return: 0, or a negative errno; the process must exit then.
 */
int sandbox_enter(const struct sandbox_user *user, char *ret_missing,
		  size_t size);

/* The filter of the last step; sandbox_enter() installs it. Return: 0, -errno.
 */
int sandbox_seccomp(void);

#endif /* HOST_SANDBOX_H */
