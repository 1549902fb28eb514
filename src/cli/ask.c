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

/* @parameters is consumed; NULL: no memory for it. */
static int start(struct vmc_call **ret, const char *vm, const char *method,
		 json_t *parameters, unsigned int flags, int timeout_ms)
{
	char *text = json_dumps(parameters, JSON_COMPACT);
	char full[128];
	int r;

	json_decref(parameters);
	snprintf(full, sizeof(full), BROKER "%s", method);
	r = text ? vmc_call_start(ret, vm, full, text, VMC_CALL_LOCAL | flags,
				  timeout_ms)
		 : -ENOMEM;
	free(text);
	return r;
}

/* Takes one reply. Return: 1 if more follow, 0, or a negative errno. */
static int take(struct vmc_call *c, int timeout_ms, json_t **ret,
		char **ret_error)
{
	const char *text, *error;
	int r = vmc_call_reply(c, &text, &error, timeout_ms);

	if (r < 0)
		return r;
	*ret = json_loads(text, 0, NULL);
	*ret_error = error ? strdup(error) : NULL;
	if (*ret && (*ret_error || !error))
		return r;
	json_decref(*ret);
	free(*ret_error);
	*ret = NULL;
	*ret_error = NULL;
	return -ENOMEM;
}

int ask_quiet(const char *vm, const char *method, json_t *parameters,
	      int timeout_ms, json_t **ret, char **ret_error)
{
	struct vmc_call *c;
	int r = start(&c, vm, method, parameters, 0, timeout_ms);

	if (r < 0)
		return r;
	r = take(c, timeout_ms, ret, ret_error);
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
	{"org.varlink.service.MethodNotFound", CLI_FAILED,
	 "its broker is older than this command and does not know that; start "
	 "it anew"},
	{BROKER "InvalidName", CLI_FAILED,
	 "that cannot be a channel's name: use letters, digits, '_' and '-' in "
	 "labels joined by single dots, at most 64 characters"},
};

int ask_report(const char *vm, const char *error, const json_t *parameters)
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

/* What a verb makes of an answer. */
static int verdict(const char *vm, int r, char *error, json_t **ret)
{
	if (r < 0)
		return cli_vmc_error(r);
	if (!error)
		return CLI_OK;
	r = ask_report(vm, error, *ret);
	json_decref(*ret);
	*ret = NULL;
	free(error);
	return r;
}

int ask(const char *vm, const char *method, json_t *parameters, json_t **ret)
{
	char *error = NULL;
	int r = ask_quiet(vm, method, parameters, ASK_MS, ret, &error);

	return verdict(vm, r, error, ret);
}

int ask_list(const char *vm, const char *method, const char *key, json_t **ret)
{
	struct vmc_call *c = NULL;
	int r = start(&c, vm, method, json_object(), VMC_CALL_MORE, ASK_MS);
	int status = r < 0 ? cli_vmc_error(r) : CLI_OK;

	*ret = json_array();
	for (r = 1; status == CLI_OK && r > 0;) {
		json_t *part = NULL;
		char *error = NULL;

		r = take(c, ASK_MS, &part, &error);
		status = verdict(vm, r, error, &part);
		json_array_extend(*ret, json_object_get(part, key));
		json_decref(part);
	}
	if (status != CLI_OK) {
		json_decref(*ret);
		*ret = NULL;
	}
	return status;
}
