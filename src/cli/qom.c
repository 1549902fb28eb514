/* SPDX-License-Identifier: MIT */
/* qom.c - where a running QEMU has, or could have, our port */
#include "cli/qom.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct look {
	struct qmp *q;
	struct qom_view *view;
	const char *name;
	unsigned int commands;
};

/* One controller, while its ports are looked at. */
struct controller {
	const char *id; /* "" if it has none */
	unsigned int n_ports;
	bool has_port0;
	bool has_ours;
};

static bool starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool join(char *ret, const char *dir, const char *name)
{
	int n = snprintf(ret, QOM_TEXT_MAX, "%s/%s", dir, name);

	return n > 0 && n < QOM_TEXT_MAX;
}

static bool copy(char *ret, const char *text)
{
	int n = snprintf(ret, QOM_TEXT_MAX, "%s", text);

	return n >= 0 && n < QOM_TEXT_MAX;
}

/* An object that is gone by now, or a property it does not have, is *ret =
 * NULL and no failure: the tree may change while we look. */
static int ask(struct look *l, const char *command, json_t *arguments,
	       json_t **ret)
{
	int r;

	*ret = NULL;
	if (++l->commands > QOM_COMMANDS_MAX) {
		json_decref(arguments);
		return 0;
	}
	r = qmp_command(l->q, command, arguments, ret);
	return r == -EREMOTEIO ? 0 : r;
}

static int get_property(struct look *l, const char *path, const char *property,
			json_t **ret)
{
	return ask(l, "qom-get",
		   json_pack("{s:s,s:s}", "path", path, "property", property),
		   ret);
}

/* "" if it has no such property, or not a text. */
static int get_text(struct look *l, const char *path, const char *property,
		    char *ret)
{
	json_t *value;
	const char *text;
	int r = get_property(l, path, property, &value);

	text = json_string_value(value);
	if (!text || !copy(ret, text))
		ret[0] = '\0';
	json_decref(value);
	return r;
}

static int get_number(struct look *l, const char *path, const char *property,
		      json_int_t *ret)
{
	json_t *value;
	int r = get_property(l, path, property, &value);

	*ret = json_integer_value(value);
	json_decref(value);
	return r;
}

/* Calls @visit for every member of an object whose type begins so. */
static int for_each(struct look *l, const char *path, const char *type,
		    int (*visit)(struct look *l, const char *path,
				 const char *name, const char *type, void *p),
		    void *p)
{
	json_t *list, *entry;
	size_t i;
	int r = ask(l, "qom-list", json_pack("{s:s}", "path", path), &list);

	json_array_foreach(list, i, entry)
	{
		const char *n =
			json_string_value(json_object_get(entry, "name"));
		const char *t =
			json_string_value(json_object_get(entry, "type"));
		char full[QOM_TEXT_MAX];

		if (r == 0 && n && t && starts(t, type) && join(full, path, n))
			r = visit(l, full, n, t, p);
	}
	json_decref(list);
	return r;
}

/* ---- controllers and their ports --------------------------------------- */

static int look_at_our_port(struct look *l, const char *device)
{
	struct qom_port *port = &l->view->port;

	if (!copy(port->path, device))
		return 0;
	port->found = true;
	return get_text(l, device, "chardev", port->chardev);
}

/* A bus has links "child[N]" to its devices. */
static int look_at_port(struct look *l, const char *path, const char *name,
			const char *type, void *p)
{
	struct controller *c = p;
	char device[QOM_TEXT_MAX], port_name[QOM_TEXT_MAX];
	json_int_t nr;
	char bus[QOM_TEXT_MAX];
	int r;

	(void)type;
	if (!starts(name, "child["))
		return 0;
	snprintf(bus, sizeof(bus), "%.*s",
		 (int)(strlen(path) - strlen(name) - 1), path);
	r = get_text(l, bus, name, device);
	if (r || device[0] == '\0')
		return r;
	c->n_ports++;
	r = get_number(l, device, "nr", &nr);
	if (r == 0 && nr == 0)
		c->has_port0 = true;
	if (r == 0)
		r = get_text(l, device, "name", port_name);
	if (r || strcmp(port_name, l->name) != 0)
		return r;
	c->has_ours = true;
	return look_at_our_port(l, device);
}

