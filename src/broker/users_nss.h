/* SPDX-License-Identifier: MIT */
/*
 * users_nss.h - users by the C library, for daemons that are linked
 * dynamically
 */
#ifndef BROKER_USERS_NSS_H
#define BROKER_USERS_NSS_H

#include "broker/users.h"

/* user_resolve_nss() - as user_resolve_files(), also from directory services
 */
user_resolve_fn user_resolve_nss;

#endif /* BROKER_USERS_NSS_H */
