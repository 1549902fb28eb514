/* SPDX-License-Identifier: MIT */
/* mount_disks.h - what a file system stands on */
#ifndef GUEST_MOUNT_DISKS_H
#define GUEST_MOUNT_DISKS_H

#include "guest/disks.h"
#include "guest/mounts.h"

/* mount_disks() - the disks below it, loop devices among them. Return: how
 * many; none for those of memory or of the network. */
size_t mount_disks(const char *root, const struct mount *m,
		   char ret[][DISK_NAME_MAX], size_t max);

/**
 * mount_depth() - how many other file systems it stands upon
 *
 * By files that are loop devices, through device mapper and overlays.
 */
unsigned int mount_depth(const char *root, const struct mounts *m, size_t i);

#endif /* GUEST_MOUNT_DISKS_H */
