/* SPDX-License-Identifier: MIT */
/*
 * qemu_group.h - a QEMU that runs as another user reaches vmstate.sock
 *
 * Whoever connects there is believed to be the VM, so nothing else is opened:
 * the group may enter the VM's directory, not list it, and use that one socket.
 */
#ifndef HOST_QEMU_GROUP_H
#define HOST_QEMU_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

/* qemu_group_find() - @name or number. Return: is there such a group? */
bool qemu_group_find(const char *name, gid_t *ret);

/**
 * qemu_group_admit() - let @gid in
 * @dir:    the VM's directory; a group that it was open to is not any more
 * @socket: in it
 *
 * Return: 0 or a negative errno.
 */
int qemu_group_admit(const char *dir, const char *socket, gid_t gid);

#endif /* HOST_QEMU_GROUP_H */
