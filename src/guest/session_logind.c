/* SPDX-License-Identifier: MIT */
/*
 * session_logind.c - sessions as systemd-logind knows them
 *
 * logind is asked once, object by object, and then tells what changes: that is
 * what events are made of, and the list of sessions, because three questions
 * and more take their time. A call about one session, or users, asks anew.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "broker/log.h"
#include "guest/bus_props.h"
#include "guest/ops_bus.h"
#include "guest/ops_text.h"
#include "guest/session_memory.h"
#include "guest/session_notify.h"
#include "guest/session_props.h"
#include "guest/tty_message.h"

#define LOGIND         "org.freedesktop.login1"
#define LOGIND_PATH    "/org/freedesktop/login1"
#define LOGIND_MANAGER LOGIND ".Manager"
#define PROPERTIES     "org.freedesktop.DBus.Properties"
#define NONSENSE       "logind's answer makes no sense"

#define PATH_SIZE 256
#define SEATS_MAX 16

struct seat {
	char path[PATH_SIZE];
	char id[SESSION_WORD_MAX + 1];
	char active[SESSION_ID_MAX + 1]; /* "" : none */
};

/* What was told. */
static struct known {
	struct session_props *sessions[SESSION_MAX]; /* NULL: free */
	struct user_props *users[SESSION_MAX];
	struct seat seats[SEATS_MAX];
	struct session_idle_rule idle;
	bool all_listed, has_rule;
} kn;

/* Sessions that were asked about and have not answered yet. */
static unsigned int asked;

static struct ops_bus_name manager(const char *member)
{
	return (struct ops_bus_name){
		.service = LOGIND,
		.path = LOGIND_PATH,
		.interface = LOGIND_MANAGER,
		.member = member,
	};
}

static struct ops_bus_name properties(const char *path, const char *member)
{
	return (struct ops_bus_name){
		.service = LOGIND,
		.path = path,
		.interface = PROPERTIES,
		.member = member,
	};
}

/* ---- what is known ------------------------------------------------------- */

static struct session_props **session_slot(const char *id)
{
	struct session_props **unused = NULL;

	for (size_t i = 0; i < SESSION_MAX; i++) {
		if (!kn.sessions[i])
			unused = unused ? unused : &kn.sessions[i];
		else if (strcmp(kn.sessions[i]->id, id) == 0)
			return &kn.sessions[i];
	}
	return unused;
}

static struct user_props **user_slot(uint32_t uid)
{
	struct user_props **unused = NULL;

	for (size_t i = 0; i < SESSION_MAX; i++) {
		if (!kn.users[i])
			unused = unused ? unused : &kn.users[i];
		else if (kn.users[i]->uid == uid)
			return &kn.users[i];
	}
	return unused;
}

static void tell_locked(struct ops *o, const struct session_props *s)
{
	ops_emit(
		o,
		s->locked ? SESSION ".SessionLocked"
			  : SESSION ".SessionUnlocked",
		json_pack("{s:s,s:I}", "id", s->id, "uid", (json_int_t)s->uid));
}

static void tell_idle(struct ops *o, const struct session_props *s)
{
	bool since = s->idle && s->idle_since_us > 0 &&
		     s->idle_since_us <= INT64_MAX;

	ops_emit(o, SESSION ".IdleChanged",
		 json_pack("{s:s,s:I,s:b,s:o*}", "id", s->id, "uid",
			   (json_int_t)s->uid, "idle", s->idle, "since_us",
			   since ? json_integer((json_int_t)s->idle_since_us)
				 : NULL));
}

