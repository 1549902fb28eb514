/* SPDX-License-Identifier: MIT */
/*
 * find_port.h - which device is the virtio port of that name?
 */
#ifndef GUEST_FIND_PORT_H
#define GUEST_FIND_PORT_H

#include <stddef.h>

#define PORT_CLASS "/sys/class/virtio-ports"

/**
 * find_port() - look a port's device up by its name
 * @class_dir: PORT_CLASS, or a test's
 * @name:      e.g. "org.vmchannel.0"
 * @ret:       the device's file name, e.g. "vport0p1"
 *
 * Return: 0, -ENOENT (no such port yet), or another negative errno.
 */
int find_port(const char *class_dir, const char *name, char *ret, size_t size);

#endif /* GUEST_FIND_PORT_H */
