/* SPDX-License-Identifier: MIT */
/* verb_moved.c - vmchannel moved: say where a VM migrates to */
#include "cli/ask.h"
#include "cli/cli.h"

static int run(const struct cli_args *a)
{
	json_t *answer;
	int r = ask(a->v[0], "Moved",
		    json_pack("{s:s}", "destination", a->v[1]), &answer);

	if (r == CLI_OK)
		json_decref(answer);
	return r;
}

const struct cli_verb verb_moved = {
	.name = "moved",
	.args = "VM DESTINATION",
	.summary = "say where a VM migrates to, for its programs",
	.help = "QEMU does not tell. Programs whose streams end with 'migrated' "
		"find DESTINATION\nin 'vmchannel status VM ID' and in what "
		"'vmchannel monitor' prints. Before the\nmigration or up to 2 s "
		"after it; an empty one takes it back.\n\n"
		"example: vmchannel moved web1 host2.example.org\n",
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
