/* SPDX-License-Identifier: MIT */
/*
 * plant.h - mistakes that are put into an engine's state, for the self-test
 */
#ifndef SIM_PLANT_H
#define SIM_PLANT_H

#include <stdbool.h>

struct vmc_session;

enum plant {
	PLANT_DROP_FRAME, /* a retained frame is gone */
	PLANT_TAKE_TWICE, /* a frame is asked for again */
	PLANT_NO_DIGEST,  /* other histories are not noticed */
	PLANT_PROMISE,    /* credit that nobody gave */
	PLANT_LEAK,       /* a chunk of the pool that nobody has */
	PLANT_FORGET,     /* a session is lost without cause */
	PLANT_NUM
};

/* plant_put() - into @s, if its state allows that now; true if it did */
bool plant_put(enum plant plant, struct vmc_session *s,
	       struct vmc_session *peer);

/* plant_unfence() - a frozen engine that believes that it is not */
void plant_unfence(struct vmc_session *s);

#endif /* SIM_PLANT_H */
