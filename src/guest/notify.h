/* SPDX-License-Identifier: MIT */
/*
 * notify.h - tell a service manager how we are, if there is one
 */
#ifndef GUEST_NOTIFY_H
#define GUEST_NOTIFY_H

/* notify_manager() - e.g. "READY=1" to $NOTIFY_SOCKET; nothing if unset */
void notify_manager(const char *state);

#endif /* GUEST_NOTIFY_H */
