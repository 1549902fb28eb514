/* SPDX-License-Identifier: MIT */
/* op_agent.c - org.vmchannel.Agent: is it there, what can it do, what happens
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "guest/ops_internal.h"
#include "guest/ops_table.h"

#define AGENT "org.vmchannel.Agent"

static void ping(struct op_call *call, json_t *p)
{
	json_t *token = json_object_get(p, "token");
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	op_reply(call,
		 json_pack("{s:I,s:O?}", "time_us",
			   (json_int_t)t.tv_sec * 1000000 + t.tv_nsec / 1000,
			   "token", token));
}

/* One method of one interface, to that caller, here. */
static json_t *capability(struct op_call *call, const char *interface,
			  const struct op_row *row)
{
	char name[VARLINK_METHOD_MAX + 1];
	const struct idl_method *m;
	const char *missing = row->missing ? row->missing(op_ops(call)) : NULL;
	struct policy_verdict v;
	bool allowed;

	snprintf(name, sizeof(name), "%s.%s", interface, row->method);
	m = idl_method(name);
	if (!m)
		return NULL;
	allowed = op_call_allowed(op_ops(call), op_caller(call), name, m->class,
				  &v);
	return json_pack("{s:s,s:s,s:b,s:b,s:s*}", "method", name, "class",
			 idl_class_name(m->class), "available", !missing,
			 "allowed", allowed, "reason", missing);
}

static void get_info(struct op_call *call, json_t *p)
{
	json_t *list = json_array();

	(void)p;
	for (size_t i = 0; op_interfaces[i]; i++)
		for (size_t n = 0; n < op_interfaces[i]->n_rows; n++)
			json_array_append_new(
				list, capability(call, op_interfaces[i]->name,
						 &op_interfaces[i]->rows[n]));
	op_reply(call,
		 json_pack("{s:s,s:i,s:s,s:s,s:o}", "version", VMC_VERSION,
			   "pid", (int)getpid(), "boot", ops_boot(op_ops(call)),
			   "back_end",
			   ops_back_end(op_ops(call)) == OPS_SYSTEMD ? "systemd"
								     : "kernel",
			   "capabilities", list));
}

static int start(struct ops *o)
{
	ops_emit(o, AGENT ".Started",
		 json_pack("{s:s,s:i}", "version", VMC_VERSION, "pid",
			   (int)getpid()));
	return 0;
}

static const struct op_row rows[] = {
	{.method = "Ping", .run = ping},
	{.method = "GetInfo", .run = get_info},
	{.method = "Subscribe", .run = ops_subscribe},
};

const struct op_interface op_agent = {
	.name = AGENT,
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.start = start,
};
