/* SPDX-License-Identifier: MIT */
/*
 * service_spawn.h - service_spawn() with another way to find users
 */
#ifndef BROKER_SERVICE_SPAWN_H
#define BROKER_SERVICE_SPAWN_H

#include "broker/services.h"
#include "broker/users.h"

/**
 * service_spawn_as() - service_spawn(), finding User= by @resolve
 *
 * The caller reaps @ret_pid. Descriptors 0..2 of this process must be open.
 */
int service_spawn_as(const struct service *svc, const char *caller,
		     const char *stream_id, user_resolve_fn *resolve,
		     int *ret_pid);

#endif /* BROKER_SERVICE_SPAWN_H */
