/* SPDX-License-Identifier: MIT */
/*
 * notify.h - telling the service manager (sd_notify's protocol)
 */
#ifndef HOST_NOTIFY_H
#define HOST_NOTIFY_H

/* notify_manager() - e.g. "READY=1"; nothing happens if nobody asked */
void notify_manager(const char *state);

#endif /* HOST_NOTIFY_H */
