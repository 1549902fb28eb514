/* SPDX-License-Identifier: MIT */
/* users_by_nss.c - users as the guest's name service knows them */
#include "broker/users_nss.h"
#include "guest/become.h"

int user_resolve(struct user_ids *ret, const char *user)
{
	return user_resolve_nss(ret, user);
}
