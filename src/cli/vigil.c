/* SPDX-License-Identifier: MIT */
/* vigil.c - watch a VM until something comes about */
#include "cli/vigil.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/guest_call.h"

/* How often a broker that is not there is looked for, and operations that did
 * not answer are asked. */
#define LOOK_MS 250
/* For the guest to take a subscription. */
#define SUBSCRIBE_MS 10000

#define AGENT GUEST "Agent"

/* ---- the broker
 * ---------------------------------------------------------------- */

static void lose_events(struct vigil *v)
{
	vmc_call_free(v->events);
	v->events = NULL;
}

static void lose_broker(struct vigil *v)
{
	vmc_monitor_free(v->monitor);
	v->monitor = NULL;
	v->told = v->link = v->peer = v->operations = false;
	lose_events(v);
}

static void put_off(struct vigil *v)
{
	v->again_us = cli_now_us() + LOOK_MS * 1000u;
}

/* Could another try end otherwise? */
static bool is_final(int r)
{
	return r == -EINVAL || r == -EACCES || r == -ENOMEM || r == -EPROTO;
}

/* Return: 0 or a negative errno. */
static int find_broker(struct vigil *v)
{
	int r = vmc_monitor_open(&v->monitor, v->vm, VMC_MONITOR_SNAPSHOT, 0,
				 NULL);

	if (r < 0) {
		v->monitor = NULL;
		put_off(v);
	}
	return r;
}

static void take_event(struct vigil *v, const struct vmc_monitor_event *e)
{
	const struct {
		enum vmc_monitor_type up, down;
		bool *is;
	} rows[] = {
		{VMC_MON_SNAPSHOT_END, VMC_MON_UNKNOWN, &v->told},
		{VMC_MON_LINK_UP, VMC_MON_LINK_DOWN, &v->link},
		{VMC_MON_PEER_UP, VMC_MON_PEER_DOWN, &v->peer},
		{VMC_MON_CHANNEL_ADDED, VMC_MON_CHANNEL_REMOVED,
		 &v->operations},
	};

	if (e->channel[0] != '\0' &&
	    (!e->peer || strcmp(e->channel, AGENT) != 0))
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (e->type == rows[i].up)
			*rows[i].is = true;
		else if (e->type == rows[i].down && e->type != VMC_MON_UNKNOWN)
			*rows[i].is = false;
}

/* All that the broker has said until now. */
static void read_monitor(struct vigil *v)
{
	struct vmc_monitor_event e;
	int r;

	do {
		r = vmc_monitor_next(v->monitor, &e, 0);
		/* Too much happened at once: the state is asked anew. */
		if (r == 1 && e.type == VMC_MON_LOST)
			r = -ECONNRESET;
		if (r == 1)
			take_event(v, &e);
	} while (r == 1);
	if (r == -ETIMEDOUT)
		return;
	lose_broker(v);
	(void)find_broker(v);
}

int vigil_begin(struct vigil *v, const char *vm, bool must)
{
	int r;

	*v = (struct vigil){.vm = vm};
	r = find_broker(v);
	if (r < 0 && (must || is_final(r)))
		return cli_vmc_error(r);
	return CLI_OK;
}

void vigil_done(struct vigil *v)
{
	lose_broker(v);
}

/* ---- the guest's events
 * ---------------------------------------------------------- */

static char *subscription(const struct vigil_goal *g)
{
	json_t *p = json_object();
	char *text;

	if (g->type)
		json_object_set_new(p, "types", json_pack("[s]", g->type));
	/* Of another boot: all of this one are repeated. */
	if (g->from_boot)
		json_object_set_new(
			p, "after",
			json_pack("{s:s,s:i}", "boot", "-", "seq", 0));
	text = json_dumps(p, JSON_COMPACT);
	json_decref(p);
	return text;
}

