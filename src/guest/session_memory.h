/* SPDX-License-Identifier: MIT */
/* session_memory.h - what logind does not tell by itself of a session */
#ifndef GUEST_SESSION_MEMORY_H
#define GUEST_SESSION_MEMORY_H

#include "guest/session_props.h"

/* How long without input makes a console idle, as logind was configured. */
struct session_idle_rule {
	uint64_t action_us; /* IdleActionSec; 0: not at all */
	uint64_t stop_us;   /* StopIdleSessionSec; UINT64_MAX: not at all */
};

/* session_idle_after() - the shorter of the two; 0: never */
uint64_t session_idle_after(const struct session_idle_rule *rule);

/**
 * session_bring_up_to_date() - the state, and whether a console is idle
 * @s: as logind described it, and what it has told since
 *
 * Return: false: it has to be asked.
 */
bool session_bring_up_to_date(struct session_props *s,
			      const struct session_idle_rule *rule);

#endif /* GUEST_SESSION_MEMORY_H */
