/* SPDX-License-Identifier: MIT */
/* qemu_cmdline.c - what somebody's QEMU command line says already */
#include "cli/qemu_cmdline.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/qemu_opts.h"

/*
 * Options without a value, of QEMU 4 to 11. All others take the next word,
 * whatever it looks like: the "-name" of "-append -name" is not an option.
 */
static const char *const flags[] = {
	"S",
	"alt-grab",
	"async-teardown",
	"audio-help",
	"ctrl-grab",
	"curses",
	"daemonize",
	"enable-fips",
	"enable-hax",
	"enable-hvf",
	"enable-kvm",
	"enable-nitro",
	"enable-sync-profile",
	"full-screen",
	"h",
	"help",
	"mem-prealloc",
	"no-acpi",
	"no-fd-bootchk",
	"no-frame",
	"no-hpet",
	"no-kvm",
	"no-kvm-irqchip",
	"no-kvm-pit",
	"no-kvm-pit-reinjection",
	"no-quit",
	"no-reboot",
	"no-shutdown",
	"no-user-config",
	"nodefaults",
	"nodefconfig",
	"nographic",
	"nouserconfig",
	"old-param",
	"only-migratable",
	"portrait",
	"preconfig",
	"rtc-td-hack",
	"s",
	"sdl",
	"semihosting",
	"show-cursor",
	"singlestep",
	"snapshot",
	"tdf",
	"usb",
	"version",
	"win2k-hack",
	"xen-attach",
	"xen-create",
	"xen-domid-restrict",
};

static bool is_flag(const char *option)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(flags[i], option) == 0)
			return true;
	return false;
}

/* One element of a list, up to a single comma; ",," becomes ",".
 * Return: what follows the element's comma, or NULL at the end. */
static const char *take_element(const char *list, char *ret, size_t size)
{
	size_t n = 0;

	for (; *list != '\0'; list++) {
		if (*list == ',') {
			if (list[1] != ',')
				break;
			list++;
		}
		if (n + 1 < size)
			ret[n++] = *list;
	}
	ret[n] = '\0';
	return *list == ',' ? list + 1 : NULL;
}

bool qemu_opt_get(const char *list, const char *implied, const char *key,
		  char *ret, size_t size)
{
	/* Key, "=", value. */
	char element[QEMU_VALUE_MAX * 2];
	bool found = false, first = true;

	for (; list; first = false) {
		const char *k = element, *v;
		char *equals;

		list = take_element(list, element, sizeof(element));
		equals = strchr(element, '=');
		if (equals) {
			*equals = '\0';
			v = equals + 1;
		} else if (first && implied) {
			k = implied;
			v = element;
		} else {
			v = "on";
		}
		if (strcmp(k, key) != 0)
			continue;
		snprintf(ret, size, "%.*s", (int)size - 1, v);
		found = true;
	}
	return found;
}

static void read_machine(struct qemu_cmdline *c, const char *value)
{
	char pcie[8];

	qemu_opt_get(value, "type", "type", c->machine, sizeof(c->machine));
	if (qemu_opt_get(value, "type", "pcie", pcie, sizeof(pcie)))
		c->machine_pcie = strcmp(pcie, "on") == 0;
}

static void read_name(struct qemu_cmdline *c, const char *value)
{
	qemu_opt_get(value, "guest", "guest", c->name, sizeof(c->name));
}

static void read_uuid(struct qemu_cmdline *c, const char *value)
{
	snprintf(c->uuid, sizeof(c->uuid), "%.*s", (int)sizeof(c->uuid) - 1,
		 value);
}

static void check_device(struct qemu_cmdline *c, const char *driver,
			 const char *name, const char *id)
{
	if (strcmp(driver, "virtserialport") == 0 &&
	    strcmp(name, QEMU_PORT_NAME) == 0)
		c->has_port = true;
	else if (strcmp(id, QEMU_PORT_NAME) == 0 ||
		 strcmp(id, QEMU_CONTROLLER_ID) == 0)
		c->has_id = true;
}

