/* SPDX-License-Identifier: MIT */
/* resumed.h - notices that the guest slept, whoever sent it to sleep */
#ifndef GUEST_RESUMED_H
#define GUEST_RESUMED_H

#include "guest/ops.h"

/* resumed_start() - emit org.vmchannel.Power.Resumed from now on */
void resumed_start(struct ops *o);
void resumed_stop(void);

#endif /* GUEST_RESUMED_H */
