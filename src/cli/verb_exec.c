/* SPDX-License-Identifier: MIT */
/* verb_exec.c - vmchannel exec and vmchannel shell */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "cli/far.h"
#include "cli/target.h"
#include "cli/tty.h"

#define EXEC "org.vmchannel.Exec."

/* What the interface file allows. */
#define NAME_MAX_LEN 255
#define TERM_MAX     63

static bool tty;
static struct cli_list environment;
static const char *directory, *service;
static unsigned int timeout_s = 30;

/* A call carries text. */
static int not_text(const char *what)
{
	return cli_error(CLI_FAILED,
			 "exec: %s is not UTF-8, which a call cannot carry; "
			 "pass it through stdin",
			 what);
}

static int add_argv(json_t *p, char *const *argv)
{
	json_t *list = json_array();

	for (char *const *a = argv; *a; a++)
		if (json_array_append_new(list, json_string(*a))) {
			json_decref(list);
			return not_text("an argument of the command");
		}
	json_object_set_new(p, "argv", list);
	return CLI_OK;
}

static int add_variable(json_t *to, const char *text)
{
	const char *equals = strchr(text, '=');
	char name[NAME_MAX_LEN + 1];
	size_t len = equals ? (size_t)(equals - text) : 0;

	if (len == 0 || len > NAME_MAX_LEN)
		return cli_error(CLI_FAILED,
				 "exec: --env wants NAME=VALUE, not '%s'",
				 cli_safe(text));
	memcpy(name, text, len);
	name[len] = '\0';
	if (json_object_set_new(to, name, json_string(equals + 1)))
		return not_text("a variable of --env");
	return CLI_OK;
}

static json_t *size_now(void)
{
	struct opframe_size size;

	tty_size(&size);
	return json_pack("{s:i,s:i}", "rows", size.rows, "columns",
			 size.columns);
}

/* The terminal's kind; NULL: unknown, or nothing that the guest would take. */
static const char *term(void)
{
	const char *t = getenv("TERM");

	return t && t[0] != '\0' && strlen(t) <= TERM_MAX ? t : NULL;
}

static int add_environment(json_t *p)
{
	json_t *to = json_object();
	int r = CLI_OK;

	if (tty && term())
		json_object_set_new(to, "TERM", json_string(term()));
	for (unsigned int i = 0; r == CLI_OK && i < environment.n; i++)
		r = add_variable(to, environment.v[i]);
	if (json_object_size(to) > 0)
		json_object_set(p, "environment", to);
	json_decref(to);
	return r;
}

static int start(const struct target *t, const char *method, bool has_tty,
		 json_t *parameters)
{
	const struct opstream_call call = {
		.vm = t->vm,
		.method = method,
		.kind = has_tty ? FRAMES_TTY : FRAMES_PIPES,
		.timeout_s = timeout_s,
	};
	struct opstream s;
	json_t *reply;
	int r;

	if (t->user)
		json_object_set_new(parameters, "user", json_string(t->user));
	r = opstream_open(&s, &call, parameters, &reply);
	if (r != CLI_OK)
		/* 1 would be the command's. */
		return r == CLI_NO ? CLI_FAILED : r;
	json_decref(reply);
	return far_run(&s, has_tty);
}

static int run_command(const struct target *t, char *const *argv)
{
	json_t *p = json_object();
	int r = add_argv(p, argv);

	if (r == CLI_OK)
		r = add_environment(p);
	if (r == CLI_OK && directory &&
	    json_object_set_new(p, "directory", json_string(directory)))
		r = not_text("--directory");
	if (r == CLI_OK && tty)
		json_object_set_new(p, "pty", size_now());
	if (r == CLI_OK)
		return start(t, EXEC "Run", tty, p);
	json_decref(p);
	return r;
}

static int run_service(const struct target *t, const struct cli_args *a)
{
	json_t *p = json_pack("{s:s}", "name", service);
	int r = CLI_OK;

	if (!p)
		r = not_text("--service");
	else if (t->user || tty || directory || environment.n > 0)
		r = cli_error(CLI_FAILED,
			      "exec: --service takes no USER@, -t, --env and "
			      "--directory: the guest says how it is run");
	else if (a->n_rest > 1)
		r = cli_error(CLI_FAILED,
			      "exec: --service takes one argument after --, "
			      "not %d",
			      a->n_rest);
	else if (a->n_rest == 1 &&
		 json_object_set_new(p, "argument", json_string(a->rest[0])))
		r = not_text("the argument");
	if (r == CLI_OK)
		return start(t, EXEC "RunService", false, p);
	json_decref(p);
	return r;
}