/* Tell what is another than before, and remember it. */
static void remember_session(struct ops *o, const struct session_props *s,
			     bool tell)
{
	struct session_props **slot = session_slot(s->id);
	struct session_props *known = slot ? *slot : NULL;
	bool is_new = !known;

	if (slot && !known)
		*slot = known = calloc(1, sizeof(*known));
	if (!known) {
		log_limited(uv_hrtime() / 1000, LOG_LEVEL_WARNING,
			    "ev=limit limit=sessions value=%d", SESSION_MAX);
		return;
	}
	if (tell && is_new)
		session_new(o, session_props_json(s));
	if (tell && !is_new && s->locked != known->locked)
		tell_locked(o, s);
	if (tell && !is_new && s->idle != known->idle)
		tell_idle(o, s);
	*known = *s;
}

static void remember_user(struct ops *o, const struct user_props *u, bool tell)
{
	struct user_props **slot = user_slot(u->uid);
	struct user_props *known = slot ? *slot : NULL;
	bool is_new = !known;

	if (slot && !known)
		*slot = known = calloc(1, sizeof(*known));
	if (!known)
		return;
	*known = *u;
	if (tell && is_new)
		session_user(o, true, u->uid, u->user);
}

static void forget_all(void)
{
	for (size_t i = 0; i < SESSION_MAX; i++) {
		free(kn.sessions[i]);
		free(kn.users[i]);
	}
	memset(&kn, 0, sizeof(kn));
	kn.idle.stop_us = UINT64_MAX;
}

/* ---- one object after the other ------------------------------------------ */

enum gather_what {
	GATHER_SESSIONS,
	GATHER_USERS,
};

struct gather {
	enum gather_what what;
	bool one;                    /* a session: that is the whole answer */
	char id[SESSION_ID_MAX + 1]; /* which one */
	json_t *array;
	char (*paths)[PATH_SIZE];
	size_t at, n;
};

static void gather_free(struct gather *g)
{
	json_decref(g->array);
	free(g->paths);
	free(g);
}

static struct gather *gather_new(enum gather_what what, size_t max)
{
	struct gather *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->what = what;
	g->array = json_array();
	g->paths = calloc(max, PATH_SIZE);
	if (g->array && g->paths)
		return g;
	gather_free(g);
	return NULL;
}

static json_t *ids_of(uint32_t uid)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < SESSION_MAX; i++)
		if (kn.sessions[i] && kn.sessions[i]->uid == uid &&
		    json_array_size(ids) < SESSION_USER_IDS_MAX)
			json_array_append_new(ids,
					      json_string(kn.sessions[i]->id));
	return ids;
}

static void take_session(struct ops *o, struct gather *g, bool tell,
			 sd_bus_message *m)
{
	struct session_props s;

	if (session_props_read(m, &s) < 0)
		return;
	remember_session(o, &s, tell);
	json_array_append_new(g->array, session_props_json(&s));
}

static void take_user(struct ops *o, struct gather *g, bool tell,
		      sd_bus_message *m)
{
	struct user_props u;

	if (user_props_read(m, &u) < 0)
		return;
	remember_user(o, &u, tell);
	json_array_append_new(g->array, user_props_json(&u, ids_of(u.uid)));
}

static void next_object(struct ops *o, struct op_call *call, struct gather *g);

/* A session that has ended since is left out. */
static void on_object(struct ops *o, struct op_call *call,
		      const struct ops_bus_answer *a, void *data)
{
	struct gather *g = data;

	if (a->given_up) {
		gather_free(g);
		return;
	}
	/* The first list, without a call, is no news. */
	if (a->m && g->what == GATHER_SESSIONS)
		take_session(o, g, call != NULL, a->m);
	else if (a->m)
		take_user(o, g, call != NULL, a->m);
	next_object(o, call, g);
}

static void gathered(struct op_call *call, struct gather *g)
{
	json_t *array = g->array;

	g->array = NULL;
	if (!call && g->what == GATHER_SESSIONS)
		kn.all_listed = true;
	if (!call)
		json_decref(array);
	else if (!g->one)
		op_reply_list(call,
			      g->what == GATHER_SESSIONS ? "sessions" : "users",
			      array);
	else if (json_array_size(array) == 0)
		session_none(call, g->id);
	else
		op_reply(call, json_pack("{s:O}", "session",
					 json_array_get(array, 0)));
	if (call && g->one)
		json_decref(array);
	gather_free(g);
}

