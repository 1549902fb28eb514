/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h - an end, or the whole world, as it was
 *
 * The engine is one block without pointers into itself, so a copy of the
 * block is a copy of the engine. An end's snapshot is what savevm keeps: the
 * engine and the applications around it, but not the link. Going to one is
 * a rollback, or a clone if the present was put aside before.
 */
#ifndef SIM_SNAPSHOT_H
#define SIM_SNAPSHOT_H

#include "world.h"

/* snapshot_take() - end @e as it is now, into one of its places */
void snapshot_take(struct world *w, int e, unsigned int place);

/* snapshot_of() - the same as it is in @then, a copy of an older @w */
void snapshot_of(struct world *w, const struct world *then, int e,
		 unsigned int place);

/* snapshot_has() - was one taken there? */
bool snapshot_has(const struct world *w, int e, unsigned int place);

/* snapshot_go() - end @e becomes what it was; the link stays as it is */
void snapshot_go(struct world *w, int e, unsigned int place);

/* snapshot_swap() - the present and what is in @place change places */
void snapshot_swap(struct world *w, int e, unsigned int place);

void snapshots_done(struct world *w);

/* checkpoint_copy() - @to becomes equal to @from, links and all; @to is a
 * world of zeros or an older copy. Neither snapshots of ends nor what
 * migrations left are copied. */
void checkpoint_copy(struct world *to, const struct world *from);

#endif /* SIM_SNAPSHOT_H */