static bool has_free_port(const struct controller *c, json_int_t max_ports)
{
	/* Port 0 is reserved for a console, there or not. */
	json_int_t used = (json_int_t)c->n_ports + (c->has_port0 ? 0 : 1);

	return used < max_ports;
}

/* @p: the controller's id. */
static int look_at_serial_bus(struct look *l, const char *path,
			      const char *name, const char *type, void *p)
{
	struct controller c = {.id = p};
	char backend[QOM_TEXT_MAX];
	json_int_t max_ports;
	int r;

	(void)type;
	snprintf(backend, sizeof(backend), "%.*s",
		 (int)(strlen(path) - strlen(name) - 1), path);
	r = for_each(l, path, "link<", look_at_port, &c);
	if (r == 0)
		r = get_number(l, backend, "max_ports", &max_ports);
	if (r)
		return r;
	if (c.has_ours) {
		copy(l->view->port.controller, c.id);
		l->view->port.alone = c.n_ports == 1;
	}
	if (l->view->free_bus[0] == '\0' && has_free_port(&c, max_ports))
		copy(l->view->free_bus, name);
	return 0;
}

static int look_at_controller(struct look *l, const char *path, const char *id,
			      const char *type)
{
	char backend[QOM_TEXT_MAX], own_id[QOM_TEXT_MAX];

	l->view->any_controller = true;
	/* One without an id is called device[N]. */
	copy(own_id, starts(id, "device[") ? "" : id);
	if (starts(type, "child<virtio-serial-device"))
		return for_each(l, path, "child<virtio-serial-bus>",
				look_at_serial_bus, own_id);
	if (!join(backend, path, "virtio-backend"))
		return 0;
	return for_each(l, backend, "child<virtio-serial-bus>",
			look_at_serial_bus, own_id);
}

/* ---- PCI buses --------------------------------------------------------- */

static int count_child(struct look *l, const char *path, const char *name,
		       const char *type, void *p)
{
	unsigned int *n = p;

	(void)l;
	(void)path;
	(void)type;
	if (starts(name, "child["))
		++*n;
	return 0;
}

static void add_bus(struct look *l, const char *name)
{
	if (l->view->n_buses < QOM_BUSES_MAX &&
	    copy(l->view->buses[l->view->n_buses], name))
		l->view->n_buses++;
}

/* A bus can take a device at run time if somebody handles that there. A PCIe
 * one behind a port takes one device. @p: is it a bridge's? */
static int look_at_pci_bus(struct look *l, const char *path, const char *name,
			   const char *type, void *p)
{
	const bool *bridge = p;
	bool express = starts(type, "child<PCIE>");
	char handler[QOM_TEXT_MAX];
	unsigned int n = 0;
	int r;

	if (!express && !starts(type, "child<PCI>"))
		return 0;
	if (express && !*bridge) {
		l->view->pcie_root = true;
		return 0;
	}
	r = get_text(l, path, "hotplug-handler", handler);
	if (r == 0 && express)
		r = for_each(l, path, "link<", count_child, &n);
	if (r == 0 && handler[0] != '\0' && n == 0)
		add_bus(l, name);
	return r;
}

static int look_at_host_bridge(struct look *l, const char *path,
			       const char *name, const char *type, void *p)
{
	bool bridge = false;

	(void)name;
	(void)p;
	if (!strstr(type, "pcihost") && !strstr(type, "pci-host"))
		return 0;
	return for_each(l, path, "child<PCI", look_at_pci_bus, &bridge);
}

static int look_at_device(struct look *l, const char *path, const char *name,
			  const char *type, void *p)
{
	bool bridge = true;

	(void)p;
	if (starts(type, "child<virtio-serial"))
		return look_at_controller(l, path, name, type);
	return for_each(l, path, "child<PCI", look_at_pci_bus, &bridge);
}

int qom_look(struct qmp *q, const char *name, struct qom_view *ret)
{
	struct look l = {.q = q, .view = ret, .name = name};
	/* Where QEMU keeps what the command line or device_add made. */
	static const char *const devices[] = {"/machine/peripheral",
					      "/machine/peripheral-anon"};
	static const char *const hosts[] = {"/machine", "/machine/unattached"};
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = for_each(&l, devices[i], "child<", look_at_device, NULL);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = for_each(&l, hosts[i], "child<", look_at_host_bridge, NULL);
	return r;
}
