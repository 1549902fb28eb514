/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - what the worker, the bus process and the QMP process give up
 * before they read a foreign byte
 */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum sandbox_who {
	SANDBOX_WORKER,
	SANDBOX_BUS,
	SANDBOX_QMP,
	SANDBOX_WHO_NUM
};

/* Descriptors the worker can have: sockets of VMC_MAX_STREAMS streams, of
 * control connections and half-made calls, and a few of its own. */
#define SANDBOX_FILES_MAX 4096u
/* The bus process: the listener, QEMU, the next QEMU, two pairs, memory. */
#define SANDBOX_BUS_FILES_MAX 32u
/* The QMP process: QEMU and a pair. */
#define SANDBOX_QMP_FILES_MAX 8u

/* Far above what the largest state needs; a leak ends here. */
#define SANDBOX_DATA_MAX (256u * 1024u * 1024u)
/* A few messages of 1 MiB. sd-bus would take one of 128 MiB. */
#define SANDBOX_BUS_DATA_MAX (16u * 1024u * 1024u)
/* A line of 64 KiB as jansson keeps it, many times over. */
#define SANDBOX_QMP_DATA_MAX (16u * 1024u * 1024u)

struct sandbox_user {
	bool change;
	uid_t uid;
	gid_t gid;
};

/**
 * sandbox_enter() - give up everything that the task does not need
 * @who:  which filter and which limits
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
int sandbox_enter(enum sandbox_who who, const struct sandbox_user *user,
		  char *ret_missing, size_t size);

/* The filter of the last step; sandbox_enter() installs it. Return: 0, -errno.
 */
int sandbox_seccomp(enum sandbox_who who);

#endif /* HOST_SANDBOX_H */
