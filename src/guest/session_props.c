/* SPDX-License-Identifier: MIT */
/* session_props.c - a session, a user, as logind describes them */
#include "guest/session_props.h"

#include <errno.h>
#include <string.h>

#include "guest/bus_props.h"
#include "guest/ops_text.h"

#define OF_SESSION(member, name, kind) \
	BUS_PROP(struct session_props, member, name, kind)
#define OF_USER(member, name, kind) \
	BUS_PROP(struct user_props, member, name, kind)

static const struct bus_prop session_table[] = {
	OF_SESSION(id, "Id", BUS_TEXT),
	OF_SESSION(uid, "User", BUS_U32_PATH),
	OF_SESSION(user, "Name", BUS_TEXT),
	OF_SESSION(since_us, "Timestamp", BUS_U64),
	OF_SESSION(seat, "Seat", BUS_TEXT_PATH),
	OF_SESSION(tty, "TTY", BUS_TEXT),
	OF_SESSION(display, "Display", BUS_TEXT),
	OF_SESSION(remote, "Remote", BUS_BOOL),
	OF_SESSION(remote_host, "RemoteHost", BUS_TEXT),
	OF_SESSION(service, "Service", BUS_TEXT),
	OF_SESSION(desktop, "Desktop", BUS_TEXT),
	OF_SESSION(leader, "Leader", BUS_U32),
	OF_SESSION(type, "Type", BUS_TEXT),
	OF_SESSION(class, "Class", BUS_TEXT),
	OF_SESSION(active, "Active", BUS_BOOL),
	OF_SESSION(state, "State", BUS_TEXT),
	OF_SESSION(idle, "IdleHint", BUS_BOOL),
	OF_SESSION(idle_since_us, "IdleSinceHint", BUS_U64),
	OF_SESSION(locked, "LockedHint", BUS_BOOL),
};

static const struct bus_prop user_table[] = {
	OF_USER(uid, "UID", BUS_U32),
	OF_USER(user, "Name", BUS_TEXT),
	OF_USER(state, "State", BUS_TEXT),
	OF_USER(linger, "Linger", BUS_BOOL),
	OF_USER(since_us, "Timestamp", BUS_U64),
};

/* Words of the interface file; the first one stands for those it lacks. */
static const char *const types[] = {"other",   "unspecified", "tty", "x11",
				    "wayland", "mir",         "web", "rdp"};
static const char *const session_states[] = {"online", "opening", "active",
					     "closing"};
static const char *const user_states[] = {"online", "offline", "lingering",
					  "active", "closing", "opening"};

#define WORD_OF(list, s) word_of((list), sizeof(list) / sizeof((list)[0]), (s))

static const char *word_of(const char *const *list, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], s) == 0)
			return list[i];
	return list[0];
}

/* A time that is 0 is not known. */
static json_t *time_json(uint64_t us)
{
	return us > 0 && us <= INT64_MAX ? json_integer((json_int_t)us) : NULL;
}

static int read_session(struct sd_bus_message *m, struct session_props *ret)
{
	return bus_props_read(m, session_table,
			      sizeof(session_table) / sizeof(session_table[0]),
			      ret);
}

int session_props_read(struct sd_bus_message *m, struct session_props *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = read_session(m, ret);
	return r < 0 ? r : ret->id[0] == '\0' ? -EBADMSG : 0;
}

int session_props_merge(struct sd_bus_message *m, struct session_props *s)
{
	struct session_props now = *s;
	int r = read_session(m, &now);

	/* Another one's changes are none of its. */
	if (r >= 0 && (strcmp(now.id, s->id) != 0 || now.uid != s->uid))
		r = -EBADMSG;
	if (r >= 0)
		*s = now;
	return r;
}

bool session_props_graphical(const struct session_props *s)
{
	return strcmp(s->type, "x11") == 0 || strcmp(s->type, "wayland") == 0 ||
	       strcmp(s->type, "mir") == 0;
}

static json_t *word(const char *s)
{
	return op_text_or_null(s, SESSION_WORD_MAX);
}

json_t *session_props_json(const struct session_props *s)
{
	bool desktop = session_props_graphical(s);

	return json_pack(
		"{s:s,s:I,s:s,s:s,s:s,s:s,s:b,s:b,s:o*,s:o*,s:o*,s:o*,s:o*,s:o*,"
		"s:o*,s:o*,s:b,s:o*,s:o*}",
		"id", s->id, "uid", (json_int_t)s->uid, "user", s->user, "type",
		WORD_OF(types, s->type), "class", s->class, "state",
		WORD_OF(session_states, s->state), "active", s->active,
		"remote", s->remote, "seat", word(s->seat), "tty", word(s->tty),
		"display", word(s->display), "remote_host",
		op_text_or_null(s->remote_host, SESSION_HOST_MAX), "desktop",
		word(s->desktop), "service", word(s->service), "leader",
		s->leader ? json_integer((json_int_t)s->leader) : NULL,
		"since_us", time_json(s->since_us), "idle", s->idle,
		"idle_since_us", s->idle ? time_json(s->idle_since_us) : NULL,
		"locked", desktop ? json_boolean(s->locked) : NULL);
}

int user_props_read(struct sd_bus_message *m, struct user_props *ret)
{
	memset(ret, 0, sizeof(*ret));
	return bus_props_read(m, user_table,
			      sizeof(user_table) / sizeof(user_table[0]), ret);
}

json_t *user_props_json(const struct user_props *u, json_t *sessions)
{
	return json_pack("{s:I,s:s,s:s,s:b,s:o*,s:o}", "uid",
			 (json_int_t)u->uid, "user", u->user, "state",
			 WORD_OF(user_states, u->state), "linger", u->linger,
			 "since_us", time_json(u->since_us), "sessions",
			 sessions);
}
