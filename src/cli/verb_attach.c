/* SPDX-License-Identifier: MIT */
/* verb_attach.c - vmchannel attach: a port for a VM that runs already */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/hotplug.h"
#include "cli/keeper.h"
#include "cli/place.h"
#include "cli/qemu_opts.h"
#include "cli/quote.h"
#include "cli/uuid.h"

#define QMP_TIMEOUT_MS 10000
/* A guest that boots, with an agent that starts last. */
#define WAIT_MS 60000
/* vmchanneld looks for QEMU's socket every now and then. */
#define LINK_MS       10000
#define LINK_STEP_MS  50
#define LINK_WORD_MAX 16

static const char *opt_qmp, *opt_qmp_events, *opt_config;
static unsigned int opt_ports = QEMU_SPARE_DEFAULT;
static bool opt_wait, opt_no_daemon, opt_detach;

struct attach {
	const char *vm;
	struct place place;
	struct hotplug hp;
	char uuid[UUID_SIZE];         /* "" if QEMU has none */
	char link[HOTPLUG_LINK_SIZE]; /* what vmchanneld connects to */
	bool already;                 /* the port was there */
	bool serving;                 /* vmchanneld was there */
	struct keeper keeper;
	bool have_keeper;
};

/* ---- QEMU -------------------------------------------------------------- */

static int open_qmp(struct attach *at)
{
	int r = qmp_open(&at->hp.q, opt_qmp, QMP_TIMEOUT_MS);

	if (r == -ENOMEM)
		return cli_error(CLI_FAILED, "out of memory");
	if (r == 0)
		return CLI_OK;
	r = cli_error(r == -ENOENT ? CLI_MISSING : CLI_FAILED,
		      "QMP socket %s: %s%s", cli_safe(opt_qmp),
		      cli_safe(qmp_error(at->hp.q)),
		      r == -ENOENT || r == -ECONNREFUSED
			      ? "; start QEMU with -qmp "
				"unix:PATH,server=on,wait=off"
			      : "");
	qmp_close(at->hp.q);
	at->hp.q = NULL;
	return r;
}

static int ask_uuid(struct attach *at)
{
	static const char none[] = "00000000-0000-0000-0000-000000000000";
	const char *uuid;
	json_t *answer = NULL;
	int r = qmp_command(at->hp.q, "query-uuid", NULL, &answer);

	if (r)
		return cli_error(CLI_FAILED, "query-uuid: %s",
				 cli_safe(qmp_error(at->hp.q)));
	uuid = json_string_value(json_object_get(answer, "UUID"));
	if (uuid && uuid_valid(uuid) && strcmp(uuid, none) != 0)
		memcpy(at->uuid, uuid, UUID_SIZE);
	json_decref(answer);
	return CLI_OK;
}

static int find_port(struct attach *at)
{
	int r = hotplug_find(&at->hp, at->link);

	if (r < 0)
		return cli_error(CLI_FAILED, "%s", at->hp.error);
	at->already = r > 0;
	if (!at->already)
		memcpy(at->link, at->place.link, sizeof(at->link));
	else if (at->link[0] == '\0')
		return cli_error(CLI_FAILED,
				 "QEMU has a port %s, but not on a unix socket "
				 "that it listens on; give it one with "
				 "server=on",
				 QEMU_PORT_NAME);
	return CLI_OK;
}

/* The socket is made here: QEMU may run as somebody who cannot. */
static int plug(struct attach *at)
{
	int fd = place_listen(at->place.link);
	int r;

	if (fd == -EADDRINUSE)
		return cli_error(CLI_FAILED,
				 "%s is in use by another QEMU; give this VM "
				 "another name",
				 at->place.link);
	if (fd < 0)
		return cli_error(CLI_FAILED, "%s: %s", at->place.link,
				 strerror(-fd));
	r = hotplug_add(&at->hp, at->place.link, fd);
	if (r < 0)
		unlink(at->place.link);
	close(fd);
	return r < 0 ? cli_error(CLI_FAILED, "%s", at->hp.error) : CLI_OK;
}

/* ---- vmchanneld -------------------------------------------------------- */

/* What vmchanneld says of itself; NULL if none serves. */
static json_t *ask_info(const char *vm)
{
	json_t *info = NULL;
	char *error = NULL;
	int r = ask_quiet(vm, "GetInfo", json_object(), ASK_QUICK_MS, &info,
			  &error);

	if (r != 0 || error) {
		json_decref(info);
		info = NULL;
	}
	free(error);
	return info;
}

