/* SPDX-License-Identifier: MIT */
/*
 * privileges.h - what the agent gives up
 */
#ifndef GUEST_PRIVILEGES_H
#define GUEST_PRIVILEGES_H

#include <stdbool.h>

/**
 * privileges_drop() - keep no capability but what services need
 * @switch_user: a service has User=
 *
 * A service that is started as root gets root's capabilities again when it is
 * executed; the agent itself, which reads what the host sends, has none.
 *
 * Return: 0 or a negative errno. Nothing to drop (not root) is 0.
 */
int privileges_drop(bool switch_user);

/* privileges_can_switch() - may services run as another user? */
bool privileges_can_switch(void);

#endif /* GUEST_PRIVILEGES_H */
