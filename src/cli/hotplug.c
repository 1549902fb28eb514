/* SPDX-License-Identifier: MIT */
/* hotplug.c - plug our port into a running QEMU, and take it out */
#include "cli/hotplug.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/qemu_opts.h"
#include "cli/qom.h"

static int fail(struct hotplug *h, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct hotplug *h, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->error, sizeof(h->error), fmt, ap);
	va_end(ap);
	return r;
}

static int qmp_failed(struct hotplug *h, int r, const char *what)
{
	return fail(h, r, "%s: %s", what, cli_safe(qmp_error(h->q)));
}

static int look(struct hotplug *h, struct qom_view *ret)
{
	int r = qom_look(h->q, QEMU_PORT_NAME, ret);

	return r ? qmp_failed(h, r, "reading QEMU's devices") : 0;
}

/* ---- finding ----------------------------------------------------------- */

/* "disconnected:unix:/path,server=on" -> "/path" */
static void socket_path(const char *filename, char *ret)
{
	const char *unix_at = strstr(filename, "unix:");
	const char *end = strstr(filename, ",server");
	size_t len;

	if (!unix_at || !end || end < unix_at + 5)
		return;
	len = (size_t)(end - unix_at) - 5;
	if (len == 0 || len >= HOTPLUG_LINK_SIZE || unix_at[5] != '/')
		return;
	memcpy(ret, unix_at + 5, len);
	ret[len] = '\0';
}

/* Path of a chardev's socket. */
static int find_link(struct hotplug *h, const char *chardev, char *ret)
{
	json_t *list, *entry;
	size_t i;
	int r = qmp_command(h->q, "query-chardev", NULL, &list);

	if (r)
		return qmp_failed(h, r, "query-chardev");
	json_array_foreach(list, i, entry)
	{
		const char *label =
			json_string_value(json_object_get(entry, "label"));
		const char *file =
			json_string_value(json_object_get(entry, "filename"));

		if (label && file && strcmp(label, chardev) == 0)
			socket_path(file, ret);
	}
	json_decref(list);
	return 0;
}

int hotplug_find(struct hotplug *h, char *ret_link)
{
	struct qom_view view;
	int r = look(h, &view);

	ret_link[0] = '\0';
	if (r)
		return r;
	if (!view.port.found)
		return 0;
	r = find_link(h, view.port.chardev, ret_link);
	return r ? r : 1;
}

/* ---- adding ------------------------------------------------------------ */

static json_t *socket_by_path(const char *link)
{
	return json_pack("{s:s,s:{s:s,s:{s:{s:s,s:{s:s}},s:b,s:b}}}", "id",
			 QEMU_LINK_ID, "backend", "type", "socket", "data",
			 "addr", "type", "unix", "data", "path", link, "server",
			 1, "wait", 0);
}

static json_t *socket_by_fd(void)
{
	return json_pack("{s:s,s:{s:s,s:{s:{s:s,s:{s:s}},s:b,s:b}}}", "id",
			 QEMU_LINK_ID, "backend", "type", "socket", "data",
			 "addr", "type", "fd", "data", "str", QEMU_LINK_ID,
			 "server", 1, "wait", 0);
}

static int add_chardev(struct hotplug *h, const char *link, int listen_fd)
{
	json_t *arguments;
	int r = 0;

	if (listen_fd >= 0)
		r = qmp_command_fd(h->q, "getfd",
				   json_pack("{s:s}", "fdname", QEMU_LINK_ID),
				   listen_fd, NULL);
	/* Through a relay descriptors do not pass: QEMU makes the socket. */
	arguments = r == 0 && listen_fd >= 0 ? socket_by_fd()
					     : socket_by_path(link);
	if (r && r != -EREMOTEIO)
		json_decref(arguments);
	else
		r = qmp_command(h->q, "chardev-add", arguments, NULL);
	if (r)
		return qmp_failed(h, r, "chardev-add");
	h->note("chardev %s listens on %s", QEMU_LINK_ID, link);
	return 0;
}

static int add_port(struct hotplug *h, const char *bus)
{
	int r = qmp_command(h->q, "device_add",
			    json_pack("{s:s,s:s,s:s,s:s,s:s}", "driver",
				      "virtserialport", "id", QEMU_PORT_NAME,
				      "name", QEMU_PORT_NAME, "chardev",
				      QEMU_LINK_ID, "bus", bus),
			    NULL);

	if (r)
		return qmp_failed(h, r, "device_add virtserialport");
	h->note("port %s plugged into %s", QEMU_PORT_NAME, bus);
	return 0;
}

static int no_bus(struct hotplug *h, const struct qom_view *v)
{
	if (v->pcie_root)
		return fail(h, -ENOSPC,
			    "nothing to plug into: pcie.0 cannot hot-plug and "
			    "no pcie-root-port is free; start QEMU with "
			    "'-device pcie-root-port,id=rp0,chassis=1', or "
			    "with a port from the start ('vmchannel "
			    "qemu-args')");
	return fail(h, -ENOSPC,
		    "nothing to plug into: this machine has no PCI bus that "
		    "can hot-plug%s; start QEMU with a port ('vmchannel "
		    "qemu-args')",
		    v->any_controller
			    ? " and its virtio-serial has no free port"
			    : "");
}

