/* SPDX-License-Identifier: MIT */
/* exec_users_files.c - users as /etc/passwd and /etc/group know them */
#include "guest/exec_plan.h"

int exec_resolve_user(struct user_ids *ret, const char *user)
{
	return user_resolve_files(ret, user);
}
