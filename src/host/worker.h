/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the half of vmchanneld that talks to the guest
 */
#ifndef HOST_WORKER_H
#define HOST_WORKER_H

#include "host/options.h"

/* worker_run() - Return: the status to exit with */
int worker_run(const struct options *opt);

#endif /* HOST_WORKER_H */
