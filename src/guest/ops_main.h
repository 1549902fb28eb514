/* SPDX-License-Identifier: MIT */
/* ops_main.h - vmchannel-agent --operations */
#ifndef GUEST_OPS_MAIN_H
#define GUEST_OPS_MAIN_H

#include "guest/options.h"

/* ops_main() - serve the guest's operations until a signal or the broker ends
 * it. Return: the exit status. */
int ops_main(const struct options *opt);

#endif /* GUEST_OPS_MAIN_H */
