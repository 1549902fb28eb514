/* SPDX-License-Identifier: MIT */
/*
 * freeze_keeper.h - the processes of a freeze
 *
 * The keeper holds the lease: from before the first file system is frozen it
 * is locked in memory, has all its descriptors and writes to nothing but the
 * record, so that no frozen file system can hold it up. The calls that freeze
 * are made by a child of its own, because one that hangs in the kernel must
 * not keep the others frozen. It belongs to no session and dies with nobody;
 * SIGTERM makes it thaw.
 *
 *	who dies		what thaws
 *	the host, its daemon	the keeper, at the end of the lease
 *	the agent		it takes the operations process with it, which
 *				asks the keeper for it
 *	the operations process	the next one asks; the keeper, if there is none
 *	the keeper		the operations process, by a rescuer
 *	both at once		the next operations process, by a rescuer
 *	the freezer		the keeper: the freeze has failed
 */
#ifndef GUEST_FREEZE_KEEPER_H
#define GUEST_FREEZE_KEEPER_H

#include "guest/freeze_record.h"

struct freeze_job {
	struct freeze_record *rec;
	int lock_fd;   /* of the record */
	int notify_fd; /* gets a byte when the phase has changed */
	uint64_t lease_us;
	const char *const *names; /* NULL: all */
	size_t n_names;
};

/* freeze_keeper_main() - in a child that shares memory with nobody else */
__attribute__((noreturn)) void freeze_keeper_main(const struct freeze_job *job);

/* freeze_rescuer_main() - the same, for a freeze whose keeper is dead or was
 * asked by a predecessor: wait until all others have ended, thaw what is left
 */
__attribute__((noreturn)) void freeze_rescuer_main(struct freeze_record *rec,
						   int lock_fd);

/* freeze_thaw_left() - thaw by path what the record says is frozen */
void freeze_thaw_left(struct freeze_record *rec);

#endif /* GUEST_FREEZE_KEEPER_H */
