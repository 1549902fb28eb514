/* SPDX-License-Identifier: MIT */
/* ops_bus_none.c - the static agent has no libsystemd, and so no bus */
#include "guest/ops_bus.h"
#include "guest/power.h"
#include "guest/session.h"

const struct power_back_end *const power_logind = NULL;
const struct session_back_end *const session_logind = NULL;

bool ops_bus_possible(void)
{
	return false;
}

void ops_bus_stop(struct ops *o)
{
	(void)o;
}

void ops_bus_free(struct ops *o)
{
	(void)o;
}
