/* SPDX-License-Identifier: MIT */
/*
 * options.c - vmchanneld's command line
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/options.h"

static const char help[] =
	"Usage: vmchanneld [OPTION]... VM\n"
	"\n"
	"Serves named channels between the virtual machine VM and programs on\n"
	"this host. Stays in the foreground.\n"
	"\n"
	"  --link SOCKET      QEMU's chardev socket; default: \"link\" in the\n"
	"                     VM's directory\n"
	"  --link-fd N        a socket that is connected to it already\n"
	"  --qmp-events SOCKET\n"
	"                     a QMP socket of QEMU that nobody else uses: says\n"
	"                     at once whether the VM runs, stands or has moved\n"
	"  --exit-with-link   end when nobody listens at SOCKET any more\n"
	"  --dir DIR          make VM's directory in DIR; default:\n"
	"                     $VMCHANNEL_DIR, /run/vmchannel (root) or\n"
	"                     $XDG_RUNTIME_DIR/vmchannel\n"
	"  --config DIR       read policy.d and services.d in DIR; default:\n"
	"                     /etc/vmchannel (root) or ~/.config/vmchannel\n"
	"  --uuid UUID        the VM's identity, as given to QEMU\n"
	"  --access WHO       who may use the sockets: owner (default) or all;\n"
	"                     policy decides about each of them\n"
	"  --qemu-group GROUP let a QEMU of another user, in that group, connect\n"
	"                     to vmstate.sock\n"
	"  --incoming         the VM comes from another host or a file: take\n"
	"                     its streams' state when QEMU brings it\n"
	"  --user USER        what the worker becomes (root only)\n"
	"  --ready-fd N       write a line to N when programs can connect\n"
	"  --sandbox=on|off   off is for debugging the worker; default: on\n"
	"  --help, --version\n"
	"\n"
	"Signals: HUP reads policy.d and services.d again; USR2 starts the\n"
	"program that is installed now in its place, streams go on; TERM and\n"
	"INT end it in order. Exit status: 0 ended in order, 1 failed, 2 wrong command\n"
	"line or configuration, 3 another vmchanneld serves this VM.\n";

enum {
	OPT_LINK = 256,
	OPT_LINK_FD,
	OPT_QMP_EVENTS,
	OPT_QEMU_GROUP,
	OPT_EXIT_WITH_LINK,
	OPT_DIR,
	OPT_CONFIG,
	OPT_UUID,
	OPT_ACCESS,
	OPT_USER,
	OPT_READY_FD,
	OPT_SANDBOX,
	OPT_INCOMING,
	OPT_WORKER,
	OPT_BUS,
	OPT_QMP,
	OPT_ADOPT,
	OPT_RESUME,
	OPT_CHECK,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{"link", required_argument, NULL, OPT_LINK},
	{"link-fd", required_argument, NULL, OPT_LINK_FD},
	{"qmp-events", required_argument, NULL, OPT_QMP_EVENTS},
	{"qemu-group", required_argument, NULL, OPT_QEMU_GROUP},
	{"exit-with-link", no_argument, NULL, OPT_EXIT_WITH_LINK},
	{"dir", required_argument, NULL, OPT_DIR},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"uuid", required_argument, NULL, OPT_UUID},
	{"access", required_argument, NULL, OPT_ACCESS},
	{"user", required_argument, NULL, OPT_USER},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"sandbox", required_argument, NULL, OPT_SANDBOX},
	{"incoming", no_argument, NULL, OPT_INCOMING},
	/* the supervisor's own */
	{"worker", no_argument, NULL, OPT_WORKER},
	{"bus", no_argument, NULL, OPT_BUS},
	{"qmp", no_argument, NULL, OPT_QMP},
	{"adopt", no_argument, NULL, OPT_ADOPT},
	{"resume", required_argument, NULL, OPT_RESUME},
	{"check-state", required_argument, NULL, OPT_CHECK},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static int wrong(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "vmchanneld: %s \"%s\": expected %s\n", option, value,
		expected);
	return EXIT_USAGE;
}

static int parse_fd(int *ret, const char *option, const char *v)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(v, &end, 10);
	if (!isdigit((unsigned char)*v) || *end || errno || n > INT_MAX ||
	    fcntl((int)n, F_GETFD) < 0)
		return wrong(option, v, "the number of an open descriptor");
	*ret = (int)n;
	return -1;
}

