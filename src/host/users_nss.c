/* SPDX-License-Identifier: MIT */
/*
 * users_nss.c - names of users through the C library
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "host/users_nss.h"

int user_resolve_nss(struct user_ids *ret, const char *user)
{
	const struct passwd *pw = getpwnam(user);
	struct user_ids ids = {.home = "/", .shell = "/bin/sh"};
	int n = USER_GROUPS_MAX;

	if (!pw || strlen(pw->pw_name) > USER_NAME_MAX)
		return user_resolve_files(ret, user); /* a number, perhaps */
	ids.uid = pw->pw_uid;
	ids.gid = pw->pw_gid;
	snprintf(ids.name, sizeof(ids.name), "%s", pw->pw_name);
	if (pw->pw_dir[0] == '/' && strlen(pw->pw_dir) < sizeof(ids.home))
		snprintf(ids.home, sizeof(ids.home), "%s", pw->pw_dir);
	if (pw->pw_shell[0] == '/' && strlen(pw->pw_shell) < sizeof(ids.shell))
		snprintf(ids.shell, sizeof(ids.shell), "%s", pw->pw_shell);
	/* Too many: the first ones; that only takes rights away. */
	if (getgrouplist(ids.name, ids.gid, ids.groups, &n) < 0)
		n = USER_GROUPS_MAX;
	ids.n_groups = (size_t)n;
	*ret = ids;
	return 0;
}