static int try_controller(struct hotplug *h, const char *bus)
{
	unsigned int max_ports = qemu_max_ports(h->spare);

	return qmp_command(h->q, "device_add",
			   json_pack("{s:s,s:s,s:s,s:i,s:i}", "driver",
				     qemu_driver(QEMU_PCI), "id",
				     QEMU_CONTROLLER_ID, "bus", bus,
				     "max_ports", (int)max_ports, "vectors",
				     (int)qemu_vectors(max_ports)),
			   NULL);
}

/* The first bus that takes it. */
static int add_controller(struct hotplug *h, const struct qom_view *v)
{
	int r = -ENOSPC;

	for (unsigned int i = 0; i < v->n_buses; i++) {
		r = try_controller(h, v->buses[i]);
		if (r == 0) {
			h->note("controller %s plugged into %s",
				QEMU_CONTROLLER_ID, v->buses[i]);
			return 0;
		}
		if (r != -EREMOTEIO)
			break;
	}
	if (v->n_buses == 0)
		return no_bus(h, v);
	return qmp_failed(h, r, "device_add virtio-serial-pci");
}

static void undo_device(struct hotplug *h, const char *id)
{
	if (qmp_command(h->q, "device_del", json_pack("{s:s}", "id", id),
			NULL) == 0)
		h->note("undone: %s", id);
}

static int remove_chardev(struct hotplug *h, const char *id);

static void undo_chardev(struct hotplug *h)
{
	/* What failed first is what is reported. */
	struct hotplug quiet = *h;

	if (remove_chardev(&quiet, QEMU_LINK_ID) == 0)
		h->note("undone: chardev %s", QEMU_LINK_ID);
}

int hotplug_add(struct hotplug *h, const char *link, int listen_fd)
{
	static const char own_bus[] = QEMU_CONTROLLER_ID ".0";
	struct qom_view view;
	bool own_controller;
	int r = look(h, &view);

	if (r)
		return r;
	own_controller = view.free_bus[0] == '\0';
	if (own_controller) {
		r = add_controller(h, &view);
		if (r)
			return r;
	}
	r = add_chardev(h, link, listen_fd);
	if (r)
		goto undo;
	r = add_port(h, own_controller ? own_bus : view.free_bus);
	if (r == 0)
		return 0;
	undo_chardev(h);
undo:
	if (own_controller)
		undo_device(h, QEMU_CONTROLLER_ID);
	return r;
}

/* ---- removing ---------------------------------------------------------- */

static void pause_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000,
			      .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* QEMU frees the port some time after it said that it is gone. */
static int remove_chardev(struct hotplug *h, const char *id)
{
	const unsigned int step_ms = 50;
	int r = -EREMOTEIO;

	for (unsigned int t = 0; t < HOTPLUG_CHARDEV_MS; t += step_ms) {
		r = qmp_command(h->q, "chardev-remove",
				json_pack("{s:s}", "id", id), NULL);
		if (r != -EREMOTEIO)
			break;
		pause_ms(step_ms);
	}
	return r ? qmp_failed(h, r, "chardev-remove") : 0;
}

static int remove_device(struct hotplug *h, const char *path, const char *id,
			 int timeout_ms)
{
	int r;

	qmp_watch_deleted(h->q, id);
	r = qmp_command(h->q, "device_del", json_pack("{s:s}", "id", path),
			NULL);
	if (r == 0)
		r = qmp_wait_deleted(h->q, timeout_ms);
	return r;
}

static int remove_controller(struct hotplug *h)
{
	int r = remove_device(h, QEMU_CONTROLLER_ID, QEMU_CONTROLLER_ID,
			      HOTPLUG_CONTROLLER_MS);

	if (r == -ETIMEDOUT || r == -EREMOTEIO) {
		h->note("controller %s stays: the guest does not let it go",
			QEMU_CONTROLLER_ID);
		return 0;
	}
	if (r)
		return qmp_failed(h, r, "device_del");
	h->note("controller %s removed", QEMU_CONTROLLER_ID);
	return 0;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int hotplug_remove(struct hotplug *h)
{
	struct qom_view view;
	struct qom_port *port = &view.port;
	int r = look(h, &view);

	if (r)
		return r;
	if (!port->found)
		return fail(h, -ENOENT, "QEMU has no port %s", QEMU_PORT_NAME);
	r = remove_device(h, port->path, last_part(port->path),
			  HOTPLUG_CHARDEV_MS);
	if (r)
		return qmp_failed(h, r, "device_del");
	h->note("port %s removed", QEMU_PORT_NAME);
	r = remove_chardev(h, port->chardev);
	if (r)
		return r;
	if (strcmp(port->controller, QEMU_CONTROLLER_ID) == 0 && port->alone)
		return remove_controller(h);
	return 0;
}
