/* SPDX-License-Identifier: MIT */
/* verb_monitor.c - vmchannel monitor */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/events.h"
#include "cli/vms.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

/* How often brokers that are away, and new VMs, are looked for. */
#define LOOK_MS      1000
#define INSTANCE_MAX 64

static bool snapshot_only;

struct watch {
	char vm[VMC_NAME_MAX + 1];
	struct vmc_call *call; /* NULL while the broker is away */
	json_int_t seq;        /* the last event that was seen */
	char instance[INSTANCE_MAX];
	bool over; /* --snapshot: seen */
};

struct watches {
	struct watch *w;
	struct pollfd *fds; /* one for each, and one for stdout */
	size_t n;
};

/* Return: the new one, or NULL with the error reported. @vm is not too long. */
static struct watch *add_watch(struct watches *ws, const char *vm)
{
	struct watch *w = realloc(ws->w, (ws->n + 1) * sizeof(*w));

	if (!w) {
		cli_error(CLI_FAILED, "out of memory");
		return NULL;
	}
	ws->w = w;
	w += ws->n++;
	*w = (struct watch){0};
	memcpy(w->vm, vm, strlen(vm) + 1);
	return w;
}

static bool is_watched(const struct watches *ws, const char *vm)
{
	for (size_t i = 0; i < ws->n; i++)
		if (strcmp(ws->w[i].vm, vm) == 0)
			return true;
	return false;
}

/* Every VM that is there now and was not before. */
static int add_new(struct watches *ws)
{
	struct vms vms;
	int r = CLI_OK;

	if (vms_find(&vms))
		return cli_error(CLI_FAILED, "out of memory");
	for (size_t i = 0; r == CLI_OK && i < vms.n; i++)
		if (!is_watched(ws, vms.names[i]) &&
		    !add_watch(ws, vms.names[i]))
			r = CLI_FAILED;
	vms_done(&vms);
	return r;
}

/* Is it the process that counted the events up to w->seq? */
static int same_instance(const struct watch *w, bool *ret)
{
	char *error = NULL;
	json_t *info = NULL;
	int r = ask_quiet(w->vm, "GetInfo", json_object(), ASK_QUICK_MS, &info,
			  &error);

	if (r < 0)
		return r;
	*ret = strcmp(ask_text(info, "instance"), w->instance) == 0;
	json_decref(info);
	free(error);
	return 0;
}

/* What a new subscription asks for: what was missed if that can be told, else
 * the present state. */
static json_t *parameters_for(const struct watch *w, bool same)
{
	if (w->instance[0] != '\0' && same)
		return json_pack("{s:b,s:I,s:s}", "snapshot", 0, "after",
				 w->seq, "instance", w->instance);
	return json_pack("{s:b}", "snapshot", 1);
}

/* Return: 0 or a negative errno. */
static int subscribe(struct watch *w)
{
	bool same = false;
	json_t *p;
	char *text;
	int r = w->instance[0] ? same_instance(w, &same) : 0;

	if (r < 0)
		return r;
	p = parameters_for(w, same);
	text = p ? json_dumps(p, JSON_COMPACT) : NULL;
	json_decref(p);
	r = vmc_call_start(&w->call, w->vm, "org.vmchannel.Broker.Monitor",
			   text, VMC_CALL_LOCAL | VMC_CALL_MORE, ASK_QUICK_MS);
	free(text);
	if (r < 0)
		w->call = NULL;
	else if (w->instance[0] != '\0')
		events_note(w->vm, same ? "broker-back" : "broker-restarted",
			    same ? "what was missed follows"
				 : "what happened meanwhile is not known; the "
				   "present state follows");
	return r;
}

static void remember(struct watch *w, const json_t *event)
{
	const char *instance =
		json_string_value(json_object_get(event, "instance"));
	json_int_t seq = json_integer_value(json_object_get(event, "seq"));

	if (instance)
		snprintf(w->instance, sizeof(w->instance), "%s", instance);
	if (seq > 0)
		w->seq = seq;
	w->over = snapshot_only &&
		  strcmp(ask_text(event, "type"), "snapshot-end") == 0;
}

/* Return: CLI_OK, or the exit status. */
static int lose(struct watch *w, const char *why)
{
	vmc_call_free(w->call);
	w->call = NULL;
	if (snapshot_only)
		return cli_error(CLI_FAILED, "%s: %s", w->vm, why);
	events_note(w->vm, "broker-gone", why);
	return CLI_OK;
}

static int take_event(struct watch *w)
{
	const char *text, *error;
	int r = vmc_call_reply(w->call, &text, &error, 0);
	json_t *answer, *event;

	if (r == -ETIMEDOUT)
		return CLI_OK; /* a part of a message */
	if (r < 0)
		return lose(w, "its connection ended");
	if (error)
		return cli_error(CLI_FAILED, "%s: the broker answered %s",
				 w->vm, cli_safe(error));
	answer = json_loads(text, 0, NULL);
	event = json_object_get(answer, "event");
	if (json_is_object(event)) {
		remember(w, event);
		r = events_print(w->vm, event);
	}
	json_decref(answer);
	return r > CLI_NO ? r : CLI_OK;
}

