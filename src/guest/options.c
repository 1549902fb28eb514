/* SPDX-License-Identifier: MIT */
/*
 * options.c - the agent's command line
 */
#include "guest/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
	"Usage: vmchannel-agent [OPTION]...\n"
	"The guest's end of vmchannel: joins programs in this virtual machine\n"
	"with the host over a virtio port. Needs no configuration.\n"
	"\n"
	"  --port NAME     name of the virtio port (org.vmchannel.0)\n"
	"  --device PATH   use this device, or this unix socket, instead\n"
	"  --dir DIR       keep the sockets in DIR/host/ (/run/vmchannel)\n"
	"  --config DIR    read DIR/policy.d and DIR/services.d only\n"
	"                  (/etc/vmchannel, then /etc/vmchannel/host)\n"
	"  --no-operations do not offer the guest's operations (power, sessions,\n"
	"                  files, ...) to the host\n"
	"  --operations    be the process that offers them (the agent starts it\n"
	"                  itself)\n"
	"  --foreground    accepted; it always stays in the foreground\n"
	"  --debug         say more\n"
	"  --version       print the version\n"
	"  --help          print this\n"
	"\n"
	"SIGTERM and SIGINT end it in order, SIGHUP reads the configuration\n"
	"again.\n"
	"\n"
	"Exit status: 0 ended by a signal in order, 1 could not start or go on,\n"
	"2 wrong use.\n";

enum {
	OPT_PORT = 256,
	OPT_DEVICE,
	OPT_DIR,
	OPT_CONFIG,
	OPT_OPERATIONS,
	OPT_NO_OPERATIONS,
	OPT_FOREGROUND,
	OPT_DEBUG,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option table[] = {
	{"port", required_argument, NULL, OPT_PORT},
	{"device", required_argument, NULL, OPT_DEVICE},
	{"dir", required_argument, NULL, OPT_DIR},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"operations", no_argument, NULL, OPT_OPERATIONS},
	{"no-operations", no_argument, NULL, OPT_NO_OPERATIONS},
	{"foreground", no_argument, NULL, OPT_FOREGROUND},
	{"debug", no_argument, NULL, OPT_DEBUG},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int usage(void)
{
	fputs("vmchannel-agent: error: see vmchannel-agent --help\n", stderr);
	return EXIT_USAGE;
}

int options_parse(struct options *ret, int argc, char **argv)
{
	int opt;

	*ret = (struct options){.port = "org.vmchannel.0"};
	while ((opt = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (opt) {
		case OPT_PORT:
			ret->port = optarg;
			break;
		case OPT_DEVICE:
			ret->device = optarg;
			break;
		case OPT_DIR:
			ret->dir = optarg;
			break;
		case OPT_CONFIG:
			ret->config = optarg;
			break;
		case OPT_OPERATIONS:
			ret->operations = true;
			break;
		case OPT_NO_OPERATIONS:
			ret->no_operations = true;
			break;
		case OPT_FOREGROUND:
			break;
		case OPT_DEBUG:
			ret->debug = true;
			break;
		case OPT_VERSION:
			puts("vmchannel-agent " VMC_VERSION);
			return EXIT_SUCCESS;
		case OPT_HELP:
			fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			return usage();
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "vmchannel-agent: error: unexpected argument %s\n",
		argv[optind]);
	return usage();
}
