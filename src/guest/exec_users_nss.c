/* SPDX-License-Identifier: MIT */
/* exec_users_nss.c - users as the guest's name service knows them */
#include "guest/exec_plan.h"
#include "host/users_nss.h"

int exec_resolve_user(struct user_ids *ret, const char *user)
{
	return user_resolve_nss(ret, user);
}
