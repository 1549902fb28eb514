/* SPDX-License-Identifier: MIT */
/*
 * ops_call.c - from a message to a row, and back
 *
 * Every check that does not depend on what the operation is stands here, in
 * order: is there such a method, may it be called so, are its parameters what
 * the interface file says, does policy allow it, was it done already.
 */
#include "broker/log.h"
#include "guest/ops_internal.h"
#include "guest/ops_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "org.varlink.service"
/* A reply in parts is cut at about that size: envelope and commas are extra. */
/* Of the interface org.vmchannel. */
#define OP_ERROR_NAME_MAX    255
#define OP_DETAIL_MAX        255
#define OP_FAILED_DETAIL_MAX 1023
#define PART_MAX             (VARLINK_MSG_MAX - 4096)

/* ---- what a row may ask -------------------------------------------------- */

struct ops *op_ops(const struct op_call *call)
{
	return call->o;
}

const struct vmc_caller *op_caller(const struct op_call *call)
{
	return call->conn ? &call->conn->caller : NULL;
}

bool op_more(const struct op_call *call)
{
	return call->more;
}

void op_on_cancel(struct op_call *call, op_cancel_fn *fn, void *data)
{
	call->on_cancel = fn;
	call->cancel_data = data;
}

void op_stream(struct op_call *call, op_pump_fn *fn, void *data)
{
	call->pump = fn;
	call->pump_data = data;
	ops_conn_deadline(call->conn, 0);
	op_wake(call);
}

void op_wake(struct op_call *call)
{
	ops_conn_go_on(call->conn);
}

static const char *full_name(const struct op_call *call, char *buf, size_t size)
{
	snprintf(buf, size, "%s.%s", call->interface, call->method->name);
	return buf;
}

/* ---- the end of a call --------------------------------------------------- */

static void forget(struct op_call *call)
{
	struct op_conn *c = call->conn;

	if (call->child)
		ops_child_give_up(call->child);
	if (c) {
		c->call = NULL;
		ops_conn_deadline(c, 0);
	}
	json_decref(call->parameters);
	free(call);
	if (c)
		ops_conn_go_on(c);
}

static void request_ended(const struct op_call *call, const char *text,
			  size_t len)
{
	if (call->request[0] != '\0')
		ops_request_end(call->o->requests, call->request, text, len);
}

/* Sends @text (consumed; NULL: no memory). */
static void say(struct op_call *call, char *text, size_t len, bool last)
{
	if (!call->conn) {
		ops_child_say(call, text, len, last);
		return;
	}
	if (last)
		request_ended(call, text, len);
	ops_conn_put(call->conn, text, len);
	if (last)
		forget(call);
}

void op_call_cancel(struct op_call *call)
{
	op_cancel_fn *fn = call->on_cancel;

	call->on_cancel = NULL;
	if (fn)
		fn(call, call->cancel_data);
	call->conn->call = NULL;
	if (call->child)
		ops_child_give_up(call->child);
	json_decref(call->parameters);
	free(call);
}

void op_call_timed_out(struct op_call *call)
{
	op_cancel_fn *fn = call->on_cancel;
	unsigned int ms = call->row->deadline_ms ? call->row->deadline_ms
						 : OP_DEADLINE_MS;
	char name[VARLINK_METHOD_MAX + 1];

	call->on_cancel = NULL;
	if (fn)
		fn(call, call->cancel_data);
	full_name(call, name, sizeof(name));
	op_error(call, OP_COMMON "TimedOut",
		 json_pack("{s:s,s:I}", "operation", name, "after_ms",
			   (json_int_t)ms));
}

/* ---- replies ------------------------------------------------------------- */

/* What the interface file says about it; NULL: nothing. */
static const struct idl_struct *reply_type(const struct op_call *call,
					   const char *error)
{
	const struct idl_named *e;

	if (!error)
		return &call->method->out;
	e = idl_error(error);
	return e ? e->fields : NULL;
}

/* Return: is it what the interface file says? Our own mistake if not. */
static bool is_right(const struct op_call *call, const char *error, json_t *p)
{
	const struct idl_struct *type = reply_type(call, error);
	char where[IDL_WHERE_MAX] = "its name";

	if (type && idl_check(type, p, IDL_REFUSE, where))
		return true;
	log_error("ev=bad-reply method=%s.%s error=%s at=\"%s\"",
		  call->interface, call->method ? call->method->name : "-",
		  error ? error : "-", where);
	return false;
}

