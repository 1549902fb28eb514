/* SPDX-License-Identifier: MIT */
/* qemu_opts.c - which options give a VM its channel port */
#include "cli/qemu_opts.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A monitor by "-mon" or "-qmp" takes away the default one, with it the
 * escape keys of -nographic; a monitor out of a file does not.
 */
#define MONITOR(id)              \
	"[mon \"" id "\"]\n"     \
	"  mode = \"control\"\n" \
	"  chardev = \"" id "\"\n"
const char qemu_mon_config[] = MONITOR(QEMU_QMP_ID) MONITOR(QEMU_EVENTS_ID);

/* First match wins. A machine of "" is the one that QEMU takes by default. */
static const struct {
	const char *arch, *machine;
	enum qemu_transport transport;
} machines[] = {
	{"*", "none", QEMU_NO_BUS},          {"*", "isapc*", QEMU_NO_BUS},
	{"*", "xenpv*", QEMU_NO_BUS},        {"*", "microvm*", QEMU_MMIO},
	{"*-microvm", "", QEMU_MMIO},        {"s390x", "*", QEMU_CCW},
	{"*", "s390-ccw*", QEMU_CCW},        {"m68k", "virt*", QEMU_MMIO},
	{"m68k", "*", QEMU_NO_BUS},          {"arm", "vexpress*", QEMU_MMIO},
	{"aarch64", "vexpress*", QEMU_MMIO}, {"arm", "raspi*", QEMU_NO_BUS},
	{"aarch64", "raspi*", QEMU_NO_BUS},  {"riscv*", "virt*", QEMU_PCI},
	{"riscv*", "*", QEMU_NO_BUS},        {"*", "*", QEMU_PCI},
};

static const struct {
	const char *name, *driver;
} transports[] = {
	[QEMU_PCI] = {"pci", "virtio-serial-pci"},
	[QEMU_CCW] = {"ccw", "virtio-serial-ccw"},
	[QEMU_MMIO] = {"mmio", "virtio-serial-device"},
};

enum qemu_transport qemu_transport_of(const struct qemu_cmdline *c)
{
	if (c->machine_pcie)
		return QEMU_PCI;
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (fnmatch(machines[i].arch, c->arch, 0) == 0 &&
		    fnmatch(machines[i].machine, c->machine, 0) == 0)
			return machines[i].transport;
	return QEMU_PCI;
}

bool qemu_transport_by_name(const char *name, enum qemu_transport *ret)
{
	for (unsigned int i = 0; i < QEMU_NO_BUS; i++) {
		if (strcmp(transports[i].name, name) != 0)
			continue;
		*ret = (enum qemu_transport)i;
		return true;
	}
	return false;
}

const char *qemu_driver(enum qemu_transport t)
{
	return transports[t].driver;
}

unsigned int qemu_max_ports(unsigned int spare)
{
	return 2 + spare; /* port 0 is reserved for a console */
}

unsigned int qemu_vectors(unsigned int max_ports)
{
	/* Two queues per port, two for control. */
	return 2 * (max_ports + 1) + 1;
}

/* A chardev's socket; a comma in the path is doubled. */
static void add_socket(struct words *w, const char *id, const char *path)
{
	char *escaped = malloc(2 * strlen(path) + 1), *to = escaped;

	if (!escaped) {
		w->failed = true;
		return;
	}
	for (; *path != '\0'; path++) {
		if (*path == ',')
			*to++ = ',';
		*to++ = *path;
	}
	*to = '\0';
	words_add(w, "-chardev");
	words_addf(w, "socket,id=%s,path=%s,server=on,wait=off", id, escaped);
	free(escaped);
}

static void add_controller(struct words *w, const struct qemu_wish *wish)
{
	unsigned int max_ports = qemu_max_ports(wish->spare);
	const char *driver = qemu_driver(wish->transport);

	words_add(w, "-device");
	if (wish->transport == QEMU_PCI)
		words_addf(w, "%s,id=%s,max_ports=%u,vectors=%u", driver,
			   QEMU_CONTROLLER_ID, max_ports,
			   qemu_vectors(max_ports));
	else /* MMIO has one interrupt, CCW an indicator per queue anyway */
		words_addf(w, "%s,id=%s,max_ports=%u", driver,
			   QEMU_CONTROLLER_ID, max_ports);
}

static void add_qmp(struct words *w, const struct qemu_wish *wish)
{
	const struct {
		const char *id, *path;
	} monitors[] = {{QEMU_QMP_ID, wish->qmp},
			{QEMU_EVENTS_ID, wish->events}};

	for (size_t i = 0; i < 2; i++) {
		if (!monitors[i].path)
			continue;
		add_socket(w, monitors[i].id, monitors[i].path);
		if (wish->mon_config)
			continue;
		words_add(w, "-mon");
		words_addf(w, "chardev=%s,mode=control", monitors[i].id);
	}
	if (wish->mon_config) {
		words_add(w, "-readconfig");
		words_add(w, wish->mon_config);
	}
}

void qemu_state_object(struct words *w, const char *path)
{
	char *address = vmstate_address(path);

	if (!address) {
		w->failed = true;
		return;
	}
	words_addf(w, "dbus-vmstate,id=%s,addr=%s,id-list=%s", QEMU_STATE_ID,
		   address, VMSTATE_ID_LIST);
	free(address);
}

void qemu_opts_build(struct words *w, const struct qemu_wish *wish)
{
	if (wish->uuid) {
		words_add(w, "-uuid");
		words_add(w, wish->uuid);
	}
	add_controller(w, wish);
	add_socket(w, QEMU_LINK_ID, wish->link);
	words_add(w, "-device");
	words_addf(w, "virtserialport,bus=%s.0,chardev=%s,name=%s,id=%s,nr=1",
		   QEMU_CONTROLLER_ID, QEMU_LINK_ID, QEMU_PORT_NAME,
		   QEMU_PORT_NAME);
	add_qmp(w, wish);
	if (wish->state) {
		words_add(w, "-object");
		qemu_state_object(w, wish->state);
	}
}
