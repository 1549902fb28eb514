/* SPDX-License-Identifier: MIT */
/*
 * session_memory.c - what logind does not tell by itself of a session
 *
 * It says when a session becomes active, idle (a desktop) or locked. Its state
 * it writes down, for sd-login's readers; of a console it says only to whoever
 * asks when the last key was pressed, and takes that from the terminal.
 */
#include "guest/session_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-login.h>
#include <time.h>

#include "guest/ops_text.h"

#define US_PER_S 1000000u

uint64_t session_idle_after(const struct session_idle_rule *rule)
{
	uint64_t us = rule->action_us;

	if (rule->stop_us != UINT64_MAX && (us == 0 || rule->stop_us < us))
		us = rule->stop_us;
	return us;
}

static uint64_t time_us(const struct timespec *t)
{
	return t->tv_sec < 0 ? 0
			     : (uint64_t)t->tv_sec * US_PER_S +
				       (uint64_t)t->tv_nsec / 1000u;
}

/* Return: when something was typed there last; 0: there is no terminal. */
static uint64_t last_key_us(const char *tty)
{
	char path[sizeof("/dev/") + SESSION_WORD_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/%s", tty);
	return tty[0] == '\0' || lstat(path, &st) < 0 ? 0
						      : time_us(&st.st_atim);
}

static void look_at_console(struct session_props *s, uint64_t after_us)
{
	uint64_t since = last_key_us(s->tty);
	struct timespec now;

	if (since == 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	s->idle = after_us > 0 && time_us(&now) >= since &&
		  time_us(&now) - since >= after_us;
	s->idle_since_us = since;
}

bool session_bring_up_to_date(struct session_props *s,
			      const struct session_idle_rule *rule)
{
	char *state = NULL;

	if (sd_session_get_state(s->id, &state) < 0)
		return false;
	op_cut(s->state, sizeof(s->state), state, strlen(state));
	free(state);
	if (!session_props_graphical(s))
		look_at_console(s, session_idle_after(rule));
	return true;
}
