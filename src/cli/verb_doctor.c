/* SPDX-License-Identifier: MIT */
/* verb_doctor.c - vmchannel doctor */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmchannel/vmchannel.h>

void doctor_detail(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(d->detail, sizeof(d->detail), fmt, ap);
	va_end(ap);
}

void doctor_remedy(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(d->remedy, sizeof(d->remedy), fmt, ap);
	va_end(ap);
}

/* Most hops are seen through the broker's eyes. */
static void ask_broker(struct doctor *d)
{
	char *error = NULL;
	int r;

	cli_progress_begin("asking the broker");
	r = ask_quiet(d->vm, "GetInfo", json_object(), ASK_QUICK_MS, &d->info,
		      &error);
	cli_progress_end();
	if (r == 0 && !error)
		return;
	snprintf(d->why_not, sizeof(d->why_not), "%s",
		 r < 0 ? vmc_strerror() : error);
	if (r == 0)
		json_decref(d->info);
	d->info = NULL;
	free(error);
}

static void print_hop(const struct doctor *d, const char *name,
		      enum doctor_verdict v)
{
	static const char *const words[] = {
		[DOCTOR_GOOD] = "ok",
		[DOCTOR_BAD] = "FAIL",
		[DOCTOR_SKIPPED] = "-",
	};

	if (cli_json) {
		cli_print_json(json_pack(
			"{s:s,s:s,s:o,s:s,s:s*}", "vm", d->vm, "hop", name,
			"ok",
			v == DOCTOR_SKIPPED ? json_null()
					    : json_boolean(v == DOCTOR_GOOD),
			"detail", cli_safe(d->detail), "remedy",
			v == DOCTOR_BAD ? d->remedy : NULL));
		return;
	}
	printf("%-4s  %-10s  %s\n", words[v], name, cli_safe(d->detail));
	if (v == DOCTOR_BAD)
		printf("      %-10s  remedy: %s\n", "", cli_safe(d->remedy));
	cli_flush();
}

/* Return: CLI_NO at the first hop that is bad. It is found, too, when nobody
 * reads any more: whoever asked looks at the exit status. */
static int examine(struct doctor *d, const struct doctor_hop *hops)
{
	for (; hops->name; hops++) {
		enum doctor_verdict v;

		d->detail[0] = d->remedy[0] = '\0';
		v = hops->check(d);
		print_hop(d, hops->name, v);
		if (v == DOCTOR_BAD)
			return CLI_NO;
	}
	return CLI_OK;
}

static bool in_guest(const struct doctor *d)
{
	if (d->info)
		return strcmp(ask_text(d->info, "side"), "guest") == 0;
	return strcmp(d->vm, "host") == 0;
}

static int run(const struct cli_args *a)
{
	struct doctor d = {.vm = a->v[0]};
	int r;

	ask_broker(&d);
	r = examine(&d, in_guest(&d) ? doctor_guest_hops : doctor_host_hops);
	if (r == CLI_OK)
		r = examine(&d, doctor_link_hops);
	json_decref(d.info);
	if (r == CLI_OK && !cli_json)
		printf("all hops to the other side of %s are good\n", d.vm);
	return r;
}

const struct cli_verb verb_doctor = {
	.name = "doctor",
	.args = "VM",
	.summary = "check every hop to the other side, name the first bad one",
	.help = "Exit status 0: all are good; 1: one is bad, and its remedy is "
		"printed.\n\nexample: vmchannel doctor web1\n",
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
