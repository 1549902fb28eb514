/* SPDX-License-Identifier: MIT */
/*
 * control_call.c - from a varlink message to a method, and its replies
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/control.h"

/* One row per method. */
static const struct method methods[] = {
	{SERVICE_INTERFACE ".GetInfo", METHOD_PEER, service_get_info},
	{SERVICE_INTERFACE ".GetInterfaceDescription", METHOD_PEER,
	 service_get_description},
	{BROKER_INTERFACE ".GetInfo", 0, method_get_info},
	{BROKER_INTERFACE ".List", 0, method_list},
	{BROKER_INTERFACE ".Connect", METHOD_UPGRADE | METHOD_MOVING,
	 method_connect},
	{BROKER_INTERFACE ".Listen", METHOD_MORE, method_listen},
	{BROKER_INTERFACE ".Accept", METHOD_UPGRADE | METHOD_MOVING,
	 method_accept},
	{BROKER_INTERFACE ".Reject", METHOD_MOVING, method_reject},
	{BROKER_INTERFACE ".Resume", METHOD_UPGRADE, method_resume},
	{BROKER_INTERFACE ".Follow", METHOD_MORE, method_follow},
	{BROKER_INTERFACE ".StreamStatus", 0, method_stream_status},
	{BROKER_INTERFACE ".Streams", 0, method_streams},
	{BROKER_INTERFACE ".Monitor", METHOD_MORE, method_monitor},
	{BROKER_INTERFACE ".Stats", 0, method_stats},
	{BROKER_INTERFACE ".CheckPolicy", 0, method_check_policy},
	{BROKER_INTERFACE ".Reload", METHOD_OWNER, method_reload},
	{BROKER_INTERFACE ".Upgrade", METHOD_OWNER, method_upgrade},
	{BROKER_INTERFACE ".Moved", METHOD_OWNER, method_moved},
};

#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

void conn_reply(struct control_conn *c, json_t *params, bool continues)
{
	size_t len = 0;
	char *text;

	if (!c->oneway) {
		text = varlink_reply_text(NULL, params, continues, &len);
		control_put(c, text, len);
	}
	json_decref(params);
}

static void full_error_name(char *ret, size_t size, const char *error)
{
	snprintf(ret, size, "%s%s",
		 strchr(error, '.') ? "" : BROKER_INTERFACE ".", error);
}

void conn_error(struct control_conn *c, const char *error, json_t *params)
{
	char name[VARLINK_METHOD_MAX + 1];
	size_t len = 0;
	char *text;

	c->b->count.control_errors++;
	full_error_name(name, sizeof(name), error);
	if (!c->oneway) {
		text = varlink_reply_text(name, params, false, &len);
		control_put(c, text, len);
	}
	json_decref(params);
}

void call_reply(struct control_call *call, json_t *params)
{
	conn_reply(call->c, params, false);
}

void call_continue(struct control_call *call, json_t *params)
{
	conn_reply(call->c, params, true);
}

void call_error(struct control_call *call, const char *error, json_t *params)
{
	conn_error(call->c, error, params);
}

void call_invalid(struct control_call *call, const char *parameter)
{
	call_error(call, SERVICE_INTERFACE ".InvalidParameter",
		   json_pack("{s:s}", "parameter", parameter));
}

/* ---- refusals ---------------------------------------------------------- */

static const char *refusal_error(unsigned int reason)
{
	switch (reason) {
	case VMC_REASON_NO_SERVICE:
		return "NoSuchChannel";
	case VMC_REASON_DENIED:
		return "Denied";
	case VMC_REASON_NO_PEER:
	case VMC_REASON_SESSION_LOST:
		return "NoPeer";
	case VMC_REASON_LIMIT:
		return "LimitReached";
	default:
		return "Refused";
	}
}

/* Of a call in a channel's place. */
static char *no_interface_text(const char *channel, size_t *ret_len)
{
	json_t *params = json_pack("{s:s}", "interface", channel);
	char *text = varlink_reply_text(SERVICE_INTERFACE ".InterfaceNotFound",
					params, false, ret_len);

	json_decref(params);
	return text;
}

static json_t *refusal_params(const char *channel, const struct refusal *why)
{
	switch (why->reason) {
	case VMC_REASON_NO_SERVICE:
		return json_pack("{s:s}", "channel", channel);
	case VMC_REASON_DENIED:
		return json_pack("{s:s,s:s}", "channel", channel, "rule",
				 why->rule[0] ? why->rule : "peer");
	case VMC_REASON_NO_PEER:
	case VMC_REASON_SESSION_LOST:
		return json_pack("{s:s}", "detail",
				 vmc_reason_text(why->reason));
	case VMC_REASON_LIMIT:
		return json_pack("{s:s,s:I}", "limit",
				 why->limit ? why->limit : "of-the-peer",
				 "value", (json_int_t)why->value);
	default:
		return json_pack("{s:s,s:s}", "channel", channel, "reason",
				 vmc_reason_name(why->reason));
	}
}

void call_refused(struct control_call *call, const char *channel,
		  const struct refusal *why)
{
	call_error(call, refusal_error(why->reason),
		   refusal_params(channel, why));
}

char *control_refusal_text(const char *channel, const struct refusal *why,
			   bool of_call, size_t *ret_len)
{
	char name[VARLINK_METHOD_MAX + 1];
	json_t *params;
	char *text;

	if (of_call && why->reason == VMC_REASON_NO_SERVICE)
		return no_interface_text(channel, ret_len);
	params = refusal_params(channel, why);

	full_error_name(name, sizeof(name), refusal_error(why->reason));
	text = varlink_reply_text(name, params, false, ret_len);
	json_decref(params);
	return text;
}

