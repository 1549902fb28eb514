/* SPDX-License-Identifier: MIT */
/* guest_call.c - operations of a guest, called by a verb */
#include "cli/guest_call.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmchannel/vmchannel.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/uuid.h"

unsigned int guest_timeout_s = GUEST_TIMEOUT_S;
const char *guest_request_id;

uint64_t guest_deadline(void)
{
	if (guest_timeout_s == 0)
		return 0;
	return cli_now_us() + (uint64_t)guest_timeout_s * 1000000u;
}

int guest_left_ms(uint64_t deadline_us)
{
	uint64_t now = cli_now_us(), ms;

	if (deadline_us == 0)
		return VMC_NO_TIMEOUT;
	if (now >= deadline_us)
		return 0;
	ms = (deadline_us - now + 999) / 1000;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* ---- one call
 * ---------------------------------------------------------------- */

/* A call under way. */
struct flight {
	struct guest_call *call;
	struct vmc_call *stream; /* NULL: it is over */
};

static void land(struct flight *f)
{
	vmc_call_free(f->stream);
	f->stream = NULL;
}

/* @error: negative errno, of which the library has told. */
static void fail(struct flight *f, int error)
{
	struct guest_call *c = f->call;

	json_decref(c->reply);
	c->reply = NULL;
	c->error = error;
	snprintf(c->why, sizeof(c->why), "%s",
		 error == -ENOMEM ? "out of memory" : vmc_strerror());
	land(f);
}

static void start(const char *vm, struct flight *f, uint64_t deadline_us)
{
	struct guest_call *c = f->call;
	char *text = c->parameters ? json_dumps(c->parameters, JSON_COMPACT)
				   : strdup("{}");
	int r = text ? vmc_call_start(&f->stream, vm, c->method, text,
				      c->list ? VMC_CALL_MORE : 0,
				      guest_left_ms(deadline_us))
		     : -ENOMEM;

	free(text);
	json_decref(c->parameters);
	c->parameters = NULL;
	if (r < 0) {
		f->stream = NULL;
		fail(f, r);
		return;
	}
	c->sent = true;
}

/* One more part of a list. Return: 0 or a negative errno. */
static int add_part(struct guest_call *c, json_t *part)
{
	json_t *all = json_object_get(c->reply, c->list);

	if (!all) {
		c->reply = part;
		return 0;
	}
	if (json_array_extend(all, json_object_get(part, c->list))) {
		json_decref(part);
		return -ENOMEM;
	}
	json_decref(part);
	return json_array_size(all) <= GUEST_LIST_MAX ? 0 : -E2BIG;
}

static void take_error(struct flight *f, const char *name, const char *text)
{
	struct guest_call *c = f->call;

	snprintf(c->error_name, sizeof(c->error_name), "%s", name);
	c->error_text = json_string(text);
	json_decref(c->reply);
	c->reply = NULL;
	land(f);
}

static void take_reply(struct flight *f, const char *text, bool last)
{
	json_t *reply = json_loads(text, 0, NULL);
	int r = reply ? 0 : -ENOMEM;

	if (r == 0 && f->call->list)
		r = add_part(f->call, reply);
	else
		f->call->reply = reply;
	if (r)
		fail(f, r);
	else if (last)
		land(f);
}

static void take(struct flight *f)
{
	const char *text, *error;
	int r = vmc_call_reply(f->stream, &text, &error, 0);

	if (r == -ETIMEDOUT)
		return; /* a part of a message */
	if (r < 0)
		fail(f, r);
	else if (error)
		take_error(f, error, text);
	else
		take_reply(f, text, r == 0);
}

/* ---- all of them
 * --------------------------------------------------------------- */

/* Calls of one verb; info has most. */
#define CALLS_MAX 16

static int watch(struct flight *f, size_t n, struct pollfd *fds)
{
	int left = 0;

	for (size_t i = 0; i < n; i++) {
		fds[i] = (struct pollfd){-1, POLLIN, 0};
		if (!f[i].stream)
			continue;
		fds[i].fd = vmc_call_fd(f[i].stream);
		left++;
	}
	return left;
}

static void give_up(const char *vm, struct flight *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!f[i].stream)
			continue;
		f[i].call->error = -ETIMEDOUT;
		json_decref(f[i].call->reply);
		f[i].call->reply = NULL;
		snprintf(f[i].call->why, sizeof(f[i].call->why),
			 "%s: no answer to %s in time; --timeout gives it "
			 "longer",
			 cli_safe(vm), f[i].call->method);
		land(&f[i]);
	}
}

/* The next slice of waiting: the progress line moves. */
static int slice(uint64_t deadline_us)
{
	int left = guest_left_ms(deadline_us);

	return left < 0 || left > CLI_PROGRESS_MS ? CLI_PROGRESS_MS : left;
}

