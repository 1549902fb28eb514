/* SPDX-License-Identifier: MIT */
/*
 * operations.h - the agent's care for the operations process
 *
 * It is started with the agent's options, told to read its policy again, and
 * started again when it ends, more slowly the more often it does.
 */
#ifndef GUEST_OPERATIONS_H
#define GUEST_OPERATIONS_H

#include <sys/types.h>
#include <uv.h>

#include "guest/options.h"

struct operations {
	uv_timer_t timer; /* until the next start */
	const struct options *opt;
	pid_t pid; /* 0: it does not run */
	uint64_t started_ms;
	unsigned int delay_ms;
	bool on;
};

/* operations_start() - start it; it is not if the agent is not root */
void operations_start(struct operations *o, uv_loop_t *loop,
		      const struct options *opt);
/* operations_ended() - a child was reaped; it may be another one */
void operations_ended(struct operations *o, pid_t pid, int status);
/* operations_reload() - have it read its policy again */
void operations_reload(const struct operations *o);
/* operations_stop() - end it, and start none any more */
void operations_stop(struct operations *o);

#endif /* GUEST_OPERATIONS_H */