/* A program that takes over gets the old one's command line behind its own
 * first option. Who waited for the line was told long ago. */
static bool takes_over(const struct options *o)
{
	return o->resume_fd >= 0 || o->check_fd >= 0;
}

static int parse_ready_fd(struct options *o, const char *v)
{
	return takes_over(o) ? -1 : parse_fd(&o->ready_fd, "--ready-fd", v);
}

/* The link itself comes with the state; that there is one counts. */
static int parse_link_fd(struct options *o, const char *v)
{
	if (!takes_over(o))
		return parse_fd(&o->link_fd, "--link-fd", v);
	o->link_fd = STDIN_FILENO; /* any: it is not used */
	return -1;
}

static int parse_uuid(const char **ret, const char *v)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t i = 0;

	while (pattern[i] && (pattern[i] == 'x' ? isxdigit((unsigned char)v[i])
						: v[i] == '-'))
		i++;
	if (pattern[i] || v[i])
		return wrong("--uuid", v, pattern);
	*ret = v;
	return -1;
}

static int parse_access(mode_t *ret, const char *v)
{
	if (!strcmp(v, "owner"))
		*ret = 0600;
	else if (!strcmp(v, "all"))
		*ret = 0666;
	else
		return wrong("--access", v, "owner or all");
	return -1;
}

static int parse_sandbox(bool *ret, const char *v)
{
	if (strcmp(v, "on") != 0 && strcmp(v, "off") != 0)
		return wrong("--sandbox", v, "on or off");
	*ret = !strcmp(v, "on");
	return -1;
}

static int parse_one(struct options *o, int opt)
{
	switch (opt) {
	case OPT_LINK:
		o->link = optarg;
		return -1;
	case OPT_LINK_FD:
		return parse_link_fd(o, optarg);
	case OPT_QMP_EVENTS:
		o->qmp_events = optarg;
		return -1;
	case OPT_QEMU_GROUP:
		o->qemu_group = optarg;
		return -1;
	case OPT_EXIT_WITH_LINK:
		o->exit_with_link = true;
		return -1;
	case OPT_DIR:
		o->dir = optarg;
		return -1;
	case OPT_CONFIG:
		o->config = optarg;
		return -1;
	case OPT_UUID:
		return parse_uuid(&o->uuid, optarg);
	case OPT_ACCESS:
		return parse_access(&o->socket_mode, optarg);
	case OPT_USER:
		o->user = optarg;
		return -1;
	case OPT_READY_FD:
		return parse_ready_fd(o, optarg);
	case OPT_SANDBOX:
		return parse_sandbox(&o->sandbox, optarg);
	case OPT_INCOMING:
		o->incoming = true;
		return -1;
	case OPT_WORKER:
		o->worker = true;
		return -1;
	case OPT_BUS:
		o->bus = true;
		return -1;
	case OPT_QMP:
		o->qmp = true;
		return -1;
	case OPT_ADOPT:
		o->adopt = true;
		return -1;
	case OPT_RESUME:
		return parse_fd(&o->resume_fd, "--resume", optarg);
	case OPT_CHECK:
		return parse_fd(&o->check_fd, "--check-state", optarg);
	case OPT_HELP:
		(void)fputs(help, stdout);
		return EXIT_SUCCESS;
	case OPT_VERSION:
		(void)puts("vmchanneld " VMC_VERSION);
		return EXIT_SUCCESS;
	default:
		(void)fputs("vmchanneld: see vmchanneld --help\n", stderr);
		return EXIT_USAGE;
	}
}

int options_parse(struct options *ret, int argc, char **argv)
{
	struct options o = {
		.link_fd = -1,
		.ready_fd = -1,
		.resume_fd = -1,
		.check_fd = -1,
		.argc = argc,
		.argv = argv,
		.socket_mode = 0600,
		.sandbox = true,
	};
	int opt, r;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		r = parse_one(&o, opt);
		if (r >= 0)
			return r;
	}
	if (argc - optind != 1) {
		fprintf(stderr, "vmchanneld: expected the name of one VM; see "
				"vmchanneld --help\n");
		return EXIT_USAGE;
	}
	o.vm = argv[optind];
	if (o.link && o.link_fd >= 0) {
		fprintf(stderr, "vmchanneld: --link and --link-fd exclude each "
				"other; give one\n");
		return EXIT_USAGE;
	}
	*ret = o;
	return -1;
}
