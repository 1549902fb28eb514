/* SPDX-License-Identifier: MIT */
/*
 * qemu_opts.h - which options give a VM its channel port
 *
 * QEMU's defaults are 31 ports (64 queues, each with an eventfd that the main
 * loop polls) and two interrupt vectors for all of them, so that each
 * interrupt makes the guest look at every port. We ask for the queues that
 * are needed and a vector for each. Pure: no I/O, no globals.
 */
#ifndef CLI_QEMU_OPTS_H
#define CLI_QEMU_OPTS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/qemu_cmdline.h"
#include "cli/words.h"
#include "qmp/vmstate.h"

#define QEMU_PORT_NAME     "org.vmchannel.0"
#define QEMU_CONTROLLER_ID "vmchannel"
#define QEMU_LINK_ID       "vmchannel-link"
#define QEMU_QMP_ID        "vmchannel-qmp"
#define QEMU_EVENTS_ID     "vmchannel-events"
#define QEMU_STATE_ID      VMSTATE_OBJECT_ID

/* Ports that may be plugged later, besides ours. */
#define QEMU_SPARE_DEFAULT 2u
/* QEMU takes 511 ports; port 0 is the console's, port 1 ours. */
#define QEMU_SPARE_MAX 509u

enum qemu_transport {
	QEMU_PCI,
	QEMU_CCW,
	QEMU_MMIO,
	QEMU_NO_BUS, /* the machine has no bus for it */
};

/* qemu_transport_of() - which bus the machine of a command line has */
enum qemu_transport qemu_transport_of(const struct qemu_cmdline *c);
/* qemu_transport_by_name() - "pci", "ccw", "mmio"; false: no such */
bool qemu_transport_by_name(const char *name, enum qemu_transport *ret);
/* qemu_driver() - "virtio-serial-pci" */
const char *qemu_driver(enum qemu_transport t);

/* qemu_max_ports() - value of max_ports for our port and @spare others */
unsigned int qemu_max_ports(unsigned int spare);
/* qemu_vectors() - one per queue, and one for changes of the configuration */
unsigned int qemu_vectors(unsigned int max_ports);

struct qemu_wish {
	enum qemu_transport transport;
	unsigned int spare;
	const char *link;       /* path of the chardev's socket */
	const char *qmp;        /* path of a QMP socket to add, or NULL */
	const char *events;     /* path of vmchanneld's own, or NULL */
	const char *state;      /* path of the socket for dbus-vmstate, or NULL:
				 * no state goes along in a migration */
	const char *uuid;       /* to add, or NULL */
	const char *mon_config; /* file for -readconfig that puts a monitor
				 * on @qmp and on @events, or NULL: "-mon"
				 */
};

/* qemu_opts_build() - append the options for @wish to @w */
void qemu_opts_build(struct words *w, const struct qemu_wish *wish);

/* qemu_state_object() - the value of -object for the socket at @path */
void qemu_state_object(struct words *w, const char *path);

/* What qemu_wish.mon_config holds. */
extern const char qemu_mon_config[];

#endif /* CLI_QEMU_OPTS_H */