/* The last resort: made of nothing that could be wrong again. */
static void put_failed(struct op_call *call, const char *name,
		       const char *detail)
{
	char op[VARLINK_METHOD_MAX + 1];
	json_t *p = json_pack("{s:s,s:s,s:s}", "operation",
			      full_name(call, op, sizeof(op)), "name", name,
			      "detail", detail);
	size_t len = 0;
	char *text = varlink_reply_text(OP_COMMON "Failed", p, false, &len);

	json_decref(p);
	say(call, text, len, true);
}

/* Consumes @p. Return: the message, or NULL: it cannot be sent. */
static char *encode(const struct op_call *call, const char *error, json_t *p,
		    bool last, size_t *ret_len)
{
	char *text = NULL;

	if (p && !call->failed && is_right(call, error, p))
		text = varlink_reply_text(error, p, !last, ret_len);
	json_decref(p);
	if (text && *ret_len > VARLINK_MSG_MAX) {
		log_error("ev=large-reply method=%s.%s bytes=%zu",
			  call->interface, call->method->name, *ret_len);
		free(text);
		text = NULL;
	}
	return text;
}

static void put(struct op_call *call, const char *error, json_t *p, bool last)
{
	size_t len = 0;
	char *text = encode(call, error, p, last, &len);

	if (text)
		say(call, text, len, last);
	else if (last)
		put_failed(call, "", "the answer could not be made");
	else
		call->failed = true;
}

void op_reply(struct op_call *call, json_t *parameters)
{
	put(call, NULL, parameters, true);
}

void op_reply_part(struct op_call *call, json_t *parameters)
{
	put(call, NULL, parameters, false);
}

void op_error(struct op_call *call, const char *error, json_t *parameters)
{
	char name[VARLINK_METHOD_MAX + 1];

	snprintf(name, sizeof(name), "%s%s%s",
		 strchr(error, '.') ? "" : call->interface,
		 strchr(error, '.') ? "" : ".", error);
	put(call, name, parameters ? parameters : json_object(), true);
}

void op_failed_as(struct op_call *call, const char *name, const char *detail)
{
	char op[VARLINK_METHOD_MAX + 1];

	op_error(call, OP_COMMON "Failed",
		 json_pack("{s:s,s:o,s:o}", "operation",
			   full_name(call, op, sizeof(op)), "name",
			   op_text(name, OP_ERROR_NAME_MAX), "detail",
			   op_text(detail, OP_FAILED_DETAIL_MAX)));
}

void op_failed(struct op_call *call, int error, const char *detail)
{
	op_failed_as(call, strerrorname_np(error < 0 ? -error : error), detail);
}

void op_invalid(struct op_call *call, const char *parameter)
{
	op_error(call, SERVICE ".InvalidParameter",
		 json_pack("{s:s}", "parameter", parameter));
}

void op_not_supported(struct op_call *call, const char *detail)
{
	char op[VARLINK_METHOD_MAX + 1];

	op_error(call, OP_COMMON "NotSupported",
		 json_pack("{s:s,s:o}", "operation",
			   full_name(call, op, sizeof(op)), "detail",
			   op_text(detail, OP_DETAIL_MAX)));
}

static size_t json_size(const json_t *v)
{
	return json_dumpb(v, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) + 1;
}

/* The next part of @array, from *@at on. */
static json_t *take_part(json_t *array, size_t *at)
{
	json_t *part = json_array();
	size_t size = 0;

	for (; part && *at < json_array_size(array); ++*at) {
		json_t *v = json_array_get(array, *at);

		size += json_size(v);
		if (size > PART_MAX && json_array_size(part) > 0)
			break;
		json_array_append(part, v);
	}
	return part;
}

void op_reply_list(struct op_call *call, const char *key, json_t *array)
{
	char op[VARLINK_METHOD_MAX + 1];
	size_t at = 0, n = array ? json_array_size(array) : 0;
	json_t *part = array ? take_part(array, &at) : NULL;

	if (at < n && !call->more) {
		json_decref(part);
		op_error(call, OP_COMMON "TooLarge",
			 json_pack("{s:s,s:i}", "operation",
				   full_name(call, op, sizeof(op)), "limit",
				   (int)VARLINK_MSG_MAX));
		json_decref(array);
		return;
	}
	while (at < n) {
		op_reply_part(call, json_pack("{s:o}", key, part));
		part = take_part(array, &at);
	}
	op_reply(call, part ? json_pack("{s:o}", key, part) : NULL);
	json_decref(array);
}

