/* SPDX-License-Identifier: MIT */
/* call_error.c - error replies of the guest's operations, for people */
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"

static int denied(const char *vm, const char *method, const json_t *p)
{
	return cli_error(CLI_REFUSED,
			 "%s: the guest's policy denies %s (class %s, rule "
			 "%s); a line 'call' in its policy.d can allow it",
			 vm, method, cli_safe(ask_text(p, "class")),
			 cli_safe(ask_text(p, "rule")));
}

static int not_supported(const char *vm, const char *method, const json_t *p)
{
	return cli_error(CLI_NO, "%s: this guest cannot do %s: %s", vm, method,
			 cli_safe(ask_text(p, "detail")));
}

static int failed(const char *vm, const char *method, const json_t *p)
{
	return cli_error(CLI_NO, "%s: %s failed in the guest: %s %s", vm,
			 method, cli_safe(ask_text(p, "name")),
			 cli_safe(ask_text(p, "detail")));
}

static int timed_out(const char *vm, const char *method, const json_t *p)
{
	return cli_error(CLI_NO,
			 "%s: the guest did not do %s within %lld ms; whether "
			 "it still will is not known",
			 vm, method, ask_number(p, "after_ms"));
}

static int limit_reached(const char *vm, const char *method, const json_t *p)
{
	return cli_error(CLI_NO,
			 "%s: %s: the guest's limit %s (%lld) is reached; try "
			 "again later",
			 vm, method, cli_safe(ask_text(p, "limit")),
			 ask_number(p, "value"));
}

static int not_implemented(const char *vm, const char *method, const json_t *p)
{
	(void)p;
	return cli_error(CLI_NO,
			 "%s: this guest's agent has no %s; 'vmchannel "
			 "call %s org.vmchannel.Agent.GetInfo' lists "
			 "what it has",
			 vm, method, vm);
}

static const struct {
	const char *error;
	int (*say)(const char *vm, const char *method, const json_t *p);
} rows[] = {
	{"org.vmchannel.PolicyDenied", denied},
	{"org.vmchannel.NotSupported", not_supported},
	{"org.vmchannel.Failed", failed},
	{"org.vmchannel.TimedOut", timed_out},
	{"org.vmchannel.LimitReached", limit_reached},
	{"org.varlink.service.MethodNotImplemented", not_implemented},
};

int cli_call_error(const char *vm, const char *method, const char *error,
		   const char *text)
{
	json_t *p = json_loads(text, 0, NULL);
	int r = -1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].error, error) == 0)
			r = rows[i].say(cli_safe(vm), cli_safe(method), p);
	json_decref(p);
	if (r >= 0)
		return r;
	return cli_error(CLI_NO, "%s %s", cli_safe(error),
			 strcmp(text, "{}") != 0 ? cli_safe(text) : "");
}
