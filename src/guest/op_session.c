/* SPDX-License-Identifier: MIT */
/* op_session.c - org.vmchannel.Session: who is logged in; lock, log off, tell
 */
#include "guest/session.h"

#include <string.h>

#include "guest/ops_table.h"
#include "guest/ops_text.h"

static const struct session_back_end *back_end(struct ops *o)
{
	return ops_back_end(o) == OPS_SYSTEMD ? session_logind
					      : &session_kernel;
}

static const struct session_back_end *of(struct op_call *call)
{
	return back_end(op_ops(call));
}

static const char *word(const json_t *p, const char *key)
{
	return json_string_value(json_object_get(p, key));
}

void session_none(struct op_call *call, const char *id)
{
	op_error(call, "NoSuchSession",
		 json_pack("{s:o}", "id", op_text(id, SESSION_ID_MAX)));
}

void session_no_user(struct op_call *call, uid_t uid)
{
	op_error(call, "NoSuchUser",
		 json_pack("{s:I}", "uid", (json_int_t)uid));
}

/* ---- events -------------------------------------------------------------- */

void session_new(struct ops *o, json_t *session)
{
	ops_emit(o, SESSION ".SessionNew",
		 session ? json_pack("{s:o}", "session", session) : NULL);
}

void session_removed(struct ops *o, const char *id, uid_t uid, const char *user)
{
	ops_emit(o, SESSION ".SessionRemoved",
		 json_pack("{s:s,s:I,s:o}", "id", id, "uid", (json_int_t)uid,
			   "user", op_text(user, SESSION_USER_MAX)));
}

void session_user(struct ops *o, bool is_new, uid_t uid, const char *user)
{
	ops_emit(o, is_new ? SESSION ".UserNew" : SESSION ".UserRemoved",
		 json_pack("{s:I,s:o}", "uid", (json_int_t)uid, "user",
			   op_text(user, SESSION_USER_MAX)));
}

/* ---- the rows ------------------------------------------------------------ */

static void list_sessions(struct op_call *call, json_t *p)
{
	(void)p;
	of(call)->list(call);
}

static void list_users(struct op_call *call, json_t *p)
{
	(void)p;
	of(call)->list_users(call);
}

static void get_session(struct op_call *call, json_t *p)
{
	of(call)->get(call, word(p, "id"));
}

static void lock_session(struct op_call *call, json_t *p)
{
	of(call)->act(call, SESSION_LOCK, word(p, "id"));
}

static void unlock_session(struct op_call *call, json_t *p)
{
	of(call)->act(call, SESSION_UNLOCK, word(p, "id"));
}

static void terminate_session(struct op_call *call, json_t *p)
{
	of(call)->act(call, SESSION_TERMINATE, word(p, "id"));
}

static void activate_session(struct op_call *call, json_t *p)
{
	of(call)->act(call, SESSION_ACTIVATE, word(p, "id"));
}

static void lock_sessions(struct op_call *call, json_t *p)
{
	(void)p;
	of(call)->lock_all(call);
}

static void terminate_user(struct op_call *call, json_t *p)
{
	of(call)->terminate_user(
		call, (uid_t)json_integer_value(json_object_get(p, "uid")));
}

static void send_message(struct op_call *call, json_t *p)
{
	const json_t *uid = json_object_get(p, "uid");

	of(call)->message(call, word(p, "text"), word(p, "id"),
			  json_is_integer(uid) ? (uid_t)json_integer_value(uid)
					       : SESSION_NO_UID);
}

static const char *lock_missing(struct ops *o)
{
	op_missing_fn *fn = back_end(o)->lock_missing;

	return fn ? fn(o) : NULL;
}

static const char *activate_missing(struct ops *o)
{
	op_missing_fn *fn = back_end(o)->activate_missing;

	return fn ? fn(o) : NULL;
}

static int start(struct ops *o)
{
	return back_end(o)->start(o);
}

static void stop(struct ops *o)
{
	back_end(o)->stop(o);
}

static const struct op_row rows[] = {
	{.method = "ListSessions", .run = list_sessions},
	{.method = "GetSession", .run = get_session},
	{.method = "ListUsers", .run = list_users},
	{.method = "LockSession", .run = lock_session, .missing = lock_missing},
	{.method = "LockSessions",
	 .run = lock_sessions,
	 .missing = lock_missing},
	{.method = "UnlockSession",
	 .run = unlock_session,
	 .missing = lock_missing},
	{.method = "TerminateSession", .run = terminate_session},
	{.method = "TerminateUser", .run = terminate_user},
	{.method = "ActivateSession",
	 .run = activate_session,
	 .missing = activate_missing},
	{.method = "SendMessage", .run = send_message},
};

const struct op_interface op_session = {
	.name = SESSION,
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.start = start,
	.stop = stop,
};