static int run_exec(const struct cli_args *a)
{
	struct target t;
	int r = target_user(&t, "exec", a->v[0]);

	if (r != CLI_OK)
		return r;
	if (service)
		return run_service(&t, a);
	if (a->n_rest == 0)
		return cli_error(CLI_FAILED,
				 "exec: what is to be run comes after --; see "
				 "'vmchannel exec --help'");
	return run_command(&t, a->rest);
}

static int run_shell(const struct cli_args *a)
{
	struct target t;
	json_t *p;
	int r = target_user(&t, "shell", a->v[0]);

	if (r != CLI_OK)
		return r;
	p = json_pack("{s:o}", "size", size_now());
	if (term())
		json_object_set_new(p, "term", json_string(term()));
	return start(&t, EXEC "Shell", true, p);
}

#define OPTION_TIMEOUT                                                         \
	{                                                                      \
		.name = "timeout", .value = "SECONDS",                         \
		.help = "for the guest to start it; 0: for ever (default 30)", \
		.number = &timeout_s                                           \
	}

static const struct cli_option exec_options[] = {
	{.name = "tty",
	 .letter = 't',
	 .help = "on a terminal, with the size and keys of this one",
	 .flag = &tty},
	{.name = "env",
	 .value = "NAME=VALUE",
	 .help = "a variable of its environment; repeatable",
	 .list = &environment},
	{.name = "directory",
	 .value = "DIR",
	 .help = "where it starts; default: the user's home",
	 .text = &directory},
	{.name = "service",
	 .value = "NAME",
	 .help = "run /etc/vmchannel/run.d/NAME of the guest",
	 .text = &service},
	OPTION_TIMEOUT,
	{0},
};

static const struct cli_option shell_options[] = {
	OPTION_TIMEOUT,
	{0},
};

const struct cli_verb verb_exec = {
	.name = "exec",
	.args = "[USER@]VM -- COMMAND...",
	.summary = "run a command in the guest",
	.help = "As USER, or root. stdin, stdout and stderr are the command's, "
		"each by itself;\nthe exit status is its own, 128 + N if signal "
		"N killed it; 127 if it is not there,\n126 if it cannot be run, "
		"or the guest's policy denies it, which it does until a\nline of "
		"its policy.d allows it (call org.vmchannel.Exec.* host allow); "
		"125 if\nvmchannel failed. SIGINT, SIGTERM, SIGHUP and SIGQUIT "
		"go to the command; the\nsecond one ends vmchannel, and by that "
		"the command.\n\n"
		"With -t it gets a terminal: what is typed goes to it, also "
		"Ctrl-C, but ~. at the\nbeginning of a line, which leaves it. If "
		"stdin is no terminal, it still gets one.\n\n"
		"With --service, what the guest's administrator put into run.d, "
		"with at most one\nargument after --; allowed by default.\n\n"
		"example: vmchannel exec web1 -- uname -a\n"
		"         vmchannel exec -t alice@web1 -- htop\n"
		"         tar c DIR | vmchannel exec web1 -- tar x -C /srv\n"
		"         vmchannel exec web1 --service backup -- full\n",
	.options = exec_options,
	.min_args = 1,
	.max_args = 1,
	.takes_rest = true,
	.run = run_exec,
};

const struct cli_verb verb_shell = {
	.name = "shell",
	.args = "[USER@]VM",
	.summary = "log in to the guest",
	.help = "The log-in shell of USER, or root, on a terminal with the size "
		"and keys of this\none. At the beginning of a line, ~. leaves "
		"it, also when it hangs, ~^Z stops\nvmchannel, and ~~ is a ~. "
		"The exit status is the shell's; otherwise as for exec,\nalso "
		"what the guest's policy has to allow.\n\n"
		"example: vmchannel shell web1\n"
		"         vmchannel shell alice@web1\n",
	.options = shell_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_shell,
};
