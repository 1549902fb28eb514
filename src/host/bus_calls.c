/* SPDX-License-Identifier: MIT */
/*
 * bus_calls.c - a message bus with one other participant
 *
 * What QEMU 7.2 asks before each Save and Load, measured: who owns
 * org.qemu.VMState1, and what Id it has. Whatever else is asked is refused.
 */
#include <errno.h>
#include <string.h>

#include "host/bus.h"
#include "host/bus_calls.h"

#define BUS_NAME     "org.freedesktop.DBus"
#define BUS_PATH     "/org/freedesktop/DBus"
#define PROPERTIES   "org.freedesktop.DBus.Properties"
#define VMSTATE      "org.qemu.VMState1"
#define VMSTATE_PATH "/org/qemu/VMState1"
#define QEMU_IS      ":1.1" /* QEMU's own unique name */
#define OWNER_IS     ":1.0" /* that of the participant */
#define STATE_IS     "vmchannel"
#define ALREADY_RUNS 2u /* DBUS_START_REPLY_ALREADY_RUNNING */

static int say_hello(struct bus *b, sd_bus_message *m)
{
	(void)b;
	return sd_bus_reply_method_return(m, "s", QEMU_IS);
}

/* There are no signals to be matched. */
static int take_match(struct bus *b, sd_bus_message *m)
{
	(void)b;
	return sd_bus_reply_method_return(m, "");
}

static const struct name {
	const char *name, *owner;
} names[] = {
	{BUS_NAME, BUS_NAME},
	{VMSTATE, OWNER_IS},
	{OWNER_IS, OWNER_IS},
};

/* Return: who owns the name that is asked for, or NULL. */
static const char *owner_asked_for(sd_bus_message *m)
{
	const char *name = NULL;

	if (sd_bus_message_read(m, "s", &name) <= 0)
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(name, names[i].name))
			return names[i].owner;
	}
	return NULL;
}

static int no_such_name(sd_bus_message *m)
{
	return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
					  "only " VMSTATE " is here");
}

static int start_service(struct bus *b, sd_bus_message *m)
{
	(void)b;
	if (!owner_asked_for(m))
		return no_such_name(m);
	return sd_bus_reply_method_return(m, "u", ALREADY_RUNS);
}

static int name_owner(struct bus *b, sd_bus_message *m)
{
	const char *owner = owner_asked_for(m);

	(void)b;
	if (!owner)
		return no_such_name(m);
	return sd_bus_reply_method_return(m, "s", owner);
}

static int queued_owners(struct bus *b, sd_bus_message *m)
{
	const char *owner = owner_asked_for(m);

	(void)b;
	if (!owner)
		return no_such_name(m);
	return sd_bus_reply_method_return(m, "as", 1, owner);
}

/* The bus has properties, too; nobody looks at them. */
static int bus_properties(struct bus *b, sd_bus_message *m)
{
	(void)b;
	return sd_bus_reply_method_return(m, "a{sv}", 0);
}

static int vmstate_properties(struct bus *b, sd_bus_message *m)
{
	(void)b;
	return sd_bus_reply_method_return(m, "a{sv}", 1, "Id", "s", STATE_IS);
}

static const struct call {
	const char *path;
	const char *interface, *member;
	const char *takes; /* signature of the arguments */
	int (*run)(struct bus *b, sd_bus_message *m);
} calls[] = {
	{BUS_PATH, BUS_NAME, "Hello", "", say_hello},
	{BUS_PATH, BUS_NAME, "AddMatch", "s", take_match},
	{BUS_PATH, BUS_NAME, "RemoveMatch", "s", take_match},
	{BUS_PATH, BUS_NAME, "StartServiceByName", "su", start_service},
	{BUS_PATH, BUS_NAME, "GetNameOwner", "s", name_owner},
	{BUS_PATH, BUS_NAME, "ListQueuedOwners", "s", queued_owners},
	{BUS_PATH, PROPERTIES, "GetAll", "s", bus_properties},
	{VMSTATE_PATH, PROPERTIES, "GetAll", "s", vmstate_properties},
	{VMSTATE_PATH, VMSTATE, "Save", "", bus_on_save},
	{VMSTATE_PATH, VMSTATE, "Load", "ay", bus_on_load},
};

static const struct call *find_call(sd_bus_message *m)
{
	const char *path = sd_bus_message_get_path(m);

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct call *c = &calls[i];

		if (path && !strcmp(path, c->path) &&
		    sd_bus_message_is_method_call(m, c->interface, c->member) >
			    0 &&
		    sd_bus_message_has_signature(m, c->takes) > 0)
			return c;
	}
	return NULL;
}

bool bus_call(struct bus *b, sd_bus_message *m)
{
	const struct call *c = find_call(m);
	int r;

	if (!c) {
		(void)sd_bus_reply_method_errorf(m, SD_BUS_ERROR_UNKNOWN_METHOD,
						 "no such call here");
		return false;
	}
	r = c->run(b, m);
	if (r == -EBUSY)
		(void)sd_bus_reply_method_errorf(m,
						 SD_BUS_ERROR_LIMITS_EXCEEDED,
						 "one Save or Load at a time");
	if (r == -EINVAL)
		(void)sd_bus_reply_method_errorf(m, SD_BUS_ERROR_INVALID_ARGS,
						 "expected an array of bytes");
	return r >= 0;
}
