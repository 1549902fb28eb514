/* SPDX-License-Identifier: MIT */
/* power_callers.c - who asked logind for what */
#include "guest/power_callers.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-login.h>
#include <time.h>

#include "guest/bus_props.h"
#include "guest/ops_bus.h"
#include "guest/ops_text.h"

#define LOGIND   "org.freedesktop.login1"
#define BUS      "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"
#define RULE(member)                                                     \
	"type='method_call',destination='" LOGIND "',interface='" LOGIND \
	".Manager',member='" member "'"
/* From a call to what it begins; it may wait for inhibitors that long. */
#define FRESH_SECONDS 30
#define NAME_MAX_     255 /* of D-Bus */

static const char *const rules[] = {
	RULE("PowerOff"),
	RULE("PowerOffWithFlags"),
	RULE("Reboot"),
	RULE("RebootWithFlags"),
	RULE("Halt"),
	RULE("HaltWithFlags"),
	RULE("Suspend"),
	RULE("SuspendWithFlags"),
	RULE("Hibernate"),
	RULE("HibernateWithFlags"),
	RULE("ScheduleShutdown"),
	RULE("CancelScheduledShutdown"),
	RULE("SetWallMessage"),
	NULL,
};

/* What it is, by how the method's name begins. */
static const struct {
	const char *begin, *type;
	bool sleep;
} kinds[] = {
	{"PowerOff", "power_off", false}, {"Reboot", "reboot", false},
	{"Halt", "halt", false},          {"Suspend", "suspend", true},
	{"Hibernate", "hibernate", true},
};

/* The last call of a kind. */
struct record {
	const char *type; /* NULL: there is none */
	time_t at;
	bool sleep, user, asking;
	uid_t uid;
	char reason[POWER_REASON_MAX + 1];
};

static struct callers {
	struct record now, scheduled;
	char wall[POWER_REASON_MAX + 1]; /* of the last SetWallMessage, */
	char wall_from[NAME_MAX_ + 1];   /* and whose that was */
	power_callers_fn *waiting;
	bool waiting_sleep;
	void (*on_schedule)(struct ops *o);
} cs;

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* ---- who it is ----------------------------------------------------------- */

struct credentials {
	uint32_t uid, pid;
};

static const struct bus_prop table[] = {
	BUS_PROP(struct credentials, uid, "UnixUserID", BUS_U32),
	BUS_PROP(struct credentials, pid, "ProcessID", BUS_U32),
};

/* Somebody who is logged in, even as root; else a service, unless it runs as
 * a user. */
static void identify(struct record *r, const struct credentials *c)
{
	uid_t owner;

	r->user = c->uid != 0;
	r->uid = c->uid;
	if (c->pid > 0 && sd_pid_get_owner_uid((pid_t)c->pid, &owner) >= 0) {
		r->user = true;
		r->uid = owner;
	}
}

static void tell(struct ops *o, const struct record *r, bool sleep,
		 power_callers_fn *fn)
{
	const struct power_cause cause = {
		.user = r && r->user,
		.uid = r ? r->uid : 0,
		.reason = r && r->reason[0] != '\0' ? r->reason : NULL,
	};

	fn(o, sleep, r ? r->type : NULL, r ? &cause : NULL);
}

static void on_credentials(struct ops *o, struct op_call *call,
			   const struct ops_bus_answer *a, void *data)
{
	struct record *r = data;
	struct credentials c = {.uid = 0};
	power_callers_fn *fn = cs.waiting;

	(void)call;
	r->asking = false;
	if (a->m && bus_props_read(a->m, table, 2, &c) == 0)
		identify(r, &c);
	if (r != &cs.now || !fn)
		return;
	cs.waiting = NULL;
	tell(o, r, cs.waiting_sleep, fn);
}

static void ask_credentials(struct ops *o, struct record *r, const char *sender)
{
	static const struct ops_bus_name get = {
		.service = BUS,
		.path = BUS_PATH,
		.interface = BUS,
		.member = "GetConnectionCredentials",
	};

	r->asking = true;
	ops_bus_call(o, NULL, &get, on_credentials, r, "s", sender);
}

/* ---- what is called ------------------------------------------------------ */

static void record(struct ops *o, struct record *r, const char *type,
		   bool sleep, const char *sender)
{
	*r = (struct record){.type = type, .sleep = sleep, .at = seconds()};
	if (strcmp(sender, cs.wall_from) == 0)
		memcpy(r->reason, cs.wall, sizeof(r->reason));
	ask_credentials(o, r, sender);
}

static void on_wall(sd_bus_message *m, const char *sender)
{
	const char *text;

	if (sd_bus_message_read(m, "s", &text) <= 0)
		return;
	op_cut(cs.wall, sizeof(cs.wall), text, strlen(text));
	op_cut(cs.wall_from, sizeof(cs.wall_from), sender, strlen(sender));
}

static void on_call(struct ops *o, sd_bus_message *m, void *data)
{
	const char *member = sd_bus_message_get_member(m);
	const char *sender = sd_bus_message_get_sender(m);

	(void)data;
	if (!member || !sender)
		return;
	if (strcmp(member, "SetWallMessage") == 0) {
		on_wall(m, sender);
		return;
	}
	if (strcmp(member, "ScheduleShutdown") == 0) {
		record(o, &cs.scheduled, "unknown", false, sender);
		cs.on_schedule(o);
	} else if (strcmp(member, "CancelScheduledShutdown") == 0) {
		cs.scheduled.type = NULL;
		cs.on_schedule(o);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(member, kinds[i].begin, strlen(kinds[i].begin)) ==
		    0)
			record(o, &cs.now, kinds[i].type, kinds[i].sleep,
			       sender);
}

void power_callers_ask(struct ops *o, bool sleep, power_callers_fn *fn)
{
	const struct record *r = &cs.now;

	ops_bus_catch_up(o);
	if (!r->type || r->sleep != sleep || seconds() - r->at > FRESH_SECONDS)
		r = !sleep && cs.scheduled.type ? &cs.scheduled : NULL;
	if (r == &cs.now && r->asking) {
		cs.waiting = fn;
		cs.waiting_sleep = sleep;
	} else {
		tell(o, r, sleep, fn);
	}
}

void power_callers_start(struct ops *o, void (*on_schedule)(struct ops *o))
{
	memset(&cs, 0, sizeof(cs));
	cs.on_schedule = on_schedule;
	ops_bus_eavesdrop(o, rules, on_call, NULL);
}
