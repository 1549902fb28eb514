/* SPDX-License-Identifier: MIT */
/*
 * confine.c - the options' way into the sandbox
 */
#include <malloc.h>
#include <string.h>

#include "broker/log.h"
#include "broker/users_nss.h"
#include "host/confine.h"

static int fail(const char *what, int r)
{
	log_error("ev=start what=%s error=\"%s\"", what, strerror(-r));
	return EXIT_RUN;
}

static int find_user(struct sandbox_user *ret, const char *name)
{
	struct user_ids ids;
	int r;

	if (!name)
		return 0;
	r = user_resolve_nss(&ids, name);
	if (r < 0)
		return r;
	*ret = (struct sandbox_user){true, ids.uid, ids.gid};
	return 0;
}

int confine(const struct options *opt, enum sandbox_who who)
{
	struct sandbox_user user = {0};
	char missing[256];
	int r;

	if (!opt->sandbox)
		return -1;
	r = find_user(&user, opt->user);
	if (r < 0)
		return fail("user", r);
	r = sandbox_enter(who, &user, missing, sizeof(missing));
	if (r < 0)
		return fail("sandbox", r);
	malloc_trim(0); /* the filter was built on the heap */
	if (missing[0])
		log_info("ev=sandbox missing=\"%s\"", missing);
	return -1;
}