static void next_object(struct ops *o, struct op_call *call, struct gather *g)
{
	struct ops_bus_name get;

	if (g->at >= g->n) {
		gathered(call, g);
		return;
	}
	get = properties(g->paths[g->at++], "GetAll");
	ops_bus_call(o, call, &get, on_object, g, "s",
		     g->what == GATHER_SESSIONS ? LOGIND ".Session"
						: LOGIND ".User");
}

static void add_path(struct gather *g, const char *path)
{
	/* D-Bus bounds no path; logind's are short. */
	if (strlen(path) < PATH_SIZE)
		strcpy(g->paths[g->n++], path);
}

/* "a(susso)" or "a(uso)". Return: < 0: it is none. */
static int read_paths(sd_bus_message *m, struct gather *g)
{
	bool sessions = g->what == GATHER_SESSIONS;
	const char *path, *s;
	uint32_t u;
	int r = sd_bus_message_enter_container(m, 'a',
					       sessions ? "(susso)" : "(uso)");

	while (r >= 0 && g->n < SESSION_MAX) {
		r = sessions ? sd_bus_message_read(m, "(susso)", &s, &u, &s, &s,
						   &path)
			     : sd_bus_message_read(m, "(uso)", &u, &s, &path);
		if (r <= 0)
			break;
		add_path(g, path);
	}
	return r;
}

static void on_list(struct ops *o, struct op_call *call,
		    const struct ops_bus_answer *a, void *data)
{
	struct gather *g = data;

	if (a->m && read_paths(a->m, g) >= 0) {
		next_object(o, call, g);
		return;
	}
	if (call && a->m)
		op_failed(call, EBADMSG, NONSENSE);
	else if (call)
		ops_bus_refuse(call, a);
	gather_free(g);
}

static void list(struct ops *o, struct op_call *call, enum gather_what what)
{
	const struct ops_bus_name m =
		manager(what == GATHER_SESSIONS ? "ListSessions" : "ListUsers");
	struct gather *g = gather_new(what, SESSION_MAX);

	if (g)
		ops_bus_call(o, call, &m, on_list, g, NULL);
	else if (call)
		op_failed(call, ENOMEM, "");
}

