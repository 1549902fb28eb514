/* SPDX-License-Identifier: MIT */
/* become.h - a child of the operations process as a user of the guest */
#ifndef GUEST_BECOME_H
#define GUEST_BECOME_H

#include <stdbool.h>

#include "broker/users.h"

/* user_resolve() - by the name service where there is one */
user_resolve_fn user_resolve;

/* become() - that user, for good, in all that the kernel checks. Return: false
 * with errno; nothing may be done then. */
bool become(const struct user_ids *user);

#endif /* GUEST_BECOME_H */
