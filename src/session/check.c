/* SPDX-License-Identifier: MIT */
/* check.c - is every invariant of the state true? */
#include "session/internal.h"

const char *vmc_session_check(const struct vmc_session *s)
{
	return sched_check(session_sched(s));
}
