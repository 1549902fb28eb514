/* SPDX-License-Identifier: MIT */
/*
 * control_life.c - Upgrade, Moved
 */
#include <stdio.h>
#include <string.h>

#include "broker/control.h"

static void not_implemented(struct control_call *call)
{
	call_error(call, SERVICE_INTERFACE ".MethodNotImplemented",
		   json_pack("{s:s}", "method", call->msg->method));
}

void method_upgrade(struct control_call *call)
{
	struct broker *b = call->b;
	bool running = false;

	if (!call_args(call, NULL, 0))
		return;
	if (!b->ops->upgrade) {
		not_implemented(call);
		return;
	}
	for (const struct control_conn *c = b->control.list; c; c = c->next)
		running |= c->mode == CONTROL_UPGRADING;
	call->c->mode = CONTROL_UPGRADING;
	if (!running) /* else the answer is for all who wait */
		b->ops->upgrade(b->data);
}

void broker_upgraded(struct broker *b, const char *error)
{
	for (struct control_conn *c = b->control.list; c; c = c->next) {
		if (c->mode != CONTROL_UPGRADING)
			continue;
		c->mode = CONTROL_CALLS;
		if (error)
			conn_error(c, "UpgradeFailed",
				   json_pack("{s:s}", "detail", error));
		else
			conn_reply(c, NULL, false);
	}
	b->control_again = true;
	pump_kick(b);
}

static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

void method_moved(struct control_call *call)
{
	const char *destination = NULL;
	const struct arg args[] = {
		{"destination", ARG_STRING, false, &destination},
	};
	struct broker *b = call->b;

	if (!call_args(call, args, 1))
		return;
	if (b->role != VMC_ROLE_HOST) {
		not_implemented(call);
		return;
	}
	if (strlen(destination) > DESTINATION_MAX ||
	    !is_printable(destination)) {
		call_invalid(call, "destination");
		return;
	}
	strcpy(b->destination, destination);
	arena_note_texts(b);
	if (b->ops->moved)
		b->ops->moved(b->data, destination);
	call_reply(call, NULL);
}