/* Return: all sessions, or NULL: they are not known that well. */
static json_t *from_memory(void)
{
	json_t *array = kn.all_listed && kn.has_rule && asked == 0
				? json_array()
				: NULL;

	for (size_t i = 0; array && i < SESSION_MAX; i++) {
		struct session_props now;

		if (!kn.sessions[i])
			continue;
		now = *kn.sessions[i];
		if (session_bring_up_to_date(&now, &kn.idle)) {
			json_array_append_new(array, session_props_json(&now));
		} else {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static void list_sessions(struct op_call *call)
{
	json_t *array = from_memory();

	if (array)
		op_reply_list(call, "sessions", array);
	else
		list(op_ops(call), call, GATHER_SESSIONS);
}

static void list_users(struct op_call *call)
{
	list(op_ops(call), call, GATHER_USERS);
}

static bool is_no_session(const char *name)
{
	return strcmp(name, LOGIND ".NoSuchSession") == 0 ||
	       strcmp(name, SD_BUS_ERROR_UNKNOWN_OBJECT) == 0;
}

static void on_path(struct ops *o, struct op_call *call,
		    const struct ops_bus_answer *a, void *data)
{
	struct gather *g = data;
	const char *path;

	if (a->m && sd_bus_message_read(a->m, "o", &path) > 0) {
		add_path(g, path);
		next_object(o, call, g);
		return;
	}
	if (call && a->m)
		op_failed(call, EBADMSG, NONSENSE);
	else if (call && is_no_session(a->name))
		session_none(call, g->id);
	else if (call)
		ops_bus_refuse(call, a);
	gather_free(g);
}

static void get(struct op_call *call, const char *id)
{
	const struct ops_bus_name m = manager("GetSession");
	struct gather *g = gather_new(GATHER_SESSIONS, 1);

	if (!g) {
		op_failed(call, ENOMEM, "");
		return;
	}
	g->one = true;
	op_cut(g->id, sizeof(g->id), id, strlen(id));
	ops_bus_call(op_ops(call), call, &m, on_path, g, "s", id);
}

/* ---- to do something to one ---------------------------------------------- */

static const char *const verbs[SESSION_VERBS] = {
	[SESSION_LOCK] = "LockSession",
	[SESSION_UNLOCK] = "UnlockSession",
	[SESSION_TERMINATE] = "TerminateSession",
	[SESSION_ACTIVATE] = "ActivateSession",
};

static void on_act(struct ops *o, struct op_call *call,
		   const struct ops_bus_answer *a, void *data)
{
	char *id = data;

	if (call && !a->m && is_no_session(a->name))
		session_none(call, id);
	else
		ops_bus_done(o, call, a, NULL);
	free(id);
}

static void act(struct op_call *call, enum session_verb verb, const char *id)
{
	const struct ops_bus_name m = manager(verbs[verb]);

	ops_bus_call(op_ops(call), call, &m, on_act, strdup(id), "s", id);
}

static void on_count(struct ops *o, struct op_call *call,
		     const struct ops_bus_answer *a, void *data)
{
	(void)o;
	if (!call)
		return;
	if (a->m)
		op_reply(call, json_pack("{s:I}", "locked",
					 (json_int_t)(uintptr_t)data));
	else
		ops_bus_refuse(call, a);
}

static void lock_all(struct op_call *call)
{
	const struct ops_bus_name m = manager("LockSessions");
	uintptr_t n = 0;

	for (size_t i = 0; i < SESSION_MAX; i++)
		n += kn.sessions[i] && session_props_graphical(kn.sessions[i]);
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	ops_bus_call(op_ops(call), call, &m, on_count, (void *)n, NULL);
}

struct ending {
	uid_t uid;
	size_t sessions;
};

static void on_terminated(struct ops *o, struct op_call *call,
			  const struct ops_bus_answer *a, void *data)
{
	struct ending *e = data;

	(void)o;
	if (call && a->m)
		op_reply(call, json_pack("{s:I}", "sessions",
					 (json_int_t)e->sessions));
	else if (call && strcmp(a->name, LOGIND ".NoSuchUser") == 0)
		session_no_user(call, e->uid);
	else if (call)
		ops_bus_refuse(call, a);
	free(e);
}

static void terminate_user(struct op_call *call, uid_t uid)
{
	const struct ops_bus_name m = manager("TerminateUser");
	struct ending *e = calloc(1, sizeof(*e));
	json_t *ids = ids_of(uid);

	if (!e) {
		json_decref(ids);
		op_failed(call, ENOMEM, "");
		return;
	}
	e->uid = uid;
	e->sessions = json_array_size(ids);
	json_decref(ids);
	ops_bus_call(op_ops(call), call, &m, on_terminated, e, "u", uid);
}

/* ---- messages ------------------------------------------------------------ */

struct telling {
	struct op_call *call; /* NULL: it has ended */
	json_int_t shown;
	unsigned int waiting;
};

static void told(struct telling *t)
{
	if (t->waiting > 0)
		return;
	if (t->call) {
		op_on_cancel(t->call, NULL, NULL);
		op_reply(t->call, json_pack("{s:I}", "shown", t->shown));
	}
	free(t);
}

static void on_notified(struct ops *o, pid_t pid, int status, void *data)
{
	struct telling *t = data;

	(void)o;
	(void)pid;
	t->shown += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	t->waiting--;
	told(t);
}

static void on_call_ended(struct op_call *call, void *data)
{
	struct telling *t = data;

	(void)call;
	t->call = NULL;
}

static bool is_meant(const struct session_props *s, const char *id, uid_t uid)
{
	return s && (!id || strcmp(s->id, id) == 0) &&
	       (uid == SESSION_NO_UID || s->uid == uid) &&
	       (session_props_graphical(s) || s->tty[0] != '\0');
}

/* A desktop has one bus, so each user gets one message, however many sessions
 * he has. */
static bool was_notified(size_t before, uint32_t uid, const char *id)
{
	for (size_t i = 0; i < before; i++)
		if (is_meant(kn.sessions[i], id, uid) &&
		    session_props_graphical(kn.sessions[i]))
			return true;
	return false;
}

static void tell_one(struct ops *o, struct telling *t, size_t i,
		     const char *text, const char *id)
{
	const struct session_props *s = kn.sessions[i];

	if (!session_props_graphical(s))
		t->shown += tty_message(s->tty, text);
	else if (!was_notified(i, s->uid, id) &&
		 session_notify(o, s->uid, s->user, text, on_notified, t) == 0)
		t->waiting++;
}

static void message(struct op_call *call, const char *text, const char *id,
		    uid_t uid)
{
	struct telling *t = calloc(1, sizeof(*t));
	size_t meant = 0;

	if (!t) {
		op_failed(call, ENOMEM, "");
		return;
	}
	t->call = call;
	for (size_t i = 0; i < SESSION_MAX; i++) {
		if (!is_meant(kn.sessions[i], id, uid))
			continue;
		meant++;
		tell_one(op_ops(call), t, i, text, id);
	}
	if (meant > 0 || (!id && uid == SESSION_NO_UID)) {
		op_on_cancel(call, on_call_ended, t);
		told(t);
		return;
	}
	free(t);
	if (id)
		session_none(call, id);
	else
		session_no_user(call, uid);
}

/* ---- signals ------------------------------------------------------------- */

static void on_session(struct ops *o, struct op_call *call,
		       const struct ops_bus_answer *a, void *data)
{
	struct session_props s;
	bool only_known = data != NULL;

	(void)call;
	asked--;
	/* It is there, or may be, and is not known. */
	if (!a->m && !is_no_session(a->name))
		kn.all_listed = false;
	if (!a->m || session_props_read(a->m, &s) < 0)
		return;
	/* News of one that was removed meanwhile. */
	if (only_known && (!session_slot(s.id) || !*session_slot(s.id)))
		return;
	remember_session(o, &s, true);
}

static void ask_session(struct ops *o, const char *path, bool only_known)
{
	const struct ops_bus_name m = properties(path, "GetAll");

	asked++;
	ops_bus_call(o, NULL, &m, on_session, only_known ? &kn : NULL, "s",
		     LOGIND ".Session");
}

static void on_session_new(struct ops *o, sd_bus_message *m, void *data)
{
	const char *id, *path;

	(void)data;
	if (sd_bus_message_read(m, "so", &id, &path) > 0)
		ask_session(o, path, false);
}

static void on_session_removed(struct ops *o, sd_bus_message *m, void *data)
{
	const char *id, *path;
	struct session_props **slot;

	(void)data;
	if (sd_bus_message_read(m, "so", &id, &path) <= 0)
		return;
	slot = session_slot(id);
	if (!slot || !*slot)
		return;
	session_removed(o, (*slot)->id, (*slot)->uid, (*slot)->user);
	free(*slot);
	*slot = NULL;
}

static void on_user(struct ops *o, struct op_call *call,
		    const struct ops_bus_answer *a, void *data)
{
	struct user_props u;

	(void)call;
	(void)data;
	if (a->m && user_props_read(a->m, &u) == 0)
		remember_user(o, &u, true);
}

static void on_user_new(struct ops *o, sd_bus_message *m, void *data)
{
	const char *path;
	uint32_t uid;
	struct ops_bus_name get_all;

	(void)data;
	if (sd_bus_message_read(m, "uo", &uid, &path) <= 0)
		return;
	get_all = properties(path, "GetAll");
	ops_bus_call(o, NULL, &get_all, on_user, NULL, "s", LOGIND ".User");
}

static void on_user_removed(struct ops *o, sd_bus_message *m, void *data)
{
	const char *path;
	uint32_t uid;
	struct user_props **slot;

	(void)data;
	if (sd_bus_message_read(m, "uo", &uid, &path) <= 0)
		return;
	slot = user_slot(uid);
	if (!slot || !*slot)
		return;
	session_user(o, false, uid, (*slot)->user);
	free(*slot);
	*slot = NULL;
}

/* ---- seats --------------------------------------------------------------- */

static struct seat *seat_of(const char *path)
{
	for (size_t i = 0; i < SEATS_MAX; i++) {
		struct seat *s = &kn.seats[i];

		if (s->path[0] == '\0')
			op_cut(s->path, sizeof(s->path), path, strlen(path));
		if (strcmp(s->path, path) == 0)
			return s;
	}
	return NULL;
}

static int read_seat(sd_bus_message *m, struct seat *ret)
{
	static const struct bus_prop table[] = {
		BUS_PROP(struct seat, id, "Id", BUS_TEXT),
		BUS_PROP(struct seat, active, "ActiveSession", BUS_TEXT_PATH),
	};

	return bus_props_read(m, table, sizeof(table) / sizeof(table[0]), ret);
}

static void remember_seat(struct ops *o, struct seat *s, const struct seat *now)
{
	bool is_new = s->id[0] == '\0';

	if (!is_new && strcmp(now->active, s->active) != 0)
		ops_emit(
			o, SESSION ".ActiveSessionChanged",
			json_pack("{s:s,s:s*}", "seat", now->id, "id",
				  now->active[0] != '\0' ? now->active : NULL));
	memcpy(s->id, now->id, sizeof(s->id));
	memcpy(s->active, now->active, sizeof(s->active));
}

static void on_seat(struct ops *o, struct op_call *call,
		    const struct ops_bus_answer *a, void *data)
{
	struct seat now = {.id = ""};

	(void)call;
	if (a->m && read_seat(a->m, &now) >= 0 && now.id[0] != '\0')
		remember_seat(o, data, &now);
}

static void ask_seat(struct ops *o, const char *path)
{
	struct ops_bus_name m = properties(path, "GetAll");
	struct seat *s = strlen(path) < PATH_SIZE ? seat_of(path) : NULL;

	if (s)
		ops_bus_call(o, NULL, &m, on_seat, s, "s", LOGIND ".Seat");
}

static void on_seats(struct ops *o, struct op_call *call,
		     const struct ops_bus_answer *a, void *data)
{
	const char *id, *path;

	(void)call;
	(void)data;
	if (!a->m || sd_bus_message_enter_container(a->m, 'a', "(so)") < 0)
		return;
	for (int i = 0;
	     i < SEATS_MAX && sd_bus_message_read(a->m, "(so)", &id, &path) > 0;
	     i++)
		ask_seat(o, path);
}

/* ---- changes ------------------------------------------------------------- */

/* Behind the "a{sv}" stands "as": what changed, and the object must be asked
 * how it is now. Return: is there any? */
static bool names_more(sd_bus_message *m)
{
	return sd_bus_message_enter_container(m, 'a', "s") < 0 ||
	       sd_bus_message_at_end(m, false) <= 0;
}

static void session_changed(struct ops *o, const char *path, sd_bus_message *m)
{
	struct session_props **slot, now;
	char *id = NULL;

	if (sd_bus_path_decode(path, LOGIND_PATH "/session", &id) <= 0)
		return;
	slot = session_slot(id);
	free(id);
	/* News of one that was removed meanwhile, or comes with its list. */
	if (!slot || !*slot)
		return;
	now = **slot;
	if (session_props_merge(m, &now) >= 0)
		remember_session(o, &now, true);
	if (names_more(m))
		ask_session(o, path, true);
}

static void seat_changed(struct ops *o, const char *path, sd_bus_message *m)
{
	struct seat *s = strlen(path) < PATH_SIZE ? seat_of(path) : NULL, now;

	if (!s)
		return;
	now = *s;
	if (s->id[0] != '\0' && read_seat(m, &now) >= 0 &&
	    strcmp(now.id, s->id) == 0)
		remember_seat(o, s, &now);
	if (s->id[0] == '\0' || names_more(m))
		ask_seat(o, path);
}

static void on_changed(struct ops *o, sd_bus_message *m, void *data)
{
	const char *interface, *path = sd_bus_message_get_path(m);

	(void)data;
	if (!path || sd_bus_message_read(m, "s", &interface) <= 0)
		return;
	if (strcmp(interface, LOGIND ".Session") == 0)
		session_changed(o, path, m);
	else if (strcmp(interface, LOGIND ".Seat") == 0)
		seat_changed(o, path, m);
}

/* ---- start and stop ------------------------------------------------------ */

static void on_rule(struct ops *o, struct op_call *call,
		    const struct ops_bus_answer *a, void *data)
{
	static const struct bus_prop table[] = {
		BUS_PROP(struct session_idle_rule, action_us, "IdleActionUSec",
			 BUS_U64),
		BUS_PROP(struct session_idle_rule, stop_us,
			 "StopIdleSessionUSec", BUS_U64),
	};

	(void)o;
	(void)call;
	(void)data;
	kn.has_rule = a->m && bus_props_read(a->m, table,
					     sizeof(table) / sizeof(table[0]),
					     &kn.idle) >= 0;
}

static void on_up(struct ops *o, void *data)
{
	const struct ops_bus_name seats = manager("ListSeats");
	const struct ops_bus_name rule = properties(LOGIND_PATH, "GetAll");

	(void)data;
	forget_all();
	list(o, NULL, GATHER_SESSIONS);
	list(o, NULL, GATHER_USERS);
	ops_bus_call(o, NULL, &seats, on_seats, NULL, NULL);
	ops_bus_call(o, NULL, &rule, on_rule, NULL, "s", LOGIND_MANAGER);
}

static const struct {
	struct ops_bus_name name;
	ops_bus_signal_fn *fn;
} signals[] = {
	{{LOGIND, LOGIND_PATH, LOGIND_MANAGER, "SessionNew"}, on_session_new},
	{{LOGIND, LOGIND_PATH, LOGIND_MANAGER, "SessionRemoved"},
	 on_session_removed},
	{{LOGIND, LOGIND_PATH, LOGIND_MANAGER, "UserNew"}, on_user_new},
	{{LOGIND, LOGIND_PATH, LOGIND_MANAGER, "UserRemoved"}, on_user_removed},
	{{LOGIND, NULL, PROPERTIES, "PropertiesChanged"}, on_changed},
};

static int start(struct ops *o)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(signals) / sizeof(signals[0]);
	     i++)
		r = ops_bus_watch(o, &signals[i].name, signals[i].fn, NULL);
	return r < 0 ? r : ops_bus_on_up(o, on_up, NULL);
}

static void stop(struct ops *o)
{
	(void)o;
	forget_all();
}

static const struct session_back_end back_end = {
	.start = start,
	.stop = stop,
	.list = list_sessions,
	.list_users = list_users,
	.get = get,
	.act = act,
	.lock_all = lock_all,
	.terminate_user = terminate_user,
	.message = message,
};

const struct session_back_end *const session_logind = &back_end;
