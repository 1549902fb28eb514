/* SPDX-License-Identifier: MIT */
/*
 * bus_main.h - the process of vmchanneld that talks to QEMU's dbus-vmstate
 */
#ifndef HOST_BUS_MAIN_H
#define HOST_BUS_MAIN_H

#include "host/options.h"
#include "host/spawn.h"

/* Where it finds what it inherits. */
enum {
	BUS_FD_PAIR = SPAWN_FD_FIRST, /* to the supervisor */
	BUS_FD_LISTENER,
	BUS_FD_STATE, /* memfd of BUS_STATE_SIZE */
	BUS_FD_END,
};

/* bus_run() - Return: the status to exit with */
int bus_run(const struct options *opt);

#endif /* HOST_BUS_MAIN_H */
