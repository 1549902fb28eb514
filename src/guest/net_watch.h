/* SPDX-License-Identifier: MIT */
/* net_watch.h - the event AddressesChanged */
#ifndef GUEST_NET_WATCH_H
#define GUEST_NET_WATCH_H

#include "guest/ops.h"

/* net_watch_start() - Return: 0 or a negative errno */
int net_watch_start(struct ops *o);
void net_watch_stop(struct ops *o);

#endif /* GUEST_NET_WATCH_H */
