/* SPDX-License-Identifier: MIT */
/*
 * confine.h - the options' way into the sandbox
 */
#ifndef HOST_CONFINE_H
#define HOST_CONFINE_H

#include "host/options.h"
#include "host/sandbox.h"

/* confine() - enter it unless the options say no; what goes wrong is logged.
 * Return: -1 to go on, or the status to exit with. */
int confine(const struct options *opt, enum sandbox_who who);

#endif /* HOST_CONFINE_H */
