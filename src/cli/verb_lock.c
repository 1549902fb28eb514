/* SPDX-License-Identifier: MIT */
/* verb_lock.c - vmchannel lock, unlock, logoff, message */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/guest_verb.h"

#define SESSION GUEST "Session."
/* As the interface file has it. */
#define TEXT_MAX 4096

static const char *session, *user;

/* ---- lock
 * ---------------------------------------------------------------------- */

static void say_asked_to_lock(const json_t *reply)
{
	(void)reply;
	printf("its desktop was asked to lock; 'vmchannel sessions' shows "
	       "whether it did");
}

static void say_locked(const json_t *reply)
{
	long long n = ask_number(reply, "locked");

	if (n == 0)
		printf("there is no session that can be locked");
	else
		printf("%lld session%s asked to lock", n,
		       n == 1 ? " was" : "s were");
}

static int run_lock(const struct cli_args *a)
{
	static const struct guest_act one = {.method = SESSION "LockSession",
					     .say = say_asked_to_lock};
	static const struct guest_act every = {.method = SESSION "LockSessions",
					       .say = say_locked};

	if (a->n > 1)
		return guest_act(a->v[0], &one,
				 json_pack("{s:s}", "id", a->v[1]));
	return guest_act(a->v[0], &every, NULL);
}

/* ---- unlock
 * -------------------------------------------------------------------- */

static void say_asked_to_unlock(const json_t *reply)
{
	(void)reply;
	printf("its desktop was asked to unlock");
}

static int unlock(const char *vm, const char *id)
{
	static const struct guest_act act = {.method = SESSION "UnlockSession",
					     .say = say_asked_to_unlock};

	return guest_act(vm, &act, json_pack("{s:s}", "id", id));
}

/* All that are locked; the first that cannot be unlocked ends it. */
static int unlock_locked(const char *vm)
{
	json_t *reply, *s;
	size_t i;
	int n = 0, r;

	r = guest_ask(vm, SESSION "ListSessions", NULL, "sessions", &reply);
	if (r != CLI_OK)
		return r;
	json_array_foreach(json_object_get(reply, "sessions"), i, s)
	{
		if (r != CLI_OK || !json_is_true(json_object_get(s, "locked")))
			continue;
		n++;
		r = unlock(vm, json_string_value(json_object_get(s, "id")));
	}
	json_decref(reply);
	if (r == CLI_OK && n == 0)
		cli_note("%s: no session is locked", cli_safe(vm));
	return r;
}

static int run_unlock(const struct cli_args *a)
{
	return a->n > 1 ? unlock(a->v[0], a->v[1]) : unlock_locked(a->v[0]);
}

/* ---- logoff
 * -------------------------------------------------------------------- */

static void say_ended(const json_t *reply)
{
	(void)reply;
	printf("the session ends");
}

static void say_all_ended(const json_t *reply)
{
	long long n = ask_number(reply, "sessions");

	printf("%lld session%s", n, n == 1 ? " ends" : "s end");
}

static int run_logoff(const struct cli_args *a)
{
	static const struct guest_act one = {.method =
						     SESSION "TerminateSession",
					     .request = true,
					     .say = say_ended};
	static const struct guest_act every = {.method =
						       SESSION "TerminateUser",
					       .request = true,
					       .say = say_all_ended};
	json_int_t uid;
	int r;

	if ((a->n > 1) == (session != NULL))
		return cli_error(CLI_FAILED,
				 "logoff: wants a USER or --session ID; "
				 "'vmchannel sessions %s' lists both",
				 cli_safe(a->v[0]));
	if (session)
		return guest_act(a->v[0], &one,
				 json_pack("{s:s}", "id", session));
	r = guest_user(a->v[0], a->v[1], &uid);
	return r == CLI_OK ? guest_act(a->v[0], &every,
				       json_pack("{s:I}", "uid", uid))
			   : r;
}

/* ---- message
 * ------------------------------------------------------------------- */

static void say_shown(const json_t *reply)
{
	long long n = ask_number(reply, "shown");

	if (n == 0)
		printf("nobody took it");
	else
		printf("shown on %lld terminal%s or desktop%s", n,
		       n == 1 ? "" : "s", n == 1 ? "" : "s");
}

/* stdin, without the newlines at its end. Return: CLI_OK or the status. */
static int read_text(char ret[TEXT_MAX + 2])
{
	size_t n = fread(ret, 1, TEXT_MAX + 1, stdin);

	if (ferror(stdin))
		return cli_error(CLI_FAILED, "cannot read stdin");
	while (n > 0 && ret[n - 1] == '\n')
		n--;
	ret[n] = '\0';
	return strlen(ret) == n
		       ? CLI_OK
		       : cli_error(CLI_FAILED, "message: stdin is not text");
}

