/* SPDX-License-Identifier: MIT */
/* bus_props.h - the properties of a D-Bus object into a struct, by a table */
#ifndef GUEST_BUS_PROPS_H
#define GUEST_BUS_PROPS_H

#include <stddef.h>

struct sd_bus_message;

/* What of it is taken: */
enum bus_prop_kind {
	BUS_BOOL,      /* "b" as bool */
	BUS_U32,       /* "u" as uint32_t */
	BUS_U64,       /* "t" as uint64_t */
	BUS_TEXT,      /* "s" as char[size], cut as op_cut() does */
	BUS_TEXT_PATH, /* "(so)": its text, so */
	BUS_U32_PATH,  /* "(uo)": its number */
};

struct bus_prop {
	const char *name;
	enum bus_prop_kind kind;
	size_t at, size; /* of the member of the struct */
};

#define BUS_PROP(type, member, name, kind)              \
	{                                               \
		(name), (kind), offsetof(type, member), \
			sizeof(((type *)0)->member)     \
	}

/**
 * bus_props_read() - what the table names of "a{sv}"
 * @ret: its struct; members whose property is missing, or is of another type,
 *       stay as they are
 *
 * Return: 0, or a negative errno if it is no such array.
 */
int bus_props_read(struct sd_bus_message *m, const struct bus_prop *table,
		   size_t n, void *ret);

#endif /* GUEST_BUS_PROPS_H */
