/* SPDX-License-Identifier: MIT */
/* call_error.c - error replies of the guest's operations, for people */
#include <errno.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"

static int denied(const char *vm, const char *method, const json_t *p)
{
	return cli_error(CLI_REFUSED,
			 "%s: the guest's policy denies %s (class %s, rule "
			 "%s); the line 'call %s host allow' in a .conf of its "
			 "/etc/vmchannel/policy.d, and SIGHUP to its "
			 "vmchannel-agent, allow it",
			 vm, method, cli_safe(ask_text(p, "class")),
			 cli_safe(ask_text(p, "rule")), method);
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

static int inhibited(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO, "%s: held up in the guest by %s (%s)", vm,
			 cli_safe(ask_text(p, "who")),
			 cli_safe(ask_text(p, "why")));
}

static int busy(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO,
			 "%s: the guest does something of that kind already: "
			 "%s; 'vmchannel events %s' tells what becomes of it",
			 vm, cli_safe(ask_text(p, "action")), vm);
}

static int invalid_time(const char *vm, const char *method, const json_t *p)
{
	(void)p;
	return cli_error(CLI_NO,
			 "%s: %s: the guest does not take that time: it is "
			 "over, or too far ahead",
			 vm, method);
}

static int no_session(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO,
			 "%s: there is no session '%s'; 'vmchannel sessions "
			 "%s' lists those that exist",
			 vm, cli_safe(ask_text(p, "id")), vm);
}

static int no_user(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO,
			 "%s: no user %lld is logged in; 'vmchannel who %s' "
			 "lists those who are",
			 vm, ask_number(p, "uid"), vm);
}

static int request_runs(const char *vm, const char *method, const json_t *p)
{
	return cli_error(CLI_NO,
			 "%s: %s with request %s is being done just now; ask "
			 "again for its answer",
			 vm, method, cli_safe(ask_text(p, "request")));
}

static int frozen_already(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO,
			 "%s: it is frozen already (lease %s); 'vmchannel thaw "
			 "%s' ends that",
			 vm, cli_safe(ask_text(p, "lease")), vm);
}

static int no_lease(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	(void)p;
	return cli_error(CLI_NO,
			 "%s: the guest has thawed already: the lease is over",
			 vm);
}

static int no_mount(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO,
			 "%s: nothing that can be frozen is mounted at '%s'; "
			 "'vmchannel df %s' lists what is mounted",
			 vm, cli_safe(ask_text(p, "mount")), vm);
}

static int freeze_failed(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(
		CLI_NO, "%s: '%s' cannot be frozen: %s; nothing is frozen", vm,
		cli_safe(ask_text(p, "mount")), cli_safe(ask_text(p, "error")));
}

static int hook_failed(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO,
			 "%s: the guest's freeze hook %s failed (status %lld); "
			 "nothing is frozen",
			 vm, cli_safe(ask_text(p, "hook")),
			 ask_number(p, "status"));
}

static int no_such_user(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO, "%s: the guest has no user '%s'", vm,
			 cli_safe(ask_text(p, "user")));
}

static int no_such_service(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_MISSING,
			 "%s: the guest has no executable file "
			 "/etc/vmchannel/run.d/%s",
			 vm, cli_safe(ask_text(p, "name")));
}

/* Its name for an error in words. */
static const char *error_text(const json_t *p)
{
	const char *name = ask_text(p, "error");
	static const int numbers[] = {ENOENT,  EACCES,       EPERM,   EISDIR,
				      ENOTDIR, ELOOP,        ENOEXEC, ENOSPC,
				      EROFS,   ENAMETOOLONG, ETXTBSY, EINVAL,
				      EDQUOT,  EEXIST,       E2BIG,   EIO};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(name, strerrorname_np(numbers[i])) == 0)
			return strerror(numbers[i]);
	return cli_safe(name);
}

/* As env(1) and ssh(1) end. */
static int cannot_run(const char *vm, const char *method, const json_t *p)
{
	bool missing = strcmp(ask_text(p, "error"), "ENOENT") == 0;

	(void)method;
	return cli_error(missing ? CLI_MISSING : CLI_REFUSED,
			 "%s: the guest cannot run '%s': %s", vm,
			 cli_safe(ask_text(p, "command")), error_text(p));
}

static int cannot_open(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO, "%s:%s: %s", vm, cli_safe(ask_text(p, "path")),
			 error_text(p));
}

static int changed(const char *vm, const char *method, const json_t *p)
{
	(void)method;
	return cli_error(CLI_NO,
			 "%s:%s: it changed while it was copied; try again", vm,
			 cli_safe(ask_text(p, "path")));
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
	{"org.vmchannel.RequestRunning", request_runs},
	{"org.vmchannel.Power.Inhibited", inhibited},
	{"org.vmchannel.Power.Busy", busy},
	{"org.vmchannel.Power.InvalidTime", invalid_time},
	{"org.vmchannel.Session.NoSuchSession", no_session},
	{"org.vmchannel.Session.NoSuchUser", no_user},
	{"org.vmchannel.Storage.AlreadyFrozen", frozen_already},
	{"org.vmchannel.Storage.NoSuchLease", no_lease},
	{"org.vmchannel.Storage.NoSuchMount", no_mount},
	{"org.vmchannel.Storage.FreezeFailed", freeze_failed},
	{"org.vmchannel.Storage.HookFailed", hook_failed},
	{"org.vmchannel.Exec.NoSuchUser", no_such_user},
	{"org.vmchannel.Exec.NoSuchService", no_such_service},
	{"org.vmchannel.Exec.CannotRun", cannot_run},
	{"org.vmchannel.File.NoSuchUser", no_such_user},
	{"org.vmchannel.File.CannotOpen", cannot_open},
	{"org.vmchannel.File.Changed", changed},
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
