/* SPDX-License-Identifier: MIT */
/*
 * end.h - one engine and the broker's loop around it
 */
#ifndef SIM_END_H
#define SIM_END_H

#include "world.h"

/* end_init() - choose limits and make the engine; not attached yet */
void end_init(struct world *w, int e);
void end_done(struct end *end);

/* end_now() - what its clock says */
uint64_t end_now(const struct world *w, int e);

/* end_alloc() - memory for an engine, with anything in it */
void *end_alloc(struct world *w, size_t size);

/* How much of its work a wake-up gets done; UINT32_MAX: all of it. */
struct budget {
	uint32_t input, events, pulls, outputs;
};

/* end_run() - the loop of session.h, once; true if anything moved */
bool end_run(struct world *w, int e, struct budget budget);

/* end_events() - take all events that are due */
void end_events(struct world *w, int e);

/* end_has_work() - would a broker be woken now? */
bool end_has_work(const struct world *w, int e);

/* end_deadline() - when its timer rings; SIM_NEVER if it has none */
uint64_t end_deadline(const struct end *end);

void end_attach(struct world *w, int e);
void end_detach(struct world *w, int e);
void end_resync(struct world *w, int e);
void end_bye(struct world *w, int e);

/* end_restart() - the daemon dies and a new one takes its place */
void end_restart(struct world *w, int e);

/*
 * end_replace() - the same; the new one can say why it knows nothing
 * @reason: VMC_REASON_MIGRATED or _CLONED
 */
void end_replace(struct world *w, int e, unsigned int reason);

/* end_explain() - a new session of @e's will be for that reason */
void end_explain(struct world *w, int e, unsigned int reason);

/* end_unplugged() - an engine that was given a link and lost it with its
 * process; a new link comes soon */
void end_unplugged(struct world *w, int e);

/* end_move() - the engine's memory is mapped elsewhere */
void end_move(struct world *w, int e);

#endif /* SIM_END_H */
