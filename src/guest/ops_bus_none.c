/* SPDX-License-Identifier: MIT */
/* ops_bus_none.c - the static agent has no libsystemd, and so no bus */
#include "guest/ops_bus.h"

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
