/* SPDX-License-Identifier: MIT */
/*
 * control_info.c - GetInfo, Stats, CheckPolicy, Reload
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/control.h"
#include "varlink/idl.h"

static const char *link_state(const struct broker *b)
{
	if (b->link.fd < 0)
		return "down";
	if (!b->up)
		return "connected";
	return b->stalled ? "stalled" : "up";
}

static const char *link_detail(const struct broker *b)
{
	const char *deaf = watchdog_detail(b);

	return deaf ? deaf : b->detail;
}

void method_get_info(struct control_call *call)
{
	struct broker *b = call->b;
	struct vmc_session_stats s;
	char peer[17];
	json_t *o;

	if (!call_args(call, NULL, 0))
		return;
	vmc_session_get_stats(b->session, &s);
	o = json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:I}", "version",
		      VMC_VERSION, "side", side_name(b->side), "vm", b->vm,
		      "pid", (int)getpid(), "instance", b->instance_text,
		      "link", link_state(b), "link_detail", link_detail(b),
		      "protocol", (json_int_t)s.version);
	if (b->uuid)
		json_object_set_new(o, "uuid", json_string(b->uuid));
	if (b->up) {
		snprintf(peer, sizeof(peer), "%016" PRIx64, s.peer_instance);
		json_object_set_new(o, "peer_instance", json_string(peer));
	}
	if (b->life)
		json_object_set_new(o, "life", json_string(b->life));
	if (b->vmstate)
		json_object_set_new(o, "vmstate", json_string(b->vmstate));
	if (b->qmp)
		json_object_set_new(o, "qmp", json_string(b->qmp));
	call_reply(call, o);
}

static void set_count(json_t *o, const char *name, uint64_t value)
{
	json_object_set_new(o, name, json_integer((json_int_t)value));
}

static json_t *session_stats(const struct broker *b)
{
	struct vmc_session_stats s;
	json_t *o = json_object();

	vmc_session_get_stats(b->session, &s);
#define X(name, text) set_count(o, #name, s.name);
	VMC_SESSION_COUNTERS(X)
#undef X
	set_count(o, "state", s.state);
	set_count(o, "streams", s.streams);
	set_count(o, "names_local", s.names_local);
	set_count(o, "names_peer", s.names_peer);
	set_count(o, "inflight_bytes", s.inflight_bytes);
	set_count(o, "inflight_charge", s.inflight_charge);
	set_count(o, "inflight_writes", s.inflight_writes);
	set_count(o, "pool_granted", s.pool_granted);
	set_count(o, "pool_used", s.pool_used);
	set_count(o, "max_frame", s.max_frame);
	set_count(o, "version", s.version);
	set_count(o, "features", s.features);
	set_count(o, "epoch", s.epoch);
	set_count(o, "attach_no", s.attach_no);
	return o;
}

static json_t *broker_stats(const struct broker *b)
{
	json_t *o = json_object();

#define X(name, text) set_count(o, #name, b->count.name);
	BROKER_COUNTERS(X)
#undef X
	set_count(o, "streams", b->n_streams);
	set_count(o, "control_connections", b->control.n);
	set_count(o, "connect_pending", b->connect.n);
	set_count(o, "events", b->events.last_seq);
	return o;
}

void method_stats(struct control_call *call)
{
	if (!call_args(call, NULL, 0))
		return;
	call_reply(call,
		   json_pack("{s:o,s:o}", "session", session_stats(call->b),
			     "broker", broker_stats(call->b)));
}

/* ---- CheckPolicy -------------------------------------------------------- */

static bool parse_operation(const char *text, enum policy_op *ret)
{
	static const char *const words[] = {
		[POLICY_CONNECT] = "connect",
		[POLICY_LISTEN] = "listen",
		[POLICY_CALL] = "call",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i], text) != 0)
			continue;
		*ret = (enum policy_op)i;
		return true;
	}
	return false;
}

/* What such an operation is about: a channel, or one of the guest's methods. */
static bool is_subject(enum policy_op op, const char *name)
{
	const struct idl_method *m;

	if (op != POLICY_CALL)
		return vmc_name_valid(name, strlen(name));
	m = idl_method(name);
	if (m)
		return m->class != IDL_NO_CLASS;
	/* Perhaps of a service that is offered; of ours there is no such. */
	return policy_method_valid(name) &&
	       strncmp(name, "org.vmchannel.", strlen("org.vmchannel.")) != 0;
}

static bool parse_caller(const struct broker *b, json_t *o, struct creds *ret)
{
	const char *side = NULL;
	uint64_t uid = 0, gid = 0;
	const struct arg args[] = {
		{"side", ARG_STRING, false, &side},
		{"uid", ARG_UINT, false, &uid},
		{"gid", ARG_UINT, false, &gid},
	};

	if (args_take(o, args, 3) || uid > UINT32_MAX || gid > UINT32_MAX)
		return false;
	if (strcmp(side, "host") != 0 && strcmp(side, "guest") != 0)
		return false;
	*ret = (struct creds){
		.who = {.kind = strcmp(side, "host") == 0 ? VMC_PRINCIPAL_HOST
							  : VMC_PRINCIPAL_GUEST,
			.uid = (uint32_t)uid,
			.gid = (uint32_t)gid},
	};
	ret->peer = ret->who.kind != b->side;
	return true;
}

void method_check_policy(struct control_call *call)
{
	const char *operation = NULL, *channel = NULL;
	json_t *caller = NULL;
	const struct arg args[] = {
		{"operation", ARG_STRING, false, &operation},
		{"channel", ARG_STRING, false, &channel},
		{"caller", ARG_OBJECT, false, &caller},
	};
	struct policy_verdict v;
	struct creds who;
	enum policy_op op;

	if (!call_args(call, args, 3))
		return;
	if (!parse_operation(operation, &op) ||
	    (op == POLICY_CALL && call->b->side == VMC_PRINCIPAL_HOST)) {
		call_invalid(call, "operation");
		return;
	}
	if (!parse_caller(call->b, caller, &who)) {
		call_invalid(call, "caller");
		return;
	}
	if (!is_subject(op, channel)) {
		call_error(call, "InvalidName",
			   json_pack("{s:s}", "channel", channel));
		return;
	}
	/* Others may ask about themselves only. */
	if (!creds_is_owner(call->b, &call->c->creds) &&
	    (who.peer || who.who.uid != call->c->creds.who.uid)) {
		call_error(call, "NotAllowed", NULL);
		return;
	}
	creds_check(call->b, &who, op, channel, &v);
	call_reply(call, json_pack("{s:b,s:s}", "allowed", v.allowed, "rule",
				   v.rule));
}

/* ---- Reload -------------------------------------------------------------- */

void method_reload(struct control_call *call)
{
	struct broker *b = call->b;

	if (!call_args(call, NULL, 0))
		return;
	call->c->mode = CONTROL_RELOADING;
	if (b->reloading)
		return; /* the answer is for all who wait */
	b->reloading = true;
	b->ops->reload(b->data);
}

void broker_reloaded(struct broker *b, const char *error)
{
	struct control_conn *next;

	b->reloading = false;
	if (!error)
		broker_emit(b, &(struct event){.type = EVENT_POLICY_RELOADED});
	for (struct control_conn *c = b->control.list; c; c = next) {
		next = c->next;
		if (c->mode != CONTROL_RELOADING)
			continue;
		c->mode = CONTROL_CALLS;
		if (error)
			conn_error(c, "ConfigError",
				   json_pack("{s:s}", "detail", error));
		else
			conn_reply(c, NULL, false);
	}
	b->control_again = true;
	pump_kick(b);
}