/* State of vmchanneld's link (a word of its interface); "" if none serves. */
static void ask_link(const char *vm, char *ret, size_t size)
{
	json_t *info = ask_info(vm);

	snprintf(ret, size, "%s", ask_text(info, "link"));
	json_decref(info);
}

/* A name may be another VM's: its UUID says whose vmchanneld this is. One that
 * was started without cannot tell, and the name counts. */
static int check_identity(const struct attach *at, const json_t *info)
{
	const char *uuid = ask_text(info, "uuid");

	if (uuid[0] == '\0' || strcasecmp(uuid, at->uuid) == 0)
		return CLI_OK;
	return cli_error(CLI_FAILED,
			 "%s is another VM: its vmchanneld serves UUID %s, the "
			 "QEMU at %s has %s; give this VM's own name",
			 at->vm, uuid, cli_safe(opt_qmp),
			 at->uuid[0] != '\0' ? at->uuid : "none");
}

/* It ends with QEMU only after it has seen it. */
static int wait_link(const struct attach *at)
{
	char link[LINK_WORD_MAX];

	for (int t = 0; t < LINK_MS; t += LINK_STEP_MS) {
		ask_link(at->vm, link, sizeof(link));
		if (link[0] != '\0' && strcmp(link, "down") != 0)
			return CLI_OK;
		poll(NULL, 0, LINK_STEP_MS);
	}
	return cli_error(CLI_FAILED,
			 "%s: vmchanneld does not reach QEMU at %s; 'vmchannel "
			 "doctor %s' says more",
			 at->vm, at->link, at->vm);
}

static int make_directories(const struct attach *at)
{
	const char *dirs[] = {at->place.root, at->place.dir};

	for (size_t i = 0; i < 2; i++)
		if (mkdir(dirs[i], 0700) && errno != EEXIST)
			return cli_error(CLI_FAILED, "%s: %s", dirs[i],
					 strerror(errno));
	return CLI_OK;
}

static void say_how(const struct attach *at)
{
	fputs("vmchannel: now start: vmchanneld --dir ", stderr);
	quote_shell(stderr, at->place.root);
	fputs(" --link ", stderr);
	quote_shell(stderr, at->link);
	if (opt_qmp_events) {
		fputs(" --qmp-events ", stderr);
		quote_shell(stderr, opt_qmp_events);
	}
	if (at->uuid[0] != '\0')
		fprintf(stderr, " --uuid %s", at->uuid);
	fprintf(stderr, " %s\n", at->vm);
}

static int serve(struct attach *at)
{
	const struct keeper_wish wish = {
		.vm = at->vm,
		.place = &at->place,
		.link = at->link,
		.events = opt_qmp_events,
		.uuid = at->uuid[0] != '\0' ? at->uuid : NULL,
		.config = opt_config,
	};
	json_t *info = ask_info(at->vm);
	int r = check_identity(at, info);

	at->serving = info != NULL;
	json_decref(info);
	if (at->serving)
		return r;
	if (opt_no_daemon)
		return make_directories(at);
	r = keeper_start(&at->keeper, &wish);
	at->have_keeper = r == CLI_OK;
	return r;
}

/* ---- attaching --------------------------------------------------------- */

static int report(const struct attach *at)
{
	if (cli_json)
		return cli_print_json(json_pack(
			"{s:s,s:s,s:s,s:b,s:b}", "vm", at->vm, "uuid", at->uuid,
			"link", at->link, "port_was_there", (int)at->already,
			"daemon_was_there", (int)at->serving));
	if (at->already && at->serving)
		cli_note("%s is attached already", at->vm);
	else if (at->have_keeper || at->serving)
		cli_note("%s is attached; 'vmchannel channels %s' shows what "
			 "the guest offers",
			 at->vm, at->vm);
	else
		say_how(at);
	return CLI_OK;
}

static int wait_agent(const char *vm)
{
	uint64_t deadline_us = cli_now_us() + WAIT_MS * 1000u;
	char link[LINK_WORD_MAX] = "";
	bool up = false;

	cli_progress_begin("waiting for the guest's agent");
	while (!up && cli_now_us() < deadline_us) {
		ask_link(vm, link, sizeof(link));
		up = strcmp(link, "up") == 0;
		if (!up)
			poll(NULL, 0, CLI_PROGRESS_MS);
		cli_progress_tick();
	}
	cli_progress_end();
	if (up)
		return CLI_OK;
	return cli_error(CLI_NO,
			 "%s: the port is plugged, but no vmchannel-agent "
			 "answered within %d s; is it installed in the guest?",
			 vm, WAIT_MS / 1000);
}

