/* SPDX-License-Identifier: MIT */
/* verb_qemu_args.c - vmchannel qemu-args: what to add to a command line */
#include "cli/cli.h"

#include <stdio.h>

#include "cli/place.h"
#include "cli/qemu_opts.h"
#include "cli/quote.h"
#include "cli/words.h"

static const char *opt_transport = "pci";
static unsigned int opt_ports = QEMU_SPARE_DEFAULT;
static bool opt_lines, opt_qmp, opt_qmp_events, opt_incoming, opt_no_state;

static int print_list(const struct words *w)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < w->n; i++)
		json_array_append_new(list, json_string(w->v[i]));
	return cli_print_json(list);
}

static int print_words(const struct words *w)
{
	char end = opt_lines ? '\n' : ' ';

	if (cli_json)
		return print_list(w);
	for (size_t i = 0; i < w->n; i++) {
		if (opt_lines)
			fputs(w->v[i], stdout);
		else
			quote_shell(stdout, w->v[i]);
		putchar(i + 1 < w->n ? end : '\n');
	}
	return CLI_OK;
}

static int run(const struct cli_args *a)
{
	struct place place;
	struct qemu_wish wish = {.spare = opt_ports};
	struct words w = {0};
	int r = place_find(&place, a->v[0]);

	if (r != CLI_OK)
		return r;
	if (opt_ports > QEMU_SPARE_MAX)
		return cli_error(CLI_FAILED, "--ports %u: QEMU takes up to %u",
				 opt_ports, QEMU_SPARE_MAX);
	if (!qemu_transport_by_name(opt_transport, &wish.transport))
		return cli_error(CLI_FAILED,
				 "--transport %s: give pci, mmio or ccw",
				 cli_safe(opt_transport));
	wish.link = place.link;
	wish.qmp = opt_qmp ? place.qmp : NULL;
	wish.events = opt_qmp_events ? place.events : NULL;
	wish.state = opt_no_state ? NULL : place.state;
	qemu_opts_build(&w, &wish);
	r = words_ok(&w) ? print_words(&w)
			 : cli_error(CLI_FAILED, "out of memory");
	words_done(&w);
	if (r == CLI_OK)
		cli_note("start before QEMU, it makes the directory: "
			 "vmchanneld %s%s%s%s--dir %s %s",
			 opt_incoming ? "--incoming " : "",
			 opt_qmp_events ? "--qmp-events " : "",
			 opt_qmp_events ? cli_safe(place.events) : "",
			 opt_qmp_events ? " " : "", cli_safe(place.root),
			 a->v[0]);
	return r;
}

static const struct cli_option options[] = {
	{.name = "lines",
	 .help = "one argument per line, not quoted",
	 .flag = &opt_lines},
	{.name = "ports",
	 .value = "N",
	 .help = "leave room to hot-plug N more ports; default: 2",
	 .number = &opt_ports},
	{.name = "transport",
	 .value = "BUS",
	 .help = "pci (default), mmio (microvm) or ccw (s390x)",
	 .text = &opt_transport},
	{.name = "incoming",
	 .help = "for the destination of a migration (QEMU's -incoming)",
	 .flag = &opt_incoming},
	{.name = "no-state",
	 .help = "streams need not survive a migration: no dbus-vmstate",
	 .flag = &opt_no_state},
	{.name = "qmp",
	 .help = "also a QMP socket, DIR/VM/qmp",
	 .flag = &opt_qmp},
	{.name = "qmp-events",
	 .help = "also a QMP socket for vmchanneld alone, DIR/VM/qmp-events",
	 .flag = &opt_qmp_events},
	{.name = NULL},
};

const struct cli_verb verb_qemu_args = {
	.name = "qemu-args",
	.args = "VM",
	.summary = "print what to add to a QEMU command line",
	.help = "Prints the arguments for the port, quoted for a shell, on\n"
		"stdout, and on stderr which vmchanneld to start before QEMU.\n"
		"\n"
		"Example:\n"
		"  eval \"qemu-system-x86_64 -m 1G disk.img $(vmchannel "
		"qemu-args web)\"\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