static const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* -device '{"driver": "virtserialport", ...}' */
static void read_device_json(struct qemu_cmdline *c, const char *value)
{
	json_t *o = json_loads(value, JSON_REJECT_DUPLICATES, NULL);

	/* What is wrong with it is QEMU's to say. */
	if (!o)
		return;
	check_device(c, json_text(o, "driver"), json_text(o, "name"),
		     json_text(o, "id"));
	json_decref(o);
}

static void read_device(struct qemu_cmdline *c, const char *value)
{
	char driver[QEMU_VALUE_MAX] = "", name[QEMU_VALUE_MAX] = "";
	char id[QEMU_VALUE_MAX] = "";

	if (value[0] == '{') {
		read_device_json(c, value);
		return;
	}
	qemu_opt_get(value, "driver", "driver", driver, sizeof(driver));
	qemu_opt_get(value, "driver", "name", name, sizeof(name));
	qemu_opt_get(value, "driver", "id", id, sizeof(id));
	check_device(c, driver, name, id);
}

static void read_chardev(struct qemu_cmdline *c, const char *value)
{
	char id[QEMU_VALUE_MAX];

	if (!qemu_opt_get(value, "backend", "id", id, sizeof(id)))
		return;
	if (strcmp(id, QEMU_LINK_ID) == 0 || strcmp(id, QEMU_QMP_ID) == 0 ||
	    strcmp(id, QEMU_EVENTS_ID) == 0)
		c->has_id = true;
}

static void check_object(struct qemu_cmdline *c, const char *type,
			 const char *id)
{
	if (strcmp(type, "dbus-vmstate") == 0)
		c->has_state = true;
	if (strcmp(id, QEMU_STATE_ID) == 0)
		c->has_id = true;
}

static void read_object(struct qemu_cmdline *c, const char *value)
{
	char type[QEMU_VALUE_MAX] = "", id[QEMU_VALUE_MAX] = "";
	json_t *o;

	if (value[0] != '{') {
		qemu_opt_get(value, "qom-type", "qom-type", type, sizeof(type));
		qemu_opt_get(value, "qom-type", "id", id, sizeof(id));
		check_object(c, type, id);
		return;
	}
	o = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	check_object(c, json_text(o, "qom-type"), json_text(o, "id"));
	json_decref(o);
}

static void read_incoming(struct qemu_cmdline *c, const char *value)
{
	(void)value;
	c->incoming = true;
}

static const struct {
	const char *option;
	void (*read)(struct qemu_cmdline *c, const char *value);
} readers[] = {
	{"M", read_machine},     {"machine", read_machine},
	{"name", read_name},     {"uuid", read_uuid},
	{"device", read_device}, {"chardev", read_chardev},
	{"object", read_object}, {"incoming", read_incoming},
};

static void read_option(struct qemu_cmdline *c, const char *option,
			const char *value)
{
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (strcmp(readers[i].option, option) == 0)
			readers[i].read(c, value);
}

/* "/usr/bin/qemu-system-x86_64" -> "x86_64" */
static void read_program(struct qemu_cmdline *c, const char *program)
{
	static const char prefix[] = "qemu-system-";
	const char *slash = strrchr(program, '/');
	const char *base = slash ? slash + 1 : program;

	if (strncmp(base, prefix, sizeof(prefix) - 1) == 0)
		snprintf(c->arch, sizeof(c->arch), "%.*s",
			 (int)sizeof(c->arch) - 1, base + sizeof(prefix) - 1);
	else if (strcmp(base, "kvm") == 0 || strcmp(base, "qemu-kvm") == 0)
		snprintf(c->arch, sizeof(c->arch), "x86_64");
}

void qemu_cmdline_read(struct qemu_cmdline *ret, char *const *argv)
{
	*ret = (struct qemu_cmdline){0};
	if (!argv[0])
		return;
	read_program(ret, argv[0]);
	for (size_t i = 1; argv[i]; i++) {
		const char *option = argv[i];

		/* A word without "-" is a disk image. */
		if (option[0] != '-')
			continue;
		option += option[1] == '-' ? 2 : 1;
		if (strcmp(option, "daemonize") == 0)
			ret->daemonize = true;
		if (is_flag(option) || !argv[i + 1])
			continue;
		read_option(ret, option, argv[++i]);
	}
}
