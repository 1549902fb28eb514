/* SPDX-License-Identifier: MIT */
/*
 * qmp_main.h - the process of vmchanneld that speaks QMP with QEMU
 */
#ifndef HOST_QMP_MAIN_H
#define HOST_QMP_MAIN_H

#include "host/options.h"
#include "host/spawn.h"

/* Where it finds what it inherits. */
enum {
	QMP_FD_PAIR = SPAWN_FD_FIRST, /* to the supervisor */
	QMP_FD_QEMU,                  /* connected */
	QMP_FD_END,
};

/* How it ends, besides the statuses of options.h. */
enum {
	QMP_EXIT_EOF = 10,      /* QEMU closed it */
	QMP_EXIT_NONSENSE = 11, /* what came was not QMP, or too much of it */
	QMP_EXIT_MUTE = 12,     /* nobody greets */
};

/* qmp_run() - one connection. Return: the status to exit with */
int qmp_run(const struct options *opt);

#endif /* HOST_QMP_MAIN_H */