char *control_id_reply_text(const struct broker *b, const struct stream *st,
			    size_t *ret_len)
{
	char id[STREAM_ID_MAX], token[TOKEN_TEXT];
	json_t *params;
	char *text;

	stream_id_text(b, st->number, id);
	params = json_pack("{s:s}", "id", id);
	token_text(st->token, token);
	if (st->follow)
		json_object_set_new(params, "token", json_string(token));
	text = varlink_reply_text(NULL, params, false, ret_len);
	json_decref(params);
	return text;
}

/* ---- parameters -------------------------------------------------------- */

static bool take_value(const struct arg *a, json_t *v)
{
	switch (a->type) {
	case ARG_STRING:
		if (!json_is_string(v))
			return false;
		*(const char **)a->ret = json_string_value(v);
		return true;
	case ARG_BOOL:
		if (!json_is_boolean(v))
			return false;
		*(bool *)a->ret = json_is_true(v);
		return true;
	case ARG_UINT:
		if (!json_is_integer(v) || json_integer_value(v) < 0)
			return false;
		*(uint64_t *)a->ret = (uint64_t)json_integer_value(v);
		return true;
	case ARG_OBJECT:
		if (!json_is_object(v))
			return false;
		*(json_t **)a->ret = v;
		return true;
	default:
		return false;
	}
}

static bool is_known(const char *name, const struct arg *args, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(args[i].name, name) == 0)
			return true;
	}
	return false;
}

const char *args_take(json_t *object, const struct arg *args, size_t n)
{
	const char *key;
	json_t *v;

	for (size_t i = 0; i < n; i++) {
		v = json_object_get(object, args[i].name);
		if ((!v || json_is_null(v)) && args[i].optional)
			continue;
		if (!v || !take_value(&args[i], v))
			return args[i].name;
	}
	json_object_foreach(object, key, v)
	{
		if (!is_known(key, args, n))
			return key;
	}
	return NULL;
}

bool call_args(struct control_call *call, const struct arg *args, size_t n)
{
	const char *bad = args_take(call->msg->parameters, args, n);

	if (bad)
		call_invalid(call, bad);
	return !bad;
}

/* ---- dispatch ----------------------------------------------------------- */

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < N_METHODS; i++) {
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

/* Not one of ours; perhaps the other side has it. */
static void unknown_method(struct control_call *call)
{
	const char *name = call->msg->method;
	const char *dot = strrchr(name, '.');
	size_t len = dot ? (size_t)(dot - name) : strlen(name);
	char interface[VARLINK_METHOD_MAX + 1];

	if (dot && ((len == strlen(BROKER_INTERFACE) &&
		     strncmp(name, BROKER_INTERFACE, len) == 0) ||
		    (len == strlen(SERVICE_INTERFACE) &&
		     strncmp(name, SERVICE_INTERFACE, len) == 0))) {
		call_error(call, SERVICE_INTERFACE ".MethodNotFound",
			   json_pack("{s:s}", "method", name));
		return;
	}
	snprintf(interface, sizeof(interface), "%.*s", (int)len, name);
	if (!call->c->creds.peer) {
		control_forward(call, interface, call->msg->more,
				call->msg->upgrade);
		return;
	}
	call_error(call, SERVICE_INTERFACE ".InterfaceNotFound",
		   json_pack("{s:s}", "interface", interface));
}

static const char *missing(const struct control_call *call,
			   const struct method *m)
{
	if ((m->flags & METHOD_MORE) && !call->msg->more)
		return "NeedsMore";
	if ((m->flags & METHOD_UPGRADE) && !call->msg->upgrade)
		return "NeedsUpgrade";
	/* After an upgrade nobody could read varlink any more. */
	if (!(m->flags & METHOD_UPGRADE) && call->msg->upgrade)
		return SERVICE_INTERFACE ".MethodNotImplemented";
	if ((m->flags & METHOD_OWNER) &&
	    !creds_is_owner(call->b, &call->c->creds))
		return "NotAllowed";
	return NULL;
}

void control_hold(struct control_conn *c, const struct varlink_msg *msg)
{
	c->held = malloc(sizeof(*c->held));
	if (!c->held) {
		conn_error(
			c, "LimitReached",
			json_pack("{s:s,s:i}", "limit", "memory", "value", 0));
		return;
	}
	*c->held = *msg;
	json_incref(msg->parameters);
	c->mode = CONTROL_HELD;
}

void control_dispatch(struct control_conn *c, const struct varlink_msg *msg)
{
	struct control_call call = {.b = c->b, .c = c, .msg = msg};
	const struct method *m = find_method(msg->method);
	const char *error;

	c->b->count.control_calls++;
	c->oneway = msg->oneway;
	c->more = msg->more;
	if (!m || (c->creds.peer && !(m->flags & METHOD_PEER))) {
		unknown_method(&call);
		return;
	}
	error = missing(&call, m);
	if (!error && (m->flags & METHOD_MOVING) && c->b->frozen) {
		control_hold(c, msg);
		return;
	}
	if (!error) {
		m->call(&call);
		return;
	}
	call_error(&call, error,
		   strchr(error, '.') ? json_pack("{s:s}", "method", m->name)
				      : NULL);
}
