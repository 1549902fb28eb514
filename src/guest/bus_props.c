/* SPDX-License-Identifier: MIT */
/* bus_props.c - the properties of a D-Bus object into a struct, by a table */
#include "guest/bus_props.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "guest/ops_text.h"

static const char *const signatures[] = {
	[BUS_BOOL] = "b", [BUS_U32] = "u",          [BUS_U64] = "t",
	[BUS_TEXT] = "s", [BUS_TEXT_PATH] = "(so)", [BUS_U32_PATH] = "(uo)",
};

static int read_text(sd_bus_message *m, const char *type, char *to, size_t size)
{
	const char *s = "", *path;
	int r = sd_bus_message_read(m, type, &s, &path);

	if (r > 0)
		op_cut(to, size, s, strlen(s));
	return r;
}

static int read_bool(sd_bus_message *m, bool *to)
{
	int yes = 0, r = sd_bus_message_read(m, "b", &yes);

	if (r > 0)
		*to = yes != 0;
	return r;
}

static int read_u32(sd_bus_message *m, const char *type, uint32_t *to)
{
	const char *path;
	uint32_t n = 0;
	int r = sd_bus_message_read(m, type, &n, &path);

	if (r > 0)
		*to = n;
	return r;
}

static int read_value(sd_bus_message *m, const struct bus_prop *p, void *to)
{
	const char *type = signatures[p->kind];
	uint64_t n = 0;
	int r;

	switch (p->kind) {
	case BUS_BOOL:
		return read_bool(m, to);
	case BUS_U32:
	case BUS_U32_PATH:
		return read_u32(m, type, to);
	case BUS_U64:
		r = sd_bus_message_read(m, "t", &n);
		if (r > 0)
			*(uint64_t *)to = n;
		return r;
	case BUS_TEXT:
	case BUS_TEXT_PATH:
	default:
		return read_text(m, type, to, p->size);
	}
}

static const struct bus_prop *find(const struct bus_prop *table, size_t n,
				   const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* One "v". Return: >= 0: it has been passed. */
static int take(sd_bus_message *m, const struct bus_prop *p, void *ret)
{
	const char *type = NULL;
	int r;

	if (!p || sd_bus_message_peek_type(m, NULL, &type) < 0 || !type ||
	    strcmp(type, signatures[p->kind]) != 0)
		return sd_bus_message_skip(m, "v");
	r = sd_bus_message_enter_container(m, 'v', type);
	if (r > 0)
		r = read_value(m, p, (char *)ret + p->at);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int bus_props_read(sd_bus_message *m, const struct bus_prop *table, size_t n,
		   void *ret)
{
	const char *name;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 &&
	       (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &name);
		if (r > 0)
			r = take(m, find(table, n, name), ret);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m) < 0 ? -EBADMSG : 0;
}
