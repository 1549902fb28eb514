/* SPDX-License-Identifier: MIT */
/* op_freeze.h - freeze and thaw of org.vmchannel.Storage */
#ifndef GUEST_OP_FREEZE_H
#define GUEST_OP_FREEZE_H

#include "guest/ops.h"

/* Hooks, writing out, freezing; thawing waits for nothing but the disks. */
#define OP_FREEZE_MS 180000u

op_fn op_freeze_freeze;
op_fn op_freeze_renew;
op_fn op_freeze_thaw;
op_fn op_freeze_status; /* in a child */

/* op_freeze_start() - thaw what a predecessor left. Return: 0 or a negative
 * errno. */
int op_freeze_start(struct ops *o);
/* op_freeze_stop() - have it thawed by those who stay */
void op_freeze_stop(struct ops *o);

/* op_freeze_has() - is that file system frozen? In a child, too. */
bool op_freeze_has(unsigned int major, unsigned int minor);

#endif /* GUEST_OP_FREEZE_H */
