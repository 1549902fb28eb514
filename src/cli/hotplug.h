/* SPDX-License-Identifier: MIT */
/*
 * hotplug.h - plug our port into a running QEMU, and take it out
 *
 * All or nothing: what fails half-way is undone.
 */
#ifndef CLI_HOTPLUG_H
#define CLI_HOTPLUG_H

#include <stdbool.h>
#include <sys/un.h>

#include "cli/qmp.h"

#define HOTPLUG_LINK_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

/* A chardev is busy for a moment after its port went. */
#define HOTPLUG_CHARDEV_MS 3000
/* A controller goes when the guest's driver lets it go. */
#define HOTPLUG_CONTROLLER_MS 5000

struct hotplug {
	struct qmp *q;
	unsigned int spare; /* ports beside ours, on a new controller */
	void (*note)(const char *fmt, ...)
		__attribute__((format(printf, 1, 2)));
	char error[512]; /* one line, after a failure */
};

/**
 * hotplug_find() - is the port there already?
 * @ret_link: HOTPLUG_LINK_SIZE bytes for the path of its chardev's socket,
 *            if it listens on one; else ""
 *
 * Return: 1 (yes), 0 (no), or a negative errno with ->error set.
 */
int hotplug_find(struct hotplug *h, char *ret_link);

/**
 * hotplug_add() - plug chardev and port, and a controller where none is free
 * @link:      path that QEMU shall listen on
 * @listen_fd: a listening socket at @link that QEMU is given, because it may
 *             be unable to make one there; borrowed. -1: none
 *
 * Return: 0; -ENOSPC: there is no bus for it, ->error says what is missing;
 * or another negative errno with ->error set.
 */
int hotplug_add(struct hotplug *h, const char *link, int listen_fd);

/**
 * hotplug_remove() - take the port out, its chardev, and a controller that
 * has our id and no other port
 *
 * Return: 0; -ENOENT: there is no such port; or a negative errno with ->error
 * set.
 */
int hotplug_remove(struct hotplug *h);

#endif /* CLI_HOTPLUG_H */
