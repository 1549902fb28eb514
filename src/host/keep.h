/* SPDX-License-Identifier: MIT */
/*
 * keep.h - descriptors that the supervisor keeps should the worker die
 *
 * Local programs' sockets that are older than a second: calls are shorter and
 * are not worth a message. A copy keeps a socket alive, so the worker ends it
 * by shutdown() and then says that it need not be kept.
 */
#ifndef HOST_KEEP_H
#define HOST_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than a worker can have open, SANDBOX_FILES_MAX; one that has been taken
 * over can fill no more than this. */
#define KEEP_MAX 4096u

struct kept {
	uint64_t request; /* the worker's name for it */
	int32_t kind;     /* enum state_fd_kind */
	int fd;
};

struct keep {
	struct kept *list; /* in the order of coming */
	size_t n, room;
};

/* keep_add() - @fd is consumed. Return: 0, -ENOSPC, -EEXIST, -ENOMEM. */
int keep_add(struct keep *k, uint64_t request, int32_t kind, int fd);
/* keep_drop() - close it. Return: was there one? */
bool keep_drop(struct keep *k, uint64_t request);
/* keep_clear() - close all */
void keep_clear(struct keep *k);
/* keep_done() - and free the table */
void keep_done(struct keep *k);

#endif /* HOST_KEEP_H */
