/* SPDX-License-Identifier: MIT */
/* ask.c - questions to the broker of this side */
#include "cli/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmchannel/vmchannel.h>

#include "cli/cli.h"

#define BROKER "org.vmchannel.Broker."

const char *ask_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? cli_safe(s) : "";
}

long long ask_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* Takes the one reply. */
static int finish(struct vmc_call *c, int timeout_ms, json_t **ret,
		  char **ret_error)
{
	const char *text, *error;
	int r = vmc_call_reply(c, &text, &error, timeout_ms);

	if (r < 0)
		return r;
	*ret = json_loads(text, 0, NULL);
	*ret_error = error ? strdup(error) : NULL;
	if (*ret && (*ret_error || !error))
		return 0;
	json_decref(*ret);
	free(*ret_error);
	*ret = NULL;
	*ret_error = NULL;
	return -ENOMEM;
}

int ask_quiet(const char *vm, const char *method, json_t *parameters,
	      int timeout_ms, json_t **ret, char **ret_error)
{
	char *text = parameters ? json_dumps(parameters, JSON_COMPACT) : NULL;
	char full[128];
	struct vmc_call *c;
	int r;

	json_decref(parameters);
	snprintf(full, sizeof(full), BROKER "%s", method);
	r = vmc_call_start(&c, vm, full, text, VMC_CALL_LOCAL, timeout_ms);
	free(text);
	if (r < 0)
		return r;
	r = finish(c, timeout_ms, ret, ret_error);
	vmc_call_free(c);
	return r;
}

/* Errors of the methods that verbs ask by themselves. */
static const struct {
	const char *error;
	int status;
	const char *text;
} errors[] = {
	{BROKER "NotAllowed", CLI_REFUSED,
	 "this user may not ask that; become root or the user who runs the VM"},
	{BROKER "NoSuchStream", CLI_MISSING,
	 "the broker knows no such stream (any more); 'vmchannel status VM' "
	 "lists those that exist"},
	{BROKER "InvalidName", CLI_FAILED,
	 "that cannot be a channel's name: use letters, digits, '_' and '-' in "
	 "labels joined by single dots, at most 64 characters"},
};

static int report(const char *vm, const char *error, const json_t *parameters)
{
	char *text;
	int r;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].error, error) == 0)
			return cli_error(errors[i].status, "%s: %s", vm,
					 errors[i].text);
	text = json_dumps(parameters, JSON_COMPACT);
	r = cli_error(CLI_FAILED, "%s: the broker answered %s %s", vm,
		      cli_safe(error), text ? cli_safe(text) : "");
	free(text);
	return r;
}

int ask(const char *vm, const char *method, json_t *parameters, json_t **ret)
{
	char *error = NULL;
	int r = ask_quiet(vm, method, parameters, ASK_MS, ret, &error);

	if (r < 0)
		return cli_vmc_error(r);
	if (!error)
		return CLI_OK;
	r = report(vm, error, *ret);
	json_decref(*ret);
	free(error);
	return r;
}