int op_upgrade(struct op_call *call, json_t *parameters, char **ret_rest,
	       size_t *ret_len)
{
	struct op_conn *c = call->conn;
	bool ok = parameters && is_right(call, NULL, parameters);
	size_t len = 0;
	char *text =
		ok ? varlink_reply_text(NULL, parameters, false, &len) : NULL;
	int fd;

	json_decref(parameters);
	if (!text) {
		put_failed(call, "", "the answer could not be made");
		return -1;
	}
	if (!c)
		return ops_child_upgrade(call, text, len, ret_rest, ret_len);
	request_ended(call, text, len);
	ops_conn_put(c, text, len);
	fd = ops_conn_release(c, ret_rest, ret_len);
	if (fd < 0) {
		c->broken = true;
		forget(call);
		return -1;
	}
	c->call = NULL;
	json_decref(call->parameters);
	free(call);
	return fd;
}

/* ---- the beginning of a call --------------------------------------------- */

bool op_call_allowed(const struct ops *o, const struct vmc_caller *who,
		     const char *name, enum idl_class class,
		     struct policy_verdict *ret)
{
	/* Who comes from the host was let through by the host's broker. */
	const struct policy_caller caller = {
		.side = who->side,
		.owner = who->side == VMC_PRINCIPAL_HOST,
		.uid = who->uid,
		.gid = who->gid,
	};

	policy_check_call(o->policy, name, idl_class_name(class), &caller, ret);
	return ret->allowed;
}

/* An answer without a call. */
static void answer(struct op_conn *c, const char *error, json_t *p)
{
	size_t len = 0;
	char *text = p ? varlink_reply_text(error, p, false, &len) : NULL;

	json_decref(p);
	ops_conn_put(c, text, len);
}

static void answer_word(struct op_conn *c, const char *error, const char *key,
			const char *word)
{
	answer(c, error, json_pack("{s:s}", key, word));
}

static void service_info(struct op_conn *c)
{
	answer(c, NULL,
	       json_pack("{s:s,s:s,s:s,s:s,s:[s,s,s]}", "vendor", "vmchannel",
			 "product", "vmchannel-operations", "version",
			 VMC_VERSION, "url", "", "interfaces", SERVICE,
			 "org.vmchannel", c->iface->name));
}

static void service_description(struct op_conn *c, const json_t *p)
{
	const char *name = json_string_value(json_object_get(p, "interface"));
	bool known = strcmp(name, SERVICE) == 0 ||
		     strcmp(name, "org.vmchannel") == 0 ||
		     strcmp(name, c->iface->name) == 0;

	if (known)
		answer_word(c, NULL, "description", idl_description(name));
	else
		answer_word(c, SERVICE ".InterfaceNotFound", "interface", name);
}

static bool check_parameters(struct op_conn *c, const struct idl_method *m,
			     json_t *p)
{
	char where[IDL_WHERE_MAX];

	if (idl_check(&m->in, p, IDL_REFUSE, where))
		return true;
	answer_word(c, SERVICE ".InvalidParameter", "parameter", where);
	return false;
}

static void service_call(struct op_conn *c, const struct idl_method *m,
			 json_t *p)
{
	if (!check_parameters(c, m, p))
		return;
	if (strcmp(m->name, "GetInfo") == 0)
		service_info(c);
	else
		service_description(c, p);
}

static const struct op_row *find_row(const struct op_interface *i,
				     const char *method)
{
	for (size_t n = 0; n < i->n_rows; n++)
		if (strcmp(i->rows[n].method, method) == 0)
			return &i->rows[n];
	return NULL;
}

/* The channel is that of one interface: its policy must not be gone round by
 * way of another one. Return: NULL, and it was answered. */
static const struct idl_method *find_method(struct op_conn *c, const char *name)
{
	const char *dot = strrchr(name, '.');
	char interface[VARLINK_METHOD_MAX + 1];
	const struct idl_method *m;

	snprintf(interface, sizeof(interface), "%.*s", (int)(dot - name), name);
	if (strcmp(interface, c->iface->name) != 0 &&
	    strcmp(interface, SERVICE) != 0) {
		answer_word(c, SERVICE ".InterfaceNotFound", "interface",
			    interface);
		return NULL;
	}
	m = idl_method(name);
	if (!m)
		answer_word(c, SERVICE ".MethodNotFound", "method", name);
	return m;
}

