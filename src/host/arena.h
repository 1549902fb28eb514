/* SPDX-License-Identifier: MIT */
/*
 * arena.h - the worker's session in memory that outlives the worker
 *
 * A head, then what broker_config.session_mem points to. A successor believes
 * what it finds only if the same program wrote it and the writer died between
 * two turns of its loop: nothing was in flight then. Memory of a killed
 * process is what its instructions stored, in program order.
 */
#ifndef HOST_ARENA_H
#define HOST_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_NAME "vmchannel-session"
/* Well above a host's session and tables; pages that are not used are none. */
#define ARENA_SIZE (8u * 1024u * 1024u)

#define ARENA_BUILD_LEN 20u

struct arena_head {
	uint64_t magic;
	uint8_t build[ARENA_BUILD_LEN]; /* of the program that wrote it */
	uint32_t unused;
	uint64_t turn; /* odd: within a turn */
};

struct arena {
	struct arena_head *head;
	void *mem; /* aligned to 64 */
	size_t size;
	bool left; /* a predecessor's state lies in it, to be believed */
	bool torn; /* it died within a turn: only records may be read */
};

/**
 * arena_open() - map it, look at what is there
 * @fd: of ARENA_SIZE bytes; stays the caller's
 *
 * What another program left is zeroed. Return: 0 or a negative errno.
 */
int arena_open(struct arena *ret, int fd);

/* arena_forget() - what was left turned out to be of no use: zero it */
void arena_forget(struct arena *a);

#endif /* HOST_ARENA_H */
