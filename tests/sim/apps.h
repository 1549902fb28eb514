/* SPDX-License-Identifier: MIT */
/*
 * apps.h - the scripted applications on both ends
 */
#ifndef SIM_APPS_H
#define SIM_APPS_H

#include "world.h"

/* What an application is asked to be; random ones come from apps_open(). */
struct script {
	uint64_t want[2]; /* bytes to send: [0] the opener, [1] the other */
	enum half_reader reader[2];
	unsigned int weight;
	uint64_t owner;
	unsigned int name;
	uint32_t flags;
	bool slow_writer; /* makes its bytes little by little */
};

/* apps_open() - end @e opens a stream with a random script; may be refused */
void apps_open(struct world *w, int e);

/* apps_open_script() - the same with a given one; NULL if refused */
struct conv *apps_open_script(struct world *w, int e, const struct script *sc);

/* apps_event() - an event of the engine for an application or the broker */
void apps_event(struct world *w, int e, const struct vmc_event *ev);

/* apps_pull() - the engine reads an application */
void apps_pull(struct world *w, int e, const struct vmc_pull *pull);

/* apps_poke() - one random action of one random application */
void apps_poke(struct world *w, int e);

/*
 * apps_serve() - every application of @e does what it would do now
 *
 * Return: true if any did something.
 */
bool apps_serve(struct world *w, int e);

/* apps_next() - when an application of @e acts again by itself */
uint64_t apps_next(const struct world *w, int e);

/* apps_names() - a random name comes or goes */
void apps_names(struct world *w, int e);

/* apps_abandon() - end @e lost its engine: its applications see an end */
void apps_abandon(struct world *w, int e);

/* apps_restore() - @e's applications are again as in a snapshot: @half of the
 * first @n conversations, the others are unknown to it */
void apps_restore(struct world *w, int e, const struct half *half, size_t n);

/* apps_moved() - @e's engine is another one, loaded from a saved state */
void apps_moved(struct world *w, int e);

/* apps_adopted() - @e's engine is the same, its process is another one */
void apps_adopted(struct world *w, int e);

/* apps_leave() - some of @e's programs stayed on the host that its machine
 * left, and do not follow */
void apps_leave(struct world *w, int e);

#endif /* SIM_APPS_H */