static int earlier(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Return: VIGIL_NOT_YET, or the exit status. */
static int subscribe(struct vigil *v, const struct vigil_goal *g)
{
	char *text = subscription(g);
	int r = text ? vmc_call_start(&v->events, v->vm, AGENT ".Subscribe",
				      text, VMC_CALL_MORE,
				      earlier(guest_left_ms(g->deadline_us),
					      SUBSCRIBE_MS))
		     : -ENOMEM;

	free(text);
	if (r == 0)
		return VIGIL_NOT_YET;
	v->events = NULL;
	put_off(v);
	return is_final(r) ? cli_vmc_error(r) : VIGIL_NOT_YET;
}

static int look(struct vigil *v, const struct vigil_goal *g, const char *text)
{
	json_t *reply = json_loads(text, 0, NULL);
	int r = reply ? g->look(v, g, reply)
		      : cli_error(CLI_FAILED, "out of memory");

	json_decref(reply);
	return r;
}

/* Return: VIGIL_NOT_YET, CLI_OK or the exit status. */
static int read_events(struct vigil *v, const struct vigil_goal *g)
{
	const char *text, *error;
	int r = vmc_call_reply(v->events, &text, &error, 0);

	if (r == -ETIMEDOUT)
		return VIGIL_NOT_YET;
	if (r == -EPROTO || r == -EMSGSIZE)
		return cli_vmc_error(r);
	if (r >= 0 && error)
		return cli_call_error(v->vm, AGENT ".Subscribe", error, text);
	if (r >= 0)
		return look(v, g, text);
	lose_events(v);
	put_off(v);
	return VIGIL_NOT_YET;
}

int vigil_ask(struct vigil *v, const struct vigil_goal *g, struct guest_call *c)
{
	guest_calls(v->vm, c, 1, g->deadline_us);
	if (c->reply)
		return CLI_OK;
	if (c->error == 0 || c->error == -ETIMEDOUT || is_final(c->error))
		return guest_call_report(v->vm, c);
	/* Its subscription may outlive it, and would not tell again. */
	lose_events(v);
	put_off(v);
	return VIGIL_NOT_YET;
}

/* ---- waiting
 * --------------------------------------------------------------------- */

/* Until something is to be read, or it is time to look again. */
static void sleep_on(struct vigil *v, struct pollfd fds[2],
		     uint64_t deadline_us)
{
	int ms = earlier(guest_left_ms(deadline_us), CLI_PROGRESS_MS);

	fds[0] = (struct pollfd){-1, POLLIN, 0};
	fds[1] = (struct pollfd){-1, POLLIN, 0};
	if (v->monitor)
		fds[0].fd = vmc_monitor_fd(v->monitor);
	if (v->events)
		fds[1].fd = vmc_call_fd(v->events);
	if (poll(fds, 2, ms) < 0)
		fds[0].revents = fds[1].revents = 0;
	cli_progress_tick();
}

static bool is_due(const struct vigil *v)
{
	return cli_now_us() >= v->again_us;
}

/* Whatever is not there is looked for. */
static int find(struct vigil *v, const struct vigil_goal *g)
{
	int r;

	if (!is_due(v))
		return VIGIL_NOT_YET;
	if (!v->monitor) {
		r = find_broker(v);
		return is_final(r) ? cli_vmc_error(r) : VIGIL_NOT_YET;
	}
	if (v->operations && !v->events)
		return subscribe(v, g);
	return VIGIL_NOT_YET;
}

static const char *missing_hop(const struct vigil *v, const char *lacking)
{
	if (!v->monitor)
		return "no vmchanneld runs for it here; 'vmchannel run' starts "
		       "one with the VM";
	if (!v->link)
		return "its vmchanneld has no connection to QEMU; 'vmchannel "
		       "doctor' says more";
	if (!v->peer)
		return "the guest's agent does not answer; is it installed, "
		       "and has the guest come so far?";
	if (!v->operations)
		return "the guest's agent is there, but offers no operations: "
		       "it is not root's, or they do not start";
	return v->events ? lacking
			 : "the guest's operations do not take a call";
}

static int too_late(const struct vigil *v, const char *lacking)
{
	return cli_error(CLI_NO, "%s: not in time: %s", cli_safe(v->vm),
			 missing_hop(v, lacking));
}

int vigil_run(struct vigil *v, const struct vigil_goal *g)
{
	struct pollfd fds[2];
	int r = VIGIL_NOT_YET;

	cli_progress_begin(g->what);
	while (r == VIGIL_NOT_YET) {
		sleep_on(v, fds, g->deadline_us);
		if (fds[1].revents)
			r = read_events(v, g);
		if (fds[0].revents)
			read_monitor(v);
		if (r == VIGIL_NOT_YET)
			r = find(v, g);
		if (r == VIGIL_NOT_YET && guest_left_ms(g->deadline_us) == 0)
			r = too_late(v, g->lacking);
	}
	cli_progress_end();
	return r;
}

/* What the broker said first, or its end, must have been read. */
static bool is_gone(const struct vigil *v, bool halt)
{
	if (!v->monitor)
		return true;
	return v->told && (!v->link || (halt && !v->peer));
}

int vigil_gone(struct vigil *v, bool halt, uint64_t deadline_us)
{
	struct pollfd fds[2];
	int r = CLI_OK;

	cli_progress_begin("waiting for the guest to go");
	while (r == CLI_OK && !is_gone(v, halt)) {
		sleep_on(v, fds, deadline_us);
		if (fds[0].revents)
			read_monitor(v);
		else if (guest_left_ms(deadline_us) == 0)
			r = cli_error(CLI_NO,
				      "%s: it accepted, but is not gone in "
				      "time: %s",
				      cli_safe(v->vm),
				      v->peer ? "the guest's agent still "
						"answers"
					      : "its agent has ended, but QEMU "
						"still runs");
	}
	cli_progress_end();
	return r;
}
