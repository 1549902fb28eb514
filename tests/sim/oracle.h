/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what must be true, whatever happens
 *
 * After every step:
 *  - both engines' own invariants hold, gauges are within their limits;
 *  - what lies unread in the guest's port is below what QEMU's socket takes;
 *  - no stream has more bytes under way than its receiver granted;
 *  - bytes arrive in order, unchanged, once (as they are delivered).
 * When a stream ends: for a reason that somebody gave; complete if "ok".
 * When all is quiet: nobody waits, no timer runs, both ends agree on names
 * and on which streams exist.
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "world.h"

/* oracle_event() - is this event allowed now? Before it is acted on. */
void oracle_event(struct world *w, int e, const struct vmc_event *ev);

/* oracle_jumped() - did an end go to a snapshot since @c was opened? */
bool oracle_jumped(const struct world *w, const struct conv *c);

/* oracle_is_ending() - is @c over on end @e, its END waiting to be taken? */
bool oracle_is_ending(const struct world *w, const struct conv *c, int e);

void oracle_step(struct world *w);

/* oracle_quiet() - nothing moves any more: is that right? */
void oracle_quiet(struct world *w);

#endif /* SIM_ORACLE_H */
