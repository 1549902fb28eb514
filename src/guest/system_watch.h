/* SPDX-License-Identifier: MIT */
/* system_watch.h - the events TimeJump and HostnameChanged */
#ifndef GUEST_SYSTEM_WATCH_H
#define GUEST_SYSTEM_WATCH_H

#include "guest/ops.h"

/* system_watch_start() - Return: 0 or a negative errno; nothing wakes the
 * process until something happens */
int system_watch_start(struct ops *o);
void system_watch_stop(struct ops *o);

#endif /* GUEST_SYSTEM_WATCH_H */
