/* SPDX-License-Identifier: MIT */
/*
 * qom.h - where a running QEMU has, or could have, our port
 *
 * QEMU's object tree is read instead of query-pci: it names the buses of
 * controllers and of bridges that no firmware has numbered yet.
 */
#ifndef CLI_QOM_H
#define CLI_QOM_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/qmp.h"

/* Names and paths in the tree; longer ones are passed over. */
#define QOM_TEXT_MAX 512
/* A machine has tens of devices; a tree that is larger is not looked at to
 * its end. */
#define QOM_COMMANDS_MAX 4096
#define QOM_BUSES_MAX    64

struct qom_port {
	bool found;
	char path[QOM_TEXT_MAX];       /* of the device */
	char chardev[QOM_TEXT_MAX];    /* its id */
	char controller[QOM_TEXT_MAX]; /* the controller's id, or "" */
	bool alone;                    /* the controller has no other port */
};

struct qom_view {
	struct qom_port port; /* the port with the name asked for */
	bool any_controller;
	char free_bus[QOM_TEXT_MAX]; /* bus of a controller with a free
				      * port, or "" */
	/* PCI buses where a controller could be plugged. */
	unsigned int n_buses;
	char buses[QOM_BUSES_MAX][QOM_TEXT_MAX];
	bool pcie_root; /* the machine's own bus is PCIe: no hotplug there */
};

/**
 * qom_look() - read the tree
 * @name: name of the port that is looked for
 *
 * Return: 0, or as qmp_command().
 */
int qom_look(struct qmp *q, const char *name, struct qom_view *ret);

#endif /* CLI_QOM_H */
