/* SPDX-License-Identifier: MIT */
/* main.c - find the verb, parse its options, run it */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/vms.h"

/* Options of a verb plus the common ones. */
#define OPTIONS_MAX 24

enum {
	OPT_HELP = 1000,
	OPT_JSON,
	OPT_DIR,
	OPT_VERSION,
};

#define VERB(name) extern const struct cli_verb verb_##name;
#include "cli/verbs.def"
#undef VERB

const struct cli_verb *const cli_verbs[] = {
#define VERB(name) &verb_##name,
#include "cli/verbs.def"
#undef VERB
	NULL};

bool cli_json;

const struct cli_verb *cli_find_verb(const char *name)
{
	for (const struct cli_verb *const *v = cli_verbs; *v; v++)
		if (strcmp((*v)->name, name) == 0)
			return *v;
	return NULL;
}

static bool parse_number(const char *text, unsigned int *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end != '\0' || n < 0 || n > INT_MAX)
		return false;
	*ret = (unsigned int)n;
	return true;
}

static int add_to_list(const struct cli_verb *v, const struct cli_option *o)
{
	unsigned int most = o->most ? o->most : CLI_LIST_MAX;

	if (o->list->n == most)
		return cli_error(CLI_FAILED, "%s: --%s can be given %u times",
				 v->name, o->name, most);
	o->list->v[o->list->n++] = optarg;
	return CLI_OK;
}

static int store(const struct cli_verb *v, const struct cli_option *o)
{
	if (o->list)
		return add_to_list(v, o);
	if (o->flag)
		*o->flag = true;
	if (o->flag && !optarg)
		return CLI_OK;
	if (o->text)
		*o->text = optarg;
	else if (!parse_number(optarg, o->number))
		return cli_error(CLI_FAILED,
				 "%s: --%s wants a whole number, not '%s'",
				 v->name, o->name, cli_safe(optarg));
	return CLI_OK;
}

static int set_dir(const char *dir)
{
	if (dir[0] != '/')
		return cli_error(CLI_FAILED, "--dir %s: give an absolute path",
				 cli_safe(dir));
	if (setenv("VMCHANNEL_DIR", dir, 1))
		return cli_error(CLI_FAILED, "out of memory");
	return CLI_OK;
}

static int has_value(const struct cli_option *o)
{
	if (o->flag)
		return o->number ? optional_argument : no_argument;
	return required_argument;
}

/* The table for getopt_long(): the verb's row i has the value i. */
static void fill_long_options(const struct cli_verb *v, struct option *ret)
{
	static const struct option common[] = {
		{"help", no_argument, NULL, OPT_HELP},
		{"json", no_argument, NULL, OPT_JSON},
		{"dir", required_argument, NULL, OPT_DIR},
		{NULL, 0, NULL, 0},
	};
	int n = 0;

	for (const struct cli_option *o = v->options; o && o->name; o++, n++)
		ret[n] = (struct option){o->name, has_value(o), NULL, n};
	memcpy(ret + n, common, sizeof(common));
}

/* The letters, as getopt_long() wants them. */
static void fill_short_options(const struct cli_verb *v,
			       char ret[3 + 2 * OPTIONS_MAX])
{
	char *to = stpcpy(ret, ":h");

	for (const struct cli_option *o = v->options; o && o->name; o++) {
		if (o->letter == 0)
			continue;
		*to++ = o->letter;
		if (!o->flag)
			*to++ = ':';
	}
	*to = '\0';
}

/* What getopt_long() returned: a row's letter, or its number. */
static const struct cli_option *option_of(const struct cli_verb *v, int c)
{
	for (const struct cli_option *o = v->options; o && o->name; o++)
		if (o->letter != 0 && o->letter == c)
			return o;
	return &v->options[c];
}

static int usage_error(const struct cli_verb *v, const char *what,
		       const char *arg)
{
	return cli_error(CLI_FAILED, "%s: %s%s; see 'vmchannel %s --help'",
			 v->name, what, arg ? cli_safe(arg) : "", v->name);
}

static int unknown_option(const struct cli_verb *v, int c, char **argv)
{
	/* optopt is the row's value if its argument is missing. */
	if (c == ':')
		return usage_error(v, "a value is missing after ",
				   argv[optind - 1]);
	return usage_error(v, "unknown option ", argv[optind - 1]);
}

