/* SPDX-License-Identifier: MIT */
/*
 * verb_demo.c - boot a small VM and show what channels do
 *
 * The demo itself is a script, because it shows the command from outside.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* From the folder of the command: as installed, and in a build tree. */
static const char *const places[] = {
	"../libexec/vmchannel/demo",
	"../../guest/demo",
};

static const char *guest;

/* Return: false if the script is not there. */
static bool find_script(char *ret, size_t size, const char *self)
{
	const char *slash = strrchr(self, '/');
	int dir_len = slash ? (int)(slash - self) : 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int n = snprintf(ret, size, "%.*s/%s", dir_len, self,
				 places[i]);

		if (n > 0 && (size_t)n < size && !access(ret, X_OK))
			return true;
	}
	return false;
}

static int run(const struct cli_args *a)
{
	char self[PATH_MAX], script[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)a;
	if (n < 0)
		return cli_error(CLI_FAILED, "/proc/self/exe: %s; mount /proc",
				 strerror(errno));
	self[n] = '\0';
	if (!find_script(script, sizeof(script), self))
		return cli_error(CLI_FAILED,
				 "the demo is not installed beside %s; run "
				 "'make install' again",
				 self);
	execl(script, script, "--vmchannel", self, guest ? "--guest" : NULL,
	      guest, (char *)NULL);
	return cli_error(CLI_FAILED, "%s: %s; install python3", script,
			 strerror(errno));
}

const struct cli_verb verb_demo = {
	.name = "demo",
	.args = "",
	.summary = "boot a small VM and show what channels do",
	.help = "Builds a guest from Debian's kernel and busybox packages if "
		"there is none yet\n(as any user), boots it under emulation, "
		"and shows each thing with the command\nthat does it. Exit "
		"status 0: every step was as promised.\n\n"
		"example: vmchannel demo\n",
	.options =
		(const struct cli_option[]){
			{.name = "guest",
			 .value = "DIR",
			 .help = "boot DIR/vmlinuz with DIR/initramfs",
			 .text = &guest},
			{0},
		},
	.min_args = 0,
	.max_args = 0,
	.run = run,
};
