/* SPDX-License-Identifier: MIT */
/*
 * verb_freeze.c - vmchannel freeze, thaw
 *
 * With a command the guest stays frozen while that runs: the lease is renewed
 * at every third of it. Whatever becomes of the command or of this program, the
 * guest thaws: by Thaw, or when nobody renews the lease.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/guest_verb.h"
#include "cli/interrupt.h"
#include "client/child_signals.h"

#define STORAGE GUEST "Storage."
/* As the interface file has it. */
#define LEASE_MAX_S 600
#define LEASE_MAX   64
/* For one renewal, and until the next if it failed. */
#define RENEW_MS 3000
#define AGAIN_MS 200

static bool no_hooks, show;
static unsigned int lease_s = 60;

struct frozen {
	const char *vm;
	char lease[LEASE_MAX + 1];
	uint64_t renew_us; /* when to renew */
	uint64_t until_us; /* then it is over, unless it was renewed */
	bool lost;         /* the guest thawed before its time */
};

/* ---- the lease
 * ----------------------------------------------------------------- */

static void set_lease(struct frozen *f)
{
	uint64_t now = cli_now_us(), lease_us = (uint64_t)lease_s * 1000000u;

	f->renew_us = now + lease_us / 3;
	f->until_us = now + lease_us;
}

static json_t *freeze_parameters(const struct cli_args *a)
{
	json_t *p = json_pack("{s:I}", "lease_ms", (json_int_t)lease_s * 1000);
	json_t *mounts = json_array();

	for (int i = 1; i < a->n; i++)
		json_array_append_new(mounts, json_string(a->v[i]));
	if (a->n > 1)
		json_object_set(p, "mounts", mounts);
	if (no_hooks)
		json_object_set_new(p, "hooks", json_false());
	json_decref(mounts);
	return p;
}

static int print_frozen(const char *vm, const json_t *reply)
{
	long long n = ask_number(reply, "frozen");

	if (cli_json)
		return guest_print(vm, reply);
	printf("%s: %lld file system%s frozen for %u s (lease %s); 'vmchannel "
	       "thaw %s' ends it\n",
	       cli_safe(vm), n, n == 1 ? "" : "s", lease_s,
	       ask_text(reply, "lease"), cli_safe(vm));
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

/* Without a request: then the guest thaws at once if we go before it answers.
 */
static int freeze(struct frozen *f, const struct cli_args *a, json_t **ret)
{
	struct guest_call c = {.method = STORAGE "Freeze",
			       .parameters = freeze_parameters(a)};
	const char *lease;
	int r;

	interrupt_say("%s: interrupted; if the guest has frozen, it thaws by "
		      "itself within %u s",
		      cli_safe(f->vm), lease_s);
	guest_calls(f->vm, &c, 1, guest_deadline());
	r = guest_change_report(f->vm, &c);
	lease = json_string_value(json_object_get(c.reply, "lease"));
	if (lease)
		snprintf(f->lease, sizeof(f->lease), "%s", lease);
	set_lease(f);
	*ret = c.reply;
	c.reply = NULL;
	guest_call_done(&c);
	return r;
}

static json_t *lease_of(const struct frozen *f)
{
	return json_pack("{s:s}", "lease", f->lease);
}

/* A guest that does not answer is asked again, until its lease is over by any
 * clock. Not for long: signals wait meanwhile. */
static void renew(struct frozen *f)
{
	struct guest_call c = {.method = STORAGE "RenewFreeze",
			       .parameters = lease_of(f)};
	uint64_t now = cli_now_us(), end = now + RENEW_MS * 1000u;

	json_object_set_new(c.parameters, "lease_ms",
			    json_integer((json_int_t)lease_s * 1000));
	guest_calls(f->vm, &c, 1, end < f->until_us ? end : f->until_us);
	if (c.reply)
		set_lease(f);
	else if (c.error_name[0] != '\0' || cli_now_us() >= f->until_us)
		f->lost = true;
	else
		f->renew_us = cli_now_us() + AGAIN_MS * 1000u;
	guest_call_done(&c);
}

/* Return: CLI_OK, or the exit status, reported. */
static int thaw(struct frozen *f)
{
	struct guest_call c = {.method = STORAGE "Thaw",
			       .parameters = lease_of(f)};
	int r = CLI_OK;

	guest_calls(f->vm, &c, 1, guest_deadline());
	if (guest_is(&c, "Storage.NoSuchLease"))
		f->lost = true;
	else
		r = guest_call_report(f->vm, &c);
	guest_call_done(&c);
	return r;
}

/* ---- the command
 * --------------------------------------------------------------- */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};