/* Takes the options of a verb out of argv[1..argc). -1: go on. */
static int parse_options(const struct cli_verb *v, int argc, char **argv)
{
	struct option longs[OPTIONS_MAX];
	char shorts[3 + 2 * OPTIONS_MAX];
	int c, r = CLI_OK;

	fill_long_options(v, longs);
	fill_short_options(v, shorts);
	opterr = 0;
	optind = 0;
	while (r == CLI_OK &&
	       (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		switch (c) {
		case 'h':
		case OPT_HELP:
			cli_help_verb(v);
			return cli_finish_output(CLI_OK);
		case OPT_JSON:
			cli_json = true;
			break;
		case OPT_DIR:
			r = set_dir(optarg);
			break;
		case '?':
		case ':':
			return unknown_option(v, c, argv);
		default:
			r = store(v, option_of(v, c));
		}
	}
	return r == CLI_OK ? -1 : r;
}

/* Where there is only one VM, its name is the likely answer. */
static int too_few(const struct cli_verb *v)
{
	struct vms vms;
	int r;

	if ((strncmp(v->args, "VM", 2) != 0 &&
	     strncmp(v->args, "[USER@]VM", 9) != 0) ||
	    vms_find(&vms))
		return usage_error(v, "too few arguments: wants ", v->args);
	if (vms.n == 1)
		r = cli_error(CLI_FAILED,
			      "%s: too few arguments: wants %s; the only VM "
			      "here is '%s'",
			      v->name, v->args, vms.names[0]);
	else
		r = usage_error(v, "too few arguments: wants ", v->args);
	vms_done(&vms);
	return r;
}

static bool is_utf8(const char *text)
{
	json_t *s = json_string(text);

	json_decref(s);
	return s != NULL;
}

static int check_args(const struct cli_verb *v, const struct cli_args *a)
{
	if (a->n < v->min_args)
		return too_few(v);
	if (a->n > v->max_args && v->takes_rest && !a->rest)
		return cli_error(CLI_FAILED,
				 "%s: one argument too many: %s; a command "
				 "comes after --; see 'vmchannel %s --help'",
				 v->name, cli_safe(a->v[v->max_args]), v->name);
	if (a->n > v->max_args)
		return usage_error(
			v, "one argument too many: ", a->v[v->max_args]);
	if (a->rest && !v->takes_rest)
		return usage_error(v, "does not take a command after --", NULL);
	if (v->needs_rest && a->n_rest == 0)
		return usage_error(v, "wants a command after --", NULL);
	/* They become JSON, and no name has other characters. */
	for (int i = 0; i < a->n; i++)
		if (!is_utf8(a->v[i]))
			return usage_error(
				v, "this argument is not UTF-8: ", a->v[i]);
	return -1;
}

/* Everything from "--" on is not ours: getopt would mix it up with the
 * arguments before it. */
static int split_rest(int argc, char **argv, struct cli_args *ret)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		ret->rest = argv + i + 1;
		ret->n_rest = argc - i - 1;
		argv[i] = NULL;
		return i;
	}
	return argc;
}

/* argv[0] is the verb's name. */
static int run_verb(const struct cli_verb *v, int argc, char **argv)
{
	struct cli_args a = {0};
	int r;

	argc = split_rest(argc, argv, &a);
	r = parse_options(v, argc, argv);
	if (r >= 0)
		return r;
	a.v = argv + optind;
	a.n = argc - optind;
	r = check_args(v, &a);
	if (r >= 0)
		return r;
	return cli_finish_output(v->run(&a));
}

/* Options before the verb: the same common ones. Return: the verb's index in
 * argv, or 0 when there is nothing more to do, with the status in @ret. */
static int common_options(int argc, char **argv, int *ret)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, OPT_HELP},
		{"version", no_argument, NULL, OPT_VERSION},
		{"json", no_argument, NULL, OPT_JSON},
		{"dir", required_argument, NULL, OPT_DIR},
		{NULL, 0, NULL, 0},
	};
	int c;

	*ret = CLI_OK;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'h':
		case OPT_HELP:
			cli_help_overview();
			return 0;
		case 'V':
		case OPT_VERSION:
			*ret = verb_version.run(NULL);
			return 0;
		case OPT_JSON:
			cli_json = true;
			break;
		case OPT_DIR:
			*ret = set_dir(optarg);
			if (*ret)
				return 0;
			break;
		default:
			*ret = cli_error(CLI_FAILED,
					 "%s: unknown option or a value is "
					 "missing; see 'vmchannel --help'",
					 cli_safe(argv[optind - 1]));
			return 0;
		}
	}
	if (optind < argc)
		return optind;
	cli_help_overview();
	*ret = CLI_FAILED;
	return 0;
}

/* A descriptor of ours must never get the number of a closed standard one:
 * what is meant for stdout would go into a stream. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	const struct cli_verb *v;
	int at, status;

	open_standard_fds();
	(void)setlocale(LC_TIME, "");
	/* A reader that goes away is seen as EPIPE where it is written to. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* Who started us may ignore it; then nobody's end could be waited for.
	 */
	(void)signal(SIGCHLD, SIG_DFL);
	at = common_options(argc, argv, &status);
	if (at == 0)
		return cli_finish_output(status);
	v = cli_find_verb(argv[at]);
	if (!v)
		return cli_error(CLI_FAILED,
				 "there is no verb '%s'; 'vmchannel help' "
				 "lists them",
				 cli_safe(argv[at]));
	return run_verb(v, argc - at, argv + at);
}