static int add_receiver(const char *vm, json_t *p)
{
	json_int_t uid;
	int r;

	if (session)
		json_object_set_new(p, "id", json_string(session));
	if (!user)
		return CLI_OK;
	r = guest_user(vm, user, &uid);
	if (r == CLI_OK)
		json_object_set_new(p, "uid", json_integer(uid));
	return r;
}

static int send_message(const char *vm, const char *text)
{
	static const struct guest_act act = {.method = SESSION "SendMessage",
					     .request = true,
					     .count = "shown",
					     .say = say_shown};
	json_t *p = json_pack("{s:s}", "text", text);
	int r = p ? add_receiver(vm, p)
		  : cli_error(CLI_FAILED, "message: the text is not UTF-8");

	if (r == CLI_OK)
		return guest_act(vm, &act, p);
	json_decref(p);
	return r;
}

static int run_message(const struct cli_args *a)
{
	char text[TEXT_MAX + 2];
	const char *t = a->v[1];
	int r = CLI_OK;

	if (session && user)
		return cli_error(CLI_FAILED,
				 "message: --session or --user, not both");
	if (strcmp(t, "-") == 0) {
		r = read_text(text);
		t = text;
	}
	if (r == CLI_OK && (t[0] == '\0' || strlen(t) > TEXT_MAX))
		r = cli_error(CLI_FAILED, "message: a text has 1 to %d bytes",
			      TEXT_MAX);
	return r == CLI_OK ? send_message(a->v[0], t) : r;
}

/* ---- the verbs
 * ----------------------------------------------------------------- */

static const struct cli_option options[] = {GUEST_OPTION_TIMEOUT, {0}};

const struct cli_verb verb_lock = {
	.name = "lock",
	.args = "VM [SESSION]",
	.summary = "lock the guest's desktops, or one",
	.help = "Asks the desktops; whether they did is LOCKED in 'vmchannel "
		"sessions', and the event\nSessionLocked. Without SESSION all "
		"that can be locked.\n\n"
		"example: vmchannel lock web1\n"
		"         vmchannel lock web1 2\n",
	.options = options,
	.min_args = 1,
	.max_args = 2,
	.run = run_lock,
};

const struct cli_verb verb_unlock = {
	.name = "unlock",
	.args = "VM [SESSION]",
	.summary = "unlock a locked desktop; denied unless the guest allows it",
	.help = "Without SESSION all that are locked. It makes the host one "
		"of the guest's users, so the\nguest's policy denies it until "
		"a line of its own allows it:\n"
		"call org.vmchannel.Session.UnlockSession host allow\n\n"
		"example: vmchannel unlock web1\n"
		"         vmchannel unlock web1 2\n",
	.options = options,
	.min_args = 1,
	.max_args = 2,
	.run = run_unlock,
};

static const struct cli_option logoff_options[] = {
	{.name = "session",
	 .value = "ID",
	 .help = "only that one, as 'vmchannel sessions' shows it",
	 .text = &session},
	GUEST_OPTION_REQUEST,
	GUEST_OPTION_TIMEOUT,
	{0},
};

const struct cli_verb verb_logoff = {
	.name = "logoff",
	.args = "VM [USER]",
	.summary = "end a user's sessions, or one session",
	.help = "All sessions and processes of USER (a name or a uid) end, or "
		"those of one session.\nWhat was not saved is lost.\n\n"
		"example: vmchannel logoff web1 alice\n"
		"         vmchannel logoff web1 --session 2\n",
	.options = logoff_options,
	.min_args = 1,
	.max_args = 2,
	.run = run_logoff,
};

static const struct cli_option message_options[] = {
	{.name = "user",
	 .value = "USER",
	 .help = "to that one only: a name or a uid",
	 .text = &user},
	{.name = "session",
	 .value = "ID",
	 .help = "to that one only, as 'vmchannel sessions' shows it",
	 .text = &session},
	GUEST_OPTION_REQUEST,
	GUEST_OPTION_TIMEOUT,
	{0},
};

const struct cli_verb verb_message = {
	.name = "message",
	.args = "VM TEXT",
	.summary = "show a text to the guest's users",
	.help = "On terminals as wall does, on desktops as a notification; to "
		"all who are logged in,\nor to one. TEXT - is read from stdin. "
		"Exit status 1: nobody took it.\n\n"
		"example: vmchannel message web1 'reboot at 18:00'\n"
		"         uptime | vmchannel message web1 - --user alice\n",
	.options = message_options,
	.min_args = 2,
	.max_args = 2,
	.run = run_message,
};
