/* SPDX-License-Identifier: MIT */
/* upgrade_when.c - when a worker can be replaced, and what is said when not */
#include "host/supervisor.h"

/* Two copies of a state at once are one too many. */
static const char *const not_in_life[LIFE_NUM] = {
	[LIFE_INCOMING] = "the VM has not arrived yet; try again when it runs "
			  "here",
	[LIFE_FENCED] = "the VM is being saved or moved; try again when that "
			"is over",
	[LIFE_AWAY] = "the VM runs elsewhere; end this vmchanneld instead",
	[LIFE_HELD] = "an upgrade is going on already; try again",
	[LIFE_LOST] = "the worker is just being started; try again",
};

const char *upgrade_not_in(enum life life)
{
	return not_in_life[life];
}

const char *upgrade_why_not(const struct supervisor *s)
{
	if (s->stopping)
		return "vmchanneld is ending";
	if (s->up.phase != UPGRADE_NONE)
		return not_in_life[LIFE_HELD];
	if (s->worker <= 0 || !s->worker_ready)
		return not_in_life[LIFE_LOST];
	if ((unsigned int)s->life >= LIFE_NUM)
		return not_in_life[LIFE_LOST]; /* a later program's */
	return not_in_life[s->life];           /* SERVING: none */
}
