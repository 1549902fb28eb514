/* SPDX-License-Identifier: MIT */
/* verb_libvirt_xml.c - vmchannel libvirt-xml: what to add to a domain */
#include "cli/cli.h"

#include <stdio.h>

#include "cli/place.h"
#include "cli/qemu_opts.h"
#include "cli/quote.h"
#include "cli/words.h"

/* Controller 0 is where libvirt puts the channels that name none. */
static unsigned int opt_controller = 1, opt_ports = QEMU_SPARE_DEFAULT;
static bool opt_state;

static void print_xml(const char *link)
{
	unsigned int max_ports = qemu_max_ports(opt_ports);

	printf("<!-- into <devices> -->\n"
	       "<controller type='virtio-serial' index='%u' ports='%u' "
	       "vectors='%u'/>\n"
	       "<channel type='unix'>\n"
	       "  <source mode='bind' path='",
	       opt_controller, max_ports, qemu_vectors(max_ports));
	quote_xml(stdout, link);
	printf("'/>\n"
	       "  <target type='virtio' name='%s'/>\n"
	       "  <address type='virtio-serial' controller='%u' bus='0' "
	       "port='1'/>\n"
	       "</channel>\n",
	       QEMU_PORT_NAME, opt_controller);
}

/* libvirt has no element for it. */
static int print_state(const char *path)
{
	struct words w = {0};
	int r = CLI_OK;

	qemu_state_object(&w, path);
	if (words_ok(&w)) {
		printf("<!-- into <domain "
		       "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/"
		       "1.0'> -->\n"
		       "<qemu:commandline>\n"
		       "  <qemu:arg value='-object'/>\n"
		       "  <qemu:arg value='");
		quote_xml(stdout, w.v[0]);
		printf("'/>\n"
		       "</qemu:commandline>\n");
	} else {
		r = cli_error(CLI_FAILED, "out of memory");
	}
	words_done(&w);
	return r;
}

static int run(const struct cli_args *a)
{
	struct place place;
	int r = place_find(&place, a->v[0]);

	if (r != CLI_OK)
		return r;
	if (opt_ports > QEMU_SPARE_MAX)
		return cli_error(CLI_FAILED, "--ports %u: QEMU takes up to %u",
				 opt_ports, QEMU_SPARE_MAX);
	print_xml(place.link);
	if (opt_state)
		r = print_state(place.state);
	if (r != CLI_OK)
		return r;
	cli_note("start before the domain, it makes the directory: vmchanneld "
		 "--dir %s --uuid \"$(virsh domuuid %s)\" %s",
		 cli_safe(place.root), a->v[0], a->v[0]);
	return CLI_OK;
}

static const struct cli_option options[] = {
	{.name = "controller",
	 .value = "N",
	 .help = "index of a virtio-serial controller of its own; default: 1",
	 .number = &opt_controller},
	{.name = "ports",
	 .value = "N",
	 .help = "leave room to hot-plug N more ports; default: 2",
	 .number = &opt_ports},
	{.name = "state",
	 .help = "also a <qemu:commandline>, so that streams survive migration",
	 .flag = &opt_state},
	{.name = NULL},
};

const struct cli_verb verb_libvirt_xml = {
	.name = "libvirt-xml",
	.args = "VM",
	.summary = "print what to add to a libvirt domain",
	.help = "Prints a controller and a channel for 'virsh edit', or for\n"
		"'virsh attach-device' one by one, on stdout, and on stderr\n"
		"which vmchanneld to start. libvirt makes the socket: see\n"
		"docs/libvirt.md for its owner and labels.\n"
		"\n"
		"Example:\n"
		"  vmchannel libvirt-xml web --dir /run/vmchannel\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
