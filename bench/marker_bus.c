/* SPDX-License-Identifier: MIT */
/*
 * marker_bus.c - what logind tells: a desktop is locked, or idle
 *
 *	marker-bus PORT locked|idle SESSION
 *
 * The signal is there when this program, which waits for it like any other,
 * has got it.
 */
#include "marker.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define LOGIND  "org.freedesktop.login1"
#define MANAGER LOGIND ".Manager"

static sd_bus *bus;
static char path[256];
static const char *method;
static bool seen;

static int on_signal(sd_bus_message *m, void *data, sd_bus_error *err)
{
	(void)m;
	(void)data;
	(void)err;
	if (!seen)
		marker_say(MARKER_SIGNAL);
	seen = true;
	return 0;
}

static bool find(const char *session)
{
	sd_bus_message *reply = NULL;
	const char *found;
	int r = sd_bus_call_method(bus, LOGIND, "/org/freedesktop/login1",
				   MANAGER, "GetSession", NULL, &reply, "s",
				   session);

	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &found);
	if (r >= 0)
		snprintf(path, sizeof(path), "%s", found);
	sd_bus_message_unref(reply);
	return r >= 0;
}

bool marker_init(int n, char **args)
{
	if (n != 2 || sd_bus_open_system(&bus) < 0 || !find(args[1]))
		return false;
	method = strcmp(args[0], "idle") == 0 ? "SetIdleHint" : "SetLockedHint";
	return sd_bus_match_signal(bus, NULL, LOGIND, path,
				   "org.freedesktop.DBus.Properties",
				   "PropertiesChanged", on_signal, NULL) >= 0;
}

bool marker_happen(unsigned int n)
{
	int r;

	seen = false;
	marker_say(MARKER_ASKED);
	r = sd_bus_call_method_async(bus, NULL, LOGIND, path, LOGIND ".Session",
				     method, NULL, NULL, "b", (int)(n % 2));
	while (r >= 0 && !seen) {
		r = sd_bus_process(bus, NULL);
		if (r == 0 && !seen)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	return r >= 0;
}