/* From now on they are read, not taken. Return: a descriptor or -1. */
static int hold_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, before))
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start(pid_t *ret, char *const *argv)
{
	posix_spawnattr_t attr;
	int r;

	posix_spawnattr_init(&attr);
	r = child_signals(&attr);
	if (!r)
		r = posix_spawnp(ret, argv[0], NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return r;
}

struct command {
	pid_t pid;
	int signals; /* signalfd */
	int stopped; /* the signal that ends us, or 0 */
	int status;  /* exit status, when over */
	bool over;
};

/* What a terminal sends, the command got, too. */
static void pass_on(struct command *c, const struct signalfd_siginfo *s)
{
	int sig = (int)s->ssi_signo;

	c->stopped = sig;
	if (s->ssi_code != SI_KERNEL)
		(void)kill(c->pid, sig);
}

static void take_signals(struct command *c)
{
	struct signalfd_siginfo s;
	int status;

	while (read(c->signals, &s, sizeof(s)) == (ssize_t)sizeof(s))
		if (s.ssi_signo != SIGCHLD)
			pass_on(c, &s);
	if (waitpid(c->pid, &status, WNOHANG) == c->pid) {
		c->status = child_status(status);
		c->over = true;
	}
}

/* Until the command is over, or we are to stop, or the guest has thawed. */
static void watch(struct frozen *f, struct command *c)
{
	while (!c->over && !c->stopped && !f->lost) {
		uint64_t now = cli_now_us();
		struct pollfd fd = {c->signals, POLLIN, 0};

		if (now >= f->renew_us)
			renew(f);
		else
			(void)poll(&fd, 1,
				   (int)((f->renew_us - now) / 1000 + 1));
		take_signals(c);
	}
}

/* It goes on without a frozen guest. */
static void wait_end(struct command *c)
{
	struct pollfd fd = {c->signals, POLLIN, 0};

	while (!c->over) {
		(void)poll(&fd, 1, -1);
		take_signals(c);
	}
}

static int verdict(const struct frozen *f, const struct command *c, int thawed)
{
	if (f->lost)
		return cli_error(CLI_FAILED,
				 "%s: the freeze ended before the command did "
				 "(whose status is %d): what that saw is not "
				 "of one moment",
				 cli_safe(f->vm), c->status);
	if (thawed != CLI_OK)
		return cli_error(CLI_FAILED,
				 "%s: it was not thawed by us; the lease ends "
				 "by itself within %u s",
				 cli_safe(f->vm), lease_s);
	return c->stopped ? 128 + c->stopped : c->status;
}

static int run_command(struct frozen *f, char *const *argv)
{
	struct command c = {.pid = -1};
	sigset_t before;
	int r;

	c.signals = hold_signals(&before);
	r = c.signals < 0 ? errno : start(&c.pid, argv);
	if (r) {
		(void)thaw(f);
		return cli_error(r == ENOENT ? CLI_MISSING : CLI_FAILED,
				 "cannot run %s: %s", cli_safe(argv[0]),
				 strerror(r));
	}
	watch(f, &c);
	if (f->lost)
		cli_note("%s: the freeze has ended; the command still runs",
			 cli_safe(f->vm));
	r = f->lost ? CLI_OK : thaw(f);
	wait_end(&c);
	close(c.signals);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return verdict(f, &c, r);
}

/* ---- the verbs
 * ----------------------------------------------------------------- */

static int show_status(const char *vm)
{
	json_t *reply;
	char until[32];
	int r = guest_ask(vm, STORAGE "FreezeStatus", NULL, NULL, &reply);

	if (r != CLI_OK)
		return r;
	table_time(ask_number(reply, "until_us"), until, sizeof(until));
	if (cli_json)
		r = guest_print(vm, reply);
	else if (!json_is_true(json_object_get(reply, "frozen")))
		printf("%s: not frozen\n", cli_safe(vm));
	else
		printf("%s: %zu file systems frozen until %s (lease %s)\n",
		       cli_safe(vm),
		       json_array_size(json_object_get(reply, "mounts")), until,
		       ask_text(reply, "lease"));
	json_decref(reply);
	return r;
}

static int run_freeze(const struct cli_args *a)
{
	struct frozen f = {.vm = a->v[0]};
	json_t *reply;
	int r;

	if (show)
		return show_status(f.vm);
	if (a->rest && a->n_rest == 0)
		return cli_error(CLI_FAILED,
				 "freeze: wants a command after --");
	if (lease_s < 1 || lease_s > LEASE_MAX_S)
		return cli_error(CLI_FAILED, "--lease %u: 1 to %d seconds",
				 lease_s, LEASE_MAX_S);
	r = freeze(&f, a, &reply);
	if (r == CLI_OK)
		r = a->rest ? run_command(&f, a->rest)
			    : print_frozen(f.vm, reply);
	json_decref(reply);
	return r;
}

static void say_thawed(const json_t *reply)
{
	long long n = ask_number(reply, "thawed");

	if (n == 0)
		printf("nothing was frozen");
	else
		printf("%lld file system%s thawed", n, n == 1 ? "" : "s");
}

static int run_thaw(const struct cli_args *a)
{
	static const struct guest_act act = {.method = STORAGE "Thaw",
					     .say = say_thawed};

	return guest_act(a->v[0], &act, NULL);
}

static const struct cli_option freeze_options[] = {
	{.name = "lease",
	 .value = "SECONDS",
	 .help = "then it thaws by itself (default 60, up to 600)",
	 .number = &lease_s},
	{.name = "no-hooks",
	 .help = "without the guest's freeze hooks",
	 .flag = &no_hooks},
	{.name = "show", .help = "what is frozen now", .flag = &show},
	GUEST_OPTION_TIMEOUT,
	{0},
};

/* All mounts that a call may name, and the VM. */
#define MOUNTS_MAX 256

const struct cli_verb verb_freeze = {
	.name = "freeze",
	.args = "VM [MOUNT...] [-- COMMAND...]",
	.summary = "stop the guest's writing to disk, for a snapshot",
	.help = "Of all file systems or of those mounted at MOUNT. With "
		"COMMAND, the guest is frozen\nwhile that runs on this "
		"machine, and the exit status is the command's, or 125 if the\n"
		"freeze ended before it did. However this ends, the guest thaws "
		"after --lease at the\nlatest.\n\n"
		"example: vmchannel freeze web1 -- lvcreate -s -n snap vg/web1\n"
		"         vmchannel freeze web1 /srv --lease 10\n",
	.options = freeze_options,
	.min_args = 1,
	.max_args = 1 + MOUNTS_MAX,
	.takes_rest = true,
	.run = run_freeze,
};

static const struct cli_option thaw_options[] = {GUEST_OPTION_TIMEOUT, {0}};

const struct cli_verb verb_thaw = {
	.name = "thaw",
	.args = "VM",
	.summary = "let a frozen guest write again",
	.help = "Whatever is frozen thaws, whoever froze it.\n\n"
		"example: vmchannel thaw web1\n"
		"         vmchannel thaw web1 --json\n",
	.options = thaw_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_thaw,
};
