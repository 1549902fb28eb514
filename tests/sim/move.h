/* SPDX-License-Identifier: MIT */
/*
 * move.h - an engine is frozen, saved, and goes on here or elsewhere
 */
#ifndef SIM_MOVE_H
#define SIM_MOVE_H

#include "world.h"

/* Each: false if end @e cannot do that now. */

/* move_hold() - frozen and thawed: an upgrade that came to nothing */
bool move_hold(struct world *w, int e);

/* move_fence() - frozen and saved; a new handshake proves that the peer is
 * still ours: savevm, or a migration that failed */
bool move_fence(struct world *w, int e);

/* move_away() - saved, and loaded into a new engine, without a link yet */
bool move_away(struct world *w, int e);

#endif /* SIM_MOVE_H */
