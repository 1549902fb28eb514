/* SPDX-License-Identifier: MIT */
/* session_notify.h - a message on a user's desktop */
#ifndef GUEST_SESSION_NOTIFY_H
#define GUEST_SESSION_NOTIFY_H

#include "guest/ops.h"

/* A desktop that does not answer by then did not take it. */
#define SESSION_NOTIFY_SECONDS 5u

/**
 * session_notify() - by org.freedesktop.Notifications of the user's own bus
 * @user: name, for the groups
 * @fn:   told the child's end: status 0 if the desktop took it
 *
 * A child does it with the identity of the user: that bus is his, and takes
 * nobody else. Return: 0 or a negative errno.
 */
int session_notify(struct ops *o, uid_t uid, const char *user, const char *text,
		   ops_child_fn *fn, void *data);

#endif /* GUEST_SESSION_NOTIFY_H */
