/* SPDX-License-Identifier: MIT */
/* target.c - [USER@]VM and [USER@]VM:PATH */
#include "cli/target.h"

#include <string.h>

#include "cli/cli.h"

int target_user(struct target *ret, const char *verb, char *text)
{
	/* Users of a domain have an "@" in their names, VMs have none. */
	char *at = strrchr(text, '@');

	*ret = (struct target){.vm = text};
	if (!at)
		return CLI_OK;
	*at = '\0';
	ret->user = text;
	ret->vm = at + 1;
	if (text[0] != '\0' && at[1] != '\0')
		return CLI_OK;
	return cli_error(CLI_FAILED, "%s: '%s@%s': write USER@VM", verb,
			 cli_safe(text), cli_safe(at + 1));
}

int target_path(struct target *ret, const char *verb, char *text)
{
	char *colon = text + strcspn(text, ":/");
	int r;

	*ret = (struct target){.path = text};
	if (*colon != ':')
		return CLI_OK;
	*colon = '\0';
	r = target_user(ret, verb, text);
	ret->path = colon + 1;
	if (r == CLI_OK && ret->vm[0] == '\0')
		return cli_error(CLI_FAILED,
				 "%s: ':%s': write VM:PATH, or "
				 "./:%s",
				 verb, cli_safe(ret->path),
				 cli_safe(ret->path));
	return r;
}
