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

/* move_away() - saved, and loaded into a new engine, without a link yet; the
 * old one is left, frozen, and both live */
bool move_away(struct world *w, int e);

/* move_adopt() - killed between two turns; the next process takes the block */
bool move_adopt(struct world *w, int e);

/* move_left() - some work of what a migration left, if there is any */
void move_left(struct world *w, int e);
void move_left_done(struct world *w);

#endif /* SIM_MOVE_H */
