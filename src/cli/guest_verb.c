/* SPDX-License-Identifier: MIT */
/* guest_verb.c - verbs that are one operation of the guest */
#include "cli/guest_verb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"

int guest_print(const char *vm, const json_t *o)
{
	json_t *line = json_object(), *rest = json_deep_copy(o);

	/* "vm" first, as the other verbs have it. */
	if (!rest || json_object_set_new(line, "vm", json_string(vm)) ||
	    json_object_update(line, rest)) {
		json_decref(line);
		line = NULL;
	}
	json_decref(rest);
	return cli_print_json(line);
}

/* ---- lists
 * --------------------------------------------------------------------- */

static json_t *shown(const struct guest_list *l, const json_t *reply)
{
	json_t *all = json_object_get(reply, l->list), *row, *ret;
	size_t i;

	ret = json_array();
	json_array_foreach(all, i, row) if (!l->shown || l->shown(row))
		json_array_append(ret, row);
	return ret;
}

static int print_lines(const char *vm, const json_t *rows)
{
	int r = CLI_OK;

	for (size_t i = 0; r == CLI_OK && i < json_array_size(rows); i++)
		r = guest_print(vm, json_array_get(rows, i));
	return r;
}

static int print_list(const char *vm, const struct guest_list *l,
		      const json_t *reply, long long now_us)
{
	json_t *rows = shown(l, reply);
	int r;

	if (cli_json) {
		r = print_lines(vm, rows);
	} else if (json_array_size(rows) == 0) {
		cli_note("%s: %s", cli_safe(vm), l->none);
		r = CLI_OK;
	} else {
		r = table_print(l->columns, rows, now_us);
	}
	json_decref(rows);
	return r;
}

int guest_list(const char *vm, const struct guest_list *l, json_t *parameters)
{
	struct guest_call calls[] = {
		{.method = l->method,
		 .parameters = parameters,
		 .list = l->list},
		{.method = GUEST "Agent.Ping"},
	};
	int r;

	guest_calls(vm, calls, l->clock && !cli_json ? 2 : 1, guest_deadline());
	r = guest_call_report(vm, &calls[0]);
	if (r == CLI_OK)
		r = print_list(vm, l, calls[0].reply,
			       ask_number(calls[1].reply, "time_us"));
	guest_call_done(&calls[0]);
	guest_call_done(&calls[1]);
	return r;
}

/* ---- actions
 * ------------------------------------------------------------------- */

int guest_act(const char *vm, const struct guest_act *act, json_t *parameters)
{
	struct guest_call c = {.method = act->method, .parameters = parameters};
	int r;

	guest_change(vm, &c, act->request);
	r = guest_change_report(vm, &c);
	if (r == CLI_OK && cli_json) {
		r = guest_print(vm, c.reply);
	} else if (r == CLI_OK) {
		printf("%s: ", cli_safe(vm));
		act->say(c.reply);
		(void)putchar('\n');
	}
	if (r == CLI_OK && act->count && ask_number(c.reply, act->count) == 0)
		r = CLI_NO;
	guest_call_done(&c);
	return r;
}

/* ---- users
 * --------------------------------------------------------------------- */

static bool is_number(const char *text, json_int_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' && *ret <= UINT32_MAX;
}

int guest_user(const char *vm, const char *user, json_int_t *ret)
{
	json_t *reply, *u;
	size_t i;
	int r;

	if (is_number(user, ret))
		return CLI_OK;
	r = guest_ask(vm, GUEST "Session.ListUsers", NULL, "users", &reply);
	if (r != CLI_OK)
		return r;
	r = CLI_NO;
	json_array_foreach(json_object_get(reply, "users"), i, u)
	{
		const char *name =
			json_string_value(json_object_get(u, "user"));

		if (r == CLI_OK || !name || strcmp(name, user) != 0)
			continue;
		*ret = ask_number(u, "uid");
		r = CLI_OK;
	}
	json_decref(reply);
	return r == CLI_OK
		       ? CLI_OK
		       : cli_error(CLI_NO,
				   "%s: no user '%s' is logged in; 'vmchannel "
				   "who %s' lists those who are",
				   cli_safe(vm), cli_safe(user), cli_safe(vm));
}