/* Brokers that are away may be back. */
static void subscribe_again(struct watches *ws)
{
	for (size_t i = 0; i < ws->n; i++)
		if (!ws->w[i].call && !ws->w[i].over)
			subscribe(&ws->w[i]);
}

static bool all_over(const struct watches *ws)
{
	for (size_t i = 0; i < ws->n; i++)
		if (!ws->w[i].over)
			return false;
	return snapshot_only;
}

static bool some_away(const struct watches *ws)
{
	for (size_t i = 0; i < ws->n; i++)
		if (!ws->w[i].call)
			return true;
	return false;
}

static int take_events(struct watches *ws)
{
	int r = CLI_OK;

	for (size_t i = 0; r == CLI_OK && i < ws->n; i++)
		if (ws->fds[i].revents && !ws->w[i].over)
			r = take_event(&ws->w[i]);
	return r;
}

static bool fill_fds(struct watches *ws)
{
	struct pollfd *fds = realloc(ws->fds, (ws->n + 1) * sizeof(*fds));

	if (!fds)
		return false;
	ws->fds = fds;
	for (size_t i = 0; i < ws->n; i++) {
		const struct watch *w = &ws->w[i];
		int fd = w->call && !w->over ? vmc_call_fd(w->call) : -1;

		fds[i] = (struct pollfd){fd, POLLIN, 0};
	}
	/* Nobody reads any more ("| head"): tell it before the next event
	 * does, which may be long in coming. */
	fds[ws->n] = (struct pollfd){STDOUT_FILENO, 0, 0};
	return true;
}

/* New VMs, and brokers that are back. */
static int look(struct watches *ws, bool all)
{
	int r = all ? add_new(ws) : CLI_OK;

	if (r == CLI_OK)
		subscribe_again(ws);
	return r;
}

static int loop(struct watches *ws, bool all)
{
	uint64_t looked_us = cli_now_us();
	int r = CLI_OK;

	while (r == CLI_OK && !all_over(ws) && cli_flush()) {
		bool again = all || some_away(ws);
		int n;

		if (!fill_fds(ws))
			return cli_error(CLI_FAILED, "out of memory");
		n = poll(ws->fds, ws->n + 1, again ? LOOK_MS : -1);
		if (n > 0 && ws->fds[ws->n].revents & (POLLERR | POLLNVAL))
			return CLI_OK;
		if (n > 0)
			r = take_events(ws);
		/* By the clock: a busy VM must not hide the others. */
		if (r == CLI_OK && again &&
		    cli_now_us() - looked_us >= LOOK_MS * 1000u) {
			r = look(ws, all);
			looked_us = cli_now_us();
		}
	}
	return r;
}

/* The VM that was named must be there now; later it may come and go. */
static int begin_one(struct watches *ws, const char *vm)
{
	struct watch *w;
	int r;

	if (strlen(vm) > VMC_NAME_MAX)
		return cli_error(CLI_FAILED, "'%s' is too long for a VM's name",
				 cli_safe(vm));
	w = add_watch(ws, vm);
	if (!w)
		return CLI_FAILED;
	r = subscribe(w);
	return r < 0 ? cli_vmc_error(r) : CLI_OK;
}

static int begin_all(struct watches *ws)
{
	int r = add_new(ws);

	if (r == CLI_OK && ws->n == 0 && !snapshot_only)
		cli_note("no VM has a broker here yet; waiting for one");
	subscribe_again(ws);
	/* Who cannot be asked now has no snapshot. */
	for (size_t i = 0; snapshot_only && i < ws->n; i++)
		ws->w[i].over = !ws->w[i].call;
	return r;
}

static int run(const struct cli_args *a)
{
	struct watches ws = {0};
	int r = a->n ? begin_one(&ws, a->v[0]) : begin_all(&ws);

	if (r == CLI_OK)
		r = loop(&ws, a->n == 0);
	for (size_t i = 0; i < ws.n; i++)
		vmc_call_free(ws.w[i].call);
	free(ws.w);
	free(ws.fds);
	return r;
}

static const struct cli_option options[] = {
	{.name = "snapshot",
	 .help = "print the present state and end",
	 .flag = &snapshot_only},
	{0},
};

const struct cli_verb verb_monitor = {
	.name = "monitor",
	.args = "[VM]",
	.summary = "print what happens, as it happens",
	.help = "First the present state, then events: links, peers, ports, "
		"channels, streams.\nWithout VM, of every VM, also of those "
		"that start later. When a broker was away,\nwhat was missed is "
		"printed, or that it cannot be known. docs: vmchannel(1).\n\n"
		"example: vmchannel monitor web1 --json\n",
	.options = options,
	.max_args = 1,
	.run = run,
};