/* Return: false, and it was answered. */
static bool is_called_right(struct op_conn *c, const struct idl_method *m,
			    const struct varlink_msg *msg)
{
	if (m->more && !msg->more)
		answer(c, SERVICE ".ExpectedMore", json_object());
	else if (m->upgrade && !msg->upgrade)
		answer_word(c, OP_COMMON "NeedsUpgrade", "operation",
			    msg->method);
	else if (!m->upgrade && msg->upgrade)
		answer_word(c, SERVICE ".MethodNotImplemented", "method",
			    msg->method);
	else
		return check_parameters(c, m, msg->parameters);
	return false;
}

static bool is_allowed(struct op_conn *c, const struct idl_method *m,
		       const char *name)
{
	struct policy_verdict v;

	if (op_call_allowed(c->o, &c->caller, name, m->class, &v))
		return true;
	log_limited(uv_hrtime() / 1000, LOG_LEVEL_INFO,
		    "ev=denied method=%s caller=%s:%u rule=%s", name,
		    c->caller.side == VMC_PRINCIPAL_HOST ? "host" : "guest",
		    (unsigned int)c->caller.uid, v.rule);
	answer(c, OP_COMMON "PolicyDenied",
	       json_pack("{s:s,s:s,s:s}", "operation", name, "class",
			 idl_class_name(m->class), "rule", v.rule));
	return false;
}

static struct op_call *new_call(struct op_conn *c, const struct op_row *row,
				const struct idl_method *m,
				const struct varlink_msg *msg)
{
	struct op_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->o = c->o;
	call->conn = c;
	call->pipe = -1;
	call->interface = c->iface->name;
	call->row = row;
	call->method = m;
	call->more = msg->more;
	call->parameters = json_incref(msg->parameters);
	c->call = call;
	ops_conn_deadline(c,
			  row->deadline_ms ? row->deadline_ms : OP_DEADLINE_MS);
	return call;
}

/* Return: false: it was done, or is being done, and was answered. */
static bool begin_request(struct op_conn *c, struct op_call *call,
			  const char *name)
{
	const char *id =
		json_string_value(json_object_get(call->parameters, "request"));
	const struct ops_request what = {
		.id = id,
		.method = name,
		.uid = c->caller.uid,
		.parameters = call->parameters,
	};
	const char *text = NULL;
	size_t len = 0;
	char *copy;

	if (!id)
		return true;
	switch (ops_request_begin(c->o->requests, &what, &text, &len)) {
	case OPS_REQUEST_NEW:
		snprintf(call->request, sizeof(call->request), "%s", id);
		return true;
	case OPS_REQUEST_RUNNING:
		op_error(call, OP_COMMON "RequestRunning",
			 json_pack("{s:s}", "request", id));
		return false;
	case OPS_REQUEST_INTERRUPTED:
		op_error(call, OP_COMMON "RequestInterrupted",
			 json_pack("{s:s}", "request", id));
		return false;
	case OPS_REQUEST_DONE:
		copy = malloc(len);
		if (copy)
			memcpy(copy, text, len);
		say(call, copy, len, true);
		return false;
	case OPS_REQUEST_OTHER:
	default:
		op_invalid(call, "request");
		return false;
	}
}

static void run(struct op_conn *c, struct op_call *call, const char *name)
{
	const struct op_row *row = call->row;
	const char *missing = row->missing ? row->missing(c->o) : NULL;

	if (missing)
		op_not_supported(call, missing);
	else if (!begin_request(c, call, name))
		return;
	else if (row->flags & OP_BLOCKING)
		ops_child_run(call);
	else
		row->run(call, call->parameters);
}

void op_call_begin(struct op_conn *c, struct varlink_msg *msg)
{
	const struct idl_method *m;
	const struct op_row *row;
	struct op_call *call;

	c->silent = msg->oneway;
	m = find_method(c, msg->method);
	if (!m)
		return;
	if (m->class == IDL_NO_CLASS) {
		service_call(c, m, msg->parameters);
		return;
	}
	row = find_row(c->iface, m->name);
	if (!row) {
		answer_word(c, SERVICE ".MethodNotImplemented", "method",
			    msg->method);
		return;
	}
	if (!is_called_right(c, m, msg) || !is_allowed(c, m, msg->method))
		return;
	call = new_call(c, row, m, msg);
	if (call)
		run(c, call, msg->method);
	else
		ops_conn_put(c, NULL, 0);
}