static int attach(struct attach *at)
{
	int r = find_port(at);

	/* It makes the directory in which the link will be. */
	if (r == CLI_OK)
		r = serve(at);
	if (r == CLI_OK && !at->already)
		r = plug(at);
	if (r != CLI_OK) {
		if (at->have_keeper)
			keeper_stop(&at->keeper);
		return r;
	}
	if (at->have_keeper)
		keeper_forget(&at->keeper);
	if (!opt_no_daemon)
		r = wait_link(at);
	if (r == CLI_OK)
		r = report(at);
	if (r == CLI_OK && opt_wait && !opt_no_daemon)
		r = wait_agent(at->vm);
	return r;
}

/* ---- detaching --------------------------------------------------------- */

static int stop_daemon(const struct attach *at)
{
	json_t *info = ask_info(at->vm);
	int r = check_identity(at, info);
	long long pid = ask_number(info, "pid");

	json_decref(info);
	if (r != CLI_OK || pid <= 1 || pid > INT32_MAX)
		return r;
	if (kill((pid_t)pid, SIGTERM) && errno != ESRCH)
		return cli_error(CLI_FAILED,
				 "cannot end vmchanneld (process %lld): %s",
				 pid, strerror(errno));
	cli_note("vmchanneld is told to end");
	return CLI_OK;
}

static int detach(struct attach *at)
{
	int r = opt_no_daemon ? CLI_OK : stop_daemon(at);

	if (r != CLI_OK)
		return r;
	r = hotplug_remove(&at->hp);
	if (r == -ENOENT) {
		cli_note("%s is not attached: %s", at->vm, at->hp.error);
		return CLI_OK;
	}
	if (r)
		return cli_error(CLI_FAILED, "%s", at->hp.error);
	cli_note("%s is detached", at->vm);
	return CLI_OK;
}

static int run(const struct cli_args *a)
{
	struct attach at = {
		.vm = a->v[0],
		.hp = {.spare = opt_ports, .note = cli_note},
	};
	int r;

	if (!opt_qmp)
		return cli_error(CLI_FAILED, "attach: name QEMU's QMP socket "
					     "with --qmp SOCKET");
	if (opt_ports > QEMU_SPARE_MAX)
		return cli_error(CLI_FAILED, "--ports %u: QEMU takes up to %u",
				 opt_ports, QEMU_SPARE_MAX);
	r = place_find(&at.place, at.vm);
	if (r == CLI_OK)
		r = open_qmp(&at);
	if (r != CLI_OK)
		return r;
	r = ask_uuid(&at);
	if (r == CLI_OK)
		r = opt_detach ? detach(&at) : attach(&at);
	qmp_close(at.hp.q);
	return r;
}

static const struct cli_option options[] = {
	{.name = "qmp",
	 .value = "SOCKET",
	 .help = "QEMU's QMP socket (required)",
	 .text = &opt_qmp},
	{.name = "qmp-events",
	 .value = "SOCKET",
	 .help = "another QMP socket of it, for vmchanneld alone",
	 .text = &opt_qmp_events},
	{.name = "wait",
	 .help = "until the guest's agent answers, at most 60 s",
	 .flag = &opt_wait},
	{.name = "no-daemon",
	 .help = "do not start (or end) vmchanneld, say how",
	 .flag = &opt_no_daemon},
	{.name = "detach",
	 .help = "take out what attach plugged, end vmchanneld",
	 .flag = &opt_detach},
	{.name = "ports",
	 .value = "N",
	 .help = "room for N more ports on a new controller; default: 2",
	 .number = &opt_ports},
	{.name = "config",
	 .value = "DIR",
	 .help = "vmchanneld reads policy.d and services.d in DIR",
	 .text = &opt_config},
	{.name = NULL},
};

const struct cli_verb verb_attach = {
	.name = "attach",
	.args = "VM --qmp SOCKET",
	.summary = "hot-plug the port into a QEMU that runs already",
	.help = "Plugs the port org.vmchannel.0 into a controller with a free\n"
		"port, else a controller into a bus that can hot-plug, else\n"
		"says what is missing; then starts a vmchanneld that ends\n"
		"with QEMU. What fails half-way is undone. Where the port is\n"
		"plugged already, only vmchanneld is started; where it runs,\n"
		"nothing is done.\n"
		"\n"
		"Example:\n"
		"  vmchannel attach web --qmp /run/web.qmp --wait\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
