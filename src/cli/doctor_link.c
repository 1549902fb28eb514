/* SPDX-License-Identifier: MIT */
/* doctor_link.c - the hops between the two brokers, and policy; both sides */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/doctor.h"

/* A round trip through a busy guest under emulation stays below. */
#define ROUND_TRIP_MS 10000
/* The channel that every broker answers on. */
#define SERVICE "org.varlink.service"
/* A name like any program's, to ask policy about. */
#define ANY_CHANNEL "org.example.any"

static bool is_guest(const struct doctor *d)
{
	return strcmp(ask_text(d->info, "side"), "guest") == 0;
}

static bool link_is(const struct doctor *d, const char *state)
{
	return strcmp(ask_text(d->info, "link"), state) == 0;
}

static enum doctor_verdict check_link(struct doctor *d)
{
	const char *detail = ask_text(d->info, "link_detail");

	doctor_detail(d, "%s", detail[0] ? detail : "no connection yet");
	if (!link_is(d, "down"))
		return DOCTOR_GOOD;
	if (is_guest(d))
		doctor_remedy(d,
			      "on the host: is vmchanneld running for this VM "
			      "and connected to QEMU? ('vmchannel doctor VM')");
	else
		doctor_remedy(d,
			      "start QEMU with what 'vmchannel qemu-args %s' "
			      "prints, use 'vmchannel run', or 'vmchannel "
			      "attach' the running one",
			      d->vm);
	return DOCTOR_BAD;
}

static enum doctor_verdict check_peer(struct doctor *d)
{
	const char *peer = ask_text(d->info, "peer_instance");

	if (link_is(d, "up")) {
		doctor_detail(d,
			      "the other side's broker answers (%s), "
			      "protocol %lld",
			      peer, ask_number(d->info, "protocol"));
		return DOCTOR_GOOD;
	}
	if (link_is(d, "stalled")) {
		doctor_detail(d, "the other side owes an answer");
		doctor_remedy(d,
			      "is the VM paused, or its %s stopped? streams "
			      "go on when it answers",
			      is_guest(d) ? "vmchanneld" : "agent");
		return DOCTOR_BAD;
	}
	doctor_detail(d,
		      "the pipe is there, but nobody speaks at its other "
		      "end: %s",
		      ask_text(d->info, "link_detail"));
	if (is_guest(d))
		doctor_remedy(d, "on the host: start vmchanneld for this VM");
	else
		doctor_remedy(d, "in the guest: is it booted, and does "
				 "vmchannel-agent run? ('vmchannel doctor "
				 "host' there)");
	return DOCTOR_BAD;
}

static int call_peer(const char *vm, uint64_t *ret_us, char **ret_text)
{
	uint64_t since = cli_now_us();
	const char *text, *error;
	struct vmc_call *c;
	int r = vmc_call_start(&c, vm, SERVICE ".GetInfo", NULL, 0,
			       ROUND_TRIP_MS);

	if (r < 0)
		return r;
	r = vmc_call_reply(c, &text, &error, ROUND_TRIP_MS);
	*ret_us = cli_now_us() - since;
	*ret_text = r < 0 ? NULL : strdup(text);
	vmc_call_free(c);
	return r;
}

static enum doctor_verdict check_round_trip(struct doctor *d)
{
	char *text = NULL;
	json_t *info;
	uint64_t us = 0;
	int r;

	cli_progress_begin("calling the other side");
	r = call_peer(d->vm, &us, &text);
	cli_progress_end();
	if (r == -EACCES) {
		doctor_detail(d, "%s", vmc_strerror());
		return DOCTOR_SKIPPED;
	}
	if (r < 0) {
		doctor_detail(d, "%s", vmc_strerror());
		doctor_remedy(d,
			      "see what happens in 'vmchannel monitor %s' "
			      "and the other side's log",
			      d->vm);
		return DOCTOR_BAD;
	}
	info = text ? json_loads(text, 0, NULL) : NULL;
	doctor_detail(d, "%s %s answered a call in %llu.%03llu ms",
		      ask_text(info, "product"), ask_text(info, "version"),
		      (unsigned long long)us / 1000,
		      (unsigned long long)us % 1000);
	json_decref(info);
	free(text);
	return DOCTOR_GOOD;
}

static enum doctor_verdict check_policy(struct doctor *d)
{
	json_t *answer = NULL;
	char *error = NULL;
	bool allowed;
	int r = ask_quiet(d->vm, "CheckPolicy",
			  json_pack("{s:s,s:s,s:{s:s,s:I,s:I}}", "operation",
				    "connect", "channel", ANY_CHANNEL, "caller",
				    "side", ask_text(d->info, "side"), "uid",
				    (json_int_t)geteuid(), "gid",
				    (json_int_t)getegid()),
			  ASK_QUICK_MS, &answer, &error);

	if (r < 0 || error) {
		doctor_detail(d, "%s", r < 0 ? vmc_strerror() : error);
		doctor_remedy(d, "become root or the user who runs the VM");
		json_decref(answer);
		free(error);
		return DOCTOR_BAD;
	}
	allowed = json_is_true(json_object_get(answer, "allowed"));
	doctor_detail(d, "connecting to %s is %s by rule %s", ANY_CHANNEL,
		      allowed ? "allowed" : "denied", ask_text(answer, "rule"));
	if (!allowed)
		doctor_remedy(d, "add an allowing line to policy.d of this "
				 "side, before the one named");
	json_decref(answer);
	return allowed ? DOCTOR_GOOD : DOCTOR_BAD;
}

const struct doctor_hop doctor_link_hops[] = {
	{"link", check_link},
	{"peer", check_peer},
	{"call", check_round_trip},
	{"policy", check_policy},
	{NULL, NULL},
};
