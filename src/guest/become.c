/* SPDX-License-Identifier: MIT */
/* become.c - a child of the operations process as a user of the guest */
#include "guest/become.h"

#include <grp.h>
#include <unistd.h>

bool become(const struct user_ids *user)
{
	return setgroups(user->n_groups, user->groups) == 0 &&
	       setresgid(user->gid, user->gid, user->gid) == 0 &&
	       setresuid(user->uid, user->uid, user->uid) == 0;
}