void guest_calls(const char *vm, struct guest_call *calls, size_t n,
		 uint64_t deadline_us)
{
	struct flight f[CALLS_MAX] = {{.call = NULL}};
	struct pollfd fds[CALLS_MAX];

	cli_progress_begin("waiting for the guest's answer");
	for (size_t i = 0; i < n; i++) {
		f[i].call = &calls[i];
		start(vm, &f[i], deadline_us);
	}
	while (watch(f, n, fds) > 0) {
		if (guest_left_ms(deadline_us) == 0)
			give_up(vm, f, n);
		else if (poll(fds, n, slice(deadline_us)) > 0)
			for (size_t i = 0; i < n; i++)
				if (fds[i].revents)
					take(&f[i]);
		cli_progress_tick();
	}
	cli_progress_end();
}

void guest_call_done(struct guest_call *c)
{
	json_decref(c->reply);
	json_decref(c->error_text);
	c->reply = c->error_text = NULL;
}

/* ---- what is said
 * ---------------------------------------------------------------- */

/* Nobody listens on an interface's channel, though the VM's broker is there. */
static bool has_no_operations(const char *vm, const struct guest_call *c)
{
	json_t *info = NULL;
	char *error = NULL;
	int r;

	if (c->error != -ENOENT)
		return false;
	r = ask_quiet(vm, "GetInfo", json_object(), ASK_QUICK_MS, &info,
		      &error);
	json_decref(info);
	free(error);
	return r == 0;
}

static bool has_error(const struct guest_call *c)
{
	return c->error_name[0] != '\0';
}

const char *guest_error_text(const struct guest_call *c)
{
	const char *text = json_string_value(c->error_text);

	return text ? text : "{}";
}

void guest_call_why(const char *vm, const struct guest_call *c, char *ret)
{
	if (has_error(c))
		snprintf(ret, GUEST_WHY_MAX, "%s %s", cli_safe(c->error_name),
			 cli_safe(guest_error_text(c)));
	else if (has_no_operations(vm, c))
		snprintf(ret, GUEST_WHY_MAX,
			 "%s: the guest does not offer %s: its agent is not "
			 "root's, or is older, or starts just now ('vmchannel "
			 "wait %s --for agent')",
			 cli_safe(vm), c->method, cli_safe(vm));
	else
		snprintf(ret, GUEST_WHY_MAX, "%s", c->why);
	cli_whole(ret);
}

int guest_call_report(const char *vm, const struct guest_call *c)
{
	char why[GUEST_WHY_MAX];
	int status = CLI_FAILED;

	if (c->reply)
		return CLI_OK;
	if (has_error(c))
		return cli_call_error(vm, c->method, c->error_name,
				      guest_error_text(c));
	guest_call_why(vm, c, why);
	if (c->error == -ENOENT)
		status = CLI_MISSING;
	else if (c->error == -EACCES)
		status = CLI_REFUSED;
	else if (c->error == -ETIMEDOUT)
		status = CLI_NO;
	return cli_error(status, "%s", why);
}

bool guest_is(const struct guest_call *c, const char *name)
{
	size_t len = strlen(GUEST);

	return strncmp(c->error_name, GUEST, len) == 0 &&
	       strcmp(c->error_name + len, name) == 0;
}

/* ---- one call, reported
 * ------------------------------------------------------------ */

int guest_ask(const char *vm, const char *method, json_t *parameters,
	      const char *list, json_t **ret)
{
	struct guest_call c = {
		.method = method, .parameters = parameters, .list = list};
	int r;

	guest_calls(vm, &c, 1, guest_deadline());
	r = guest_call_report(vm, &c);
	*ret = c.reply;
	c.reply = NULL;
	guest_call_done(&c);
	return r;
}

/* ---- what changes something
 * ---------------------------------------------------------- */

static int add_request(struct guest_call *c)
{
	if (guest_request_id)
		snprintf(c->request, sizeof(c->request), "%s",
			 guest_request_id);
	else if (uuid_generate(c->request))
		return -1;
	if (!c->parameters)
		c->parameters = json_object();
	return json_object_set_new(c->parameters, "request",
				   json_string(c->request));
}

void guest_change(const char *vm, struct guest_call *c, bool request)
{
	if (request && add_request(c)) {
		c->error = -ENOMEM;
		snprintf(c->why, sizeof(c->why), "no id for the request");
		json_decref(c->parameters);
		return;
	}
	interrupt_say("%s: interrupted; whether the guest did %s is not known",
		      cli_safe(vm), c->method);
	guest_calls(vm, c, 1, guest_deadline());
	interrupt_say(NULL);
}

bool guest_is_unknown(const struct guest_call *c)
{
	return c->sent && !c->reply && !has_error(c);
}

int guest_change_report(const char *vm, const struct guest_call *c)
{
	if (!guest_is_unknown(c))
		return guest_call_report(vm, c);
	if (c->request[0] == '\0')
		return cli_error(CLI_NO,
				 "%s; whether the guest did it is not known",
				 c->why);
	return cli_error(CLI_NO,
			 "%s; whether the guest did it is not known: once more "
			 "with --request %s does not do it twice",
			 c->why, cli_safe(c->request));
}
