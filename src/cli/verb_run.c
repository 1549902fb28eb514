/* SPDX-License-Identifier: MIT */
/* verb_run.c - vmchannel run: QEMU with a channel port and its vmchanneld */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vmchannel/types.h>

#include "cli/keeper.h"
#include "cli/place.h"
#include "cli/qemu_opts.h"
#include "cli/uuid.h"
#include "cli/words.h"

static const char *opt_name, *opt_config, *opt_transport;
static unsigned int opt_ports = QEMU_SPARE_DEFAULT;
static bool opt_verbose, opt_no_state;

struct run {
	char program[PATH_MAX];
	char *const *argv;
	struct qemu_cmdline cmdline;
	char vm[VMC_NAME_MAX + 1];
	char uuid[UUID_SIZE];
	struct place place;
	enum qemu_transport transport;
};

static int find_qemu(struct run *run)
{
	const char *qemu = run->argv[0];
	int r = place_program(run->program, qemu);

	if (r == ENOENT)
		return cli_error(CLI_MISSING,
				 "%s: no such program; install QEMU or give "
				 "its path",
				 cli_safe(qemu));
	if (r)
		return cli_error(CLI_REFUSED, "%s: %s", cli_safe(qemu),
				 strerror(r));
	return CLI_OK;
}

/* --name, else QEMU's own, else one that no other VM has. */
static int choose_name(struct run *run)
{
	const char *name = opt_name ? opt_name : run->cmdline.name;

	if (name[0] == '\0') {
		snprintf(run->vm, sizeof(run->vm), "vm-%d", (int)getpid());
		return CLI_OK;
	}
	if (!vmpath_vm_valid(name))
		return cli_error(CLI_FAILED,
				 "'%s' cannot be a VM's name here: use "
				 "letters, digits, '.', '_' and '-', at most "
				 "%d of them; --name gives another",
				 cli_safe(name), VMC_NAME_MAX);
	memcpy(run->vm, name, strlen(name) + 1);
	return CLI_OK;
}

static int choose_uuid(struct run *run)
{
	if (run->cmdline.uuid[0] == '\0')
		return uuid_generate(run->uuid)
			       ? cli_error(CLI_FAILED, "no random numbers: %s",
					   strerror(errno))
			       : CLI_OK;
	if (!uuid_valid(run->cmdline.uuid))
		return cli_error(CLI_FAILED,
				 "-uuid %s: give 8-4-4-4-12 hexadecimal digits",
				 cli_safe(run->cmdline.uuid));
	memcpy(run->uuid, run->cmdline.uuid, UUID_SIZE);
	return CLI_OK;
}

static int choose_transport(struct run *run)
{
	run->transport = qemu_transport_of(&run->cmdline);
	if (opt_transport &&
	    !qemu_transport_by_name(opt_transport, &run->transport))
		return cli_error(CLI_FAILED,
				 "--transport %s: give pci, mmio or ccw",
				 cli_safe(opt_transport));
	if (run->transport == QEMU_NO_BUS)
		return cli_error(CLI_FAILED,
				 "machine '%s' has no bus for virtio-serial; "
				 "choose another with -machine, or say which "
				 "bus with --transport",
				 cli_safe(run->cmdline.machine));
	return CLI_OK;
}

static int check(const struct run *run)
{
	if (opt_ports > QEMU_SPARE_MAX)
		return cli_error(CLI_FAILED, "--ports %u: QEMU takes up to %u",
				 opt_ports, QEMU_SPARE_MAX);
	if (run->cmdline.has_port)
		return cli_error(CLI_FAILED,
				 "the command line has a port %s already; "
				 "take it out, or start QEMU by itself and "
				 "vmchanneld with --link",
				 QEMU_PORT_NAME);
	if (run->cmdline.has_id)
		return cli_error(CLI_FAILED,
				 "the command line uses an id that is needed "
				 "here: %s, %s, %s, %s, %s or %s; rename it",
				 QEMU_CONTROLLER_ID, QEMU_LINK_ID, QEMU_QMP_ID,
				 QEMU_EVENTS_ID, QEMU_PORT_NAME, QEMU_STATE_ID);
	return CLI_OK;
}

static int prepare(struct run *run)
{
	static int (*const steps[])(struct run * run) = {
		find_qemu, choose_name, choose_uuid, choose_transport};
	int r = CLI_OK;

	qemu_cmdline_read(&run->cmdline, run->argv);
	for (size_t i = 0; r == CLI_OK && i < sizeof(steps) / sizeof(steps[0]);
	     i++)
		r = steps[i](run);
	if (r == CLI_OK)
		r = check(run);
	if (r == CLI_OK)
		r = place_find(&run->place, run->vm);
	return r;
}

static int write_mon_config(const struct run *run)
{
	FILE *f = fopen(run->place.config, "we");
	bool good = f && fputs(qemu_mon_config, f) >= 0;

	if (f && fclose(f))
		good = false;
	return good ? CLI_OK
		    : cli_error(CLI_FAILED, "cannot write %s: %s",
				run->place.config, strerror(errno));
}

