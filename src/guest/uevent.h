/* SPDX-License-Identifier: MIT */
/*
 * uevent.h - the kernel's own announcements of devices, without udev
 */
#ifndef GUEST_UEVENT_H
#define GUEST_UEVENT_H

#include <stdbool.h>
#include <stddef.h>

/* uevent_open() - non-blocking netlink socket, or a negative errno */
int uevent_open(void);

/**
 * uevent_is_port() - is this message about a virtio port?
 * @msg: "action@path" and KEY=value strings, each ended by NUL; @len bytes
 *
 * Pure.
 */
bool uevent_is_port(const char *msg, size_t len);

/**
 * uevent_drain() - read what has come
 *
 * Return: was any of it about a virtio port (or lost, which may be)?
 */
bool uevent_drain(int fd);

#endif /* GUEST_UEVENT_H */
