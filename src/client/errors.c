/* SPDX-License-Identifier: MIT */
/* errors.c - what the broker's error replies mean to a program */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "client/conn.h"
#include "client/error.h"
#include "client/fields.h"

/* What the texts below are made from. */
struct told {
	const char *vm, *channel, *detail;
};

typedef int say_fn(const struct told *t);

static int no_channel(const struct told *t)
{
	return client_fail(ENOENT,
			   "%s: nobody listens on channel '%s'; 'vmchannel "
			   "channels %s' lists those that exist",
			   t->vm, t->channel, t->vm);
}

static int denied(const struct told *t)
{
	return client_fail(EACCES,
			   "%s: policy denies channel '%s' (rule %s); see "
			   "'vmchannel policy test' and policy.d",
			   t->vm, t->channel, t->detail);
}

static int invalid_name(const struct told *t)
{
	return client_fail(EINVAL,
			   "'%s' cannot be a channel's name: use letters, "
			   "digits, '_' and '-' in labels joined by single "
			   "dots, at most %d characters",
			   t->channel, VMC_NAME_MAX);
}

static int name_in_use(const struct told *t)
{
	return client_fail(EADDRINUSE,
			   "%s: channel '%s' is announced by another program "
			   "already; stop that one or take another name",
			   t->vm, t->channel);
}

static int no_peer(const struct told *t)
{
	return client_fail(EHOSTDOWN,
			   "%s: the other side is not connected%s%s; "
			   "'vmchannel doctor %s' says which hop is missing",
			   t->vm, t->detail[0] ? ": " : "", t->detail, t->vm);
}

static int no_stream(const struct told *t)
{
	return client_fail(ENOENT,
			   "%s: the broker knows no such stream (any more); it "
			   "remembers the last 1024 of its own process",
			   t->vm);
}

static int no_token(const struct told *t)
{
	return client_fail(ENOENT,
			   "%s: the stream on '%s' was given up by the other "
			   "side before it was accepted",
			   t->vm, t->channel);
}

static int limit_reached(const struct told *t)
{
	return client_fail(EAGAIN,
			   "%s: the broker's limit '%s' is reached; close "
			   "something or try again later",
			   t->vm, t->detail);
}

static int not_allowed(const struct told *t)
{
	return client_fail(EACCES,
			   "%s: this user may not ask that; become root or the "
			   "user who runs the VM",
			   t->vm);
}

static int config_error(const struct told *t)
{
	return client_fail(EINVAL, "%s: configuration: %s", t->vm, t->detail);
}

/* Refused: the other side's broker or program said no; by its reason. */
static int refused(const struct told *t)
{
	static const struct {
		unsigned int reason;
		int error;
	} rows[] = {
		{VMC_REASON_NO_SERVICE, ENOENT},
		{VMC_REASON_WITHDRAWN, ENOENT},
		{VMC_REASON_DENIED, EACCES},
		{VMC_REASON_BACKLOG, EAGAIN},
		{VMC_REASON_LIMIT, EAGAIN},
		{VMC_REASON_TIMEOUT, ETIMEDOUT},
		{VMC_REASON_MODE, EINVAL},
		{VMC_REASON_NO_PEER, EHOSTDOWN},
	};
	unsigned int reason = fields_reason(t->detail);
	int error = ECONNRESET;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].reason == reason)
			error = rows[i].error;
	return client_fail(error,
			   "%s: channel '%s' was refused: %s (%s); 'vmchannel "
			   "monitor %s' shows what happens there",
			   t->vm, t->channel, vmc_reason_text(reason),
			   t->detail, t->vm);
}

/* detail: the member of the error's parameters that the text quotes. */
static const struct {
	const char *error, *detail;
	say_fn *say;
} errors[] = {
	{BROKER "NoSuchChannel", NULL, no_channel},
	{BROKER "Denied", "rule", denied},
	{BROKER "InvalidName", NULL, invalid_name},
	{BROKER "NameInUse", NULL, name_in_use},
	{BROKER "NoPeer", "detail", no_peer},
	{BROKER "Refused", "reason", refused},
	{BROKER "NoSuchStream", NULL, no_stream},
	{BROKER "NoSuchToken", NULL, no_token},
	{BROKER "LimitReached", "limit", limit_reached},
	{BROKER "NotAllowed", NULL, not_allowed},
	{BROKER "ConfigError", "detail", config_error},
};

int client_reply_error(const struct client_conn *c, const struct varlink_msg *m)
{
	struct told t = {.vm = c->vm, .channel = c->channel, .detail = ""};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (strcmp(m->error, errors[i].error) != 0)
			continue;
		if (errors[i].detail)
			t.detail = fields_text(m->parameters, errors[i].detail);
		return errors[i].say(&t);
	}
	return client_fail(
		EPROTO,
		"%s: the broker answered %s, which this call has no "
		"use for; do its version and this library's (%s) fit?",
		c->vm, m->error, VMC_VERSION);
}