/* QEMU takes one dbus-vmstate only, and ends if its socket is not there. */
static const char *state_socket(const struct run *run)
{
	if (opt_no_state)
		return NULL;
	if (run->cmdline.has_state)
		cli_note("VM %s: it has a dbus-vmstate already, so streams "
			 "end when it migrates",
			 run->vm);
	else if (access(run->place.state, F_OK))
		cli_note("VM %s: vmchanneld made no %s, so streams end when it "
			 "migrates",
			 run->vm, run->place.state);
	else
		return run->place.state;
	return NULL;
}

static void qemu_words(struct words *w, const struct run *run)
{
	const struct qemu_wish wish = {
		.transport = run->transport,
		.spare = opt_ports,
		.link = run->place.link,
		.qmp = run->place.qmp,
		.events = run->place.events,
		.mon_config = run->place.config,
		.state = state_socket(run),
		.uuid = run->cmdline.uuid[0] == '\0' ? run->uuid : NULL,
	};

	for (char *const *a = run->argv; *a; a++)
		words_add(w, *a);
	/* At the end: the addresses of the user's own devices stay. */
	qemu_opts_build(w, &wish);
}

/* Does not return if it goes well. */
static int become_qemu(const struct run *run, const struct keeper *k)
{
	struct words w = {0};

	qemu_words(&w, run);
	if (!words_ok(&w))
		return cli_error(CLI_FAILED, "out of memory");
	/* QEMU inherits it, and by that keeps vmchanneld alive. */
	if (fcntl(k->lifeline, F_SETFD, 0))
		return cli_error(CLI_FAILED, "fcntl: %s", strerror(errno));
	signal(SIGPIPE, SIG_DFL);
	fflush(NULL);
	execv(run->program, w.v);
	words_done(&w);
	return cli_error(CLI_REFUSED, "cannot run %s: %s",
			 cli_safe(run->program), strerror(errno));
}

static int run_qemu(const struct run *run)
{
	const struct keeper_wish wish = {
		.vm = run->vm,
		.place = &run->place,
		.link = run->place.link,
		.events = run->place.events,
		.uuid = run->uuid,
		.config = opt_config,
		.lifeline = true,
		.incoming = run->cmdline.incoming,
		.verbose = opt_verbose,
	};
	struct keeper keeper;
	int r = keeper_start(&keeper, &wish);

	if (r != CLI_OK)
		return r;
	r = write_mon_config(run);
	if (r == CLI_OK) {
		cli_note("VM %s: its sockets are in %s", run->vm,
			 run->place.dir);
		r = become_qemu(run, &keeper);
	}
	keeper_stop(&keeper);
	return r;
}

static int run(const struct cli_args *a)
{
	struct run run = {.argv = a->rest};
	int r = prepare(&run);

	return r == CLI_OK ? run_qemu(&run) : r;
}

static const struct cli_option options[] = {
	{.name = "name",
	 .value = "VM",
	 .help = "the VM's name; default: QEMU's -name, else vm-PID",
	 .text = &opt_name},
	{.name = "ports",
	 .value = "N",
	 .help = "leave room to hot-plug N more ports; default: 2",
	 .number = &opt_ports},
	{.name = "config",
	 .value = "DIR",
	 .help = "vmchanneld reads policy.d and services.d in DIR",
	 .text = &opt_config},
	{.name = "transport",
	 .value = "BUS",
	 .help = "pci, mmio or ccw; default: by the machine",
	 .text = &opt_transport},
	{.name = "no-state",
	 .help = "streams need not survive a migration: no dbus-vmstate",
	 .flag = &opt_no_state},
	{.name = "verbose",
	 .help = "vmchanneld's messages on stderr, not in DIR/VM/log",
	 .flag = &opt_verbose},
	{.name = NULL},
};

const struct cli_verb verb_run = {
	.name = "run",
	.args = "-- QEMU [ARGUMENTS]",
	.summary = "start QEMU with a channel port and its vmchanneld",
	.help = "Starts vmchanneld, then becomes QEMU, with these options\n"
		"added at the end: a virtio-serial controller with just the\n"
		"queues and interrupts that are needed, the port\n"
		"org.vmchannel.0, a QMP socket (DIR/VM/qmp) and one for\n"
		"vmchanneld alone (DIR/VM/qmp-events), the object that takes\n"
		"the state of streams along in a migration, and -uuid if\n"
		"there is none. With -incoming, vmchanneld waits for that\n"
		"state. Terminal, signals and exit status are QEMU's\n"
		"own. vmchanneld ends with QEMU, however that ends.\n"
		"\n"
		"Example:\n"
		"  vmchannel run --name web -- qemu-system-x86_64 -m 1G "
		"disk.img\n",
	.options = options,
	.takes_rest = true,
	.needs_rest = true,
	.run = run,
};
