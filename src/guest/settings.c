/* SPDX-License-Identifier: MIT */
/*
 * settings.c - the agent's policy.d and services.d
 */
#include "guest/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/conf_dir.h"
#include "broker/users.h"

#define FOLDERS_MAX 2

struct folders {
	char names[FOLDERS_MAX][PATH_MAX];
	const char *list[FOLDERS_MAX + 1];
};

static void find_folders(struct folders *f, const char *dir, const char *sub)
{
	const char *const bases[FOLDERS_MAX] = {
		dir ? dir : "/etc/vmchannel",
		dir ? NULL : "/etc/vmchannel/host",
	};
	size_t n = 0;

	for (size_t i = 0; i < FOLDERS_MAX; i++) {
		if (!bases[i])
			continue;
		snprintf(f->names[n], PATH_MAX, "%s/%s", bases[i], sub);
		f->list[n] = f->names[n];
		n++;
	}
	f->list[n] = NULL;
}

static bool any_user(const struct services *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->list[i].user)
			return true;
	}
	return false;
}

int settings_load_policy(struct policy **ret, const char *dir, char *ret_err,
			 size_t err_size)
{
	struct folders f;

	find_folders(&f, dir, "policy.d");
	return policy_load(ret, VMC_PRINCIPAL_GUEST, f.list,
			   group_resolve_files, ret_err, err_size);
}

int settings_load(struct settings *ret, const char *dir, char *ret_err,
		  size_t err_size)
{
	struct settings s = {.policy = NULL};
	struct folders f;
	int r;

	r = settings_load_policy(&s.policy, dir, ret_err, err_size);
	if (r < 0)
		return r;
	s.services = calloc(1, sizeof(*s.services));
	if (!s.services) {
		snprintf(ret_err, err_size, "no memory");
		r = -ENOMEM;
		goto err_done;
	}
	find_folders(&f, dir, "services.d");
	r = services_load(s.services, f.list, ret_err, err_size);
	if (r < 0)
		goto err_done;
	s.switch_user = any_user(s.services);
	*ret = s;
	return 0;
err_done:
	settings_done(&s);
	return r;
}

void settings_done(struct settings *s)
{
	policy_free(s->policy);
	if (s->services)
		services_done(s->services);
	free(s->services);
}
