/* SPDX-License-Identifier: MIT */
/*
 * users.h - names of users and groups to numbers, without NSS
 *
 * A static program cannot load NSS modules and an initramfs has none, so this
 * reads /etc/passwd and /etc/group itself. A daemon that is linked
 * dynamically may pass a resolver of its own to service_spawn_as().
 */
#ifndef BROKER_USERS_H
#define BROKER_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX                                                   \
	64                /* supplementary; more are left out, which only \
			     takes rights away */
#define USER_HOME_MAX 256 /* a longer home is given as "/" */
#define USER_NAME_MAX 32  /* useradd's limit */

struct user_ids {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	size_t n_groups;
	char name[USER_NAME_MAX + 1];
	char home[USER_HOME_MAX];
	char shell[USER_HOME_MAX]; /* a longer one, or none: "/bin/sh" */
};

/**
 * user_resolve_fn - turns a user's name or number into ids and groups
 *
 * Return: 0, -ENOENT (no such user), or another negative errno.
 */
typedef int user_resolve_fn(struct user_ids *ret, const char *user);

/* user_resolve_files() - as above, from /etc/passwd and /etc/group. A number
 * that has no line there is itself, with the group of the same number. */
user_resolve_fn user_resolve_files;

/* user_resolve_in() - the same with other files; tests, chroots */
int user_resolve_in(struct user_ids *ret, const char *user, const char *passwd,
		    const char *group);

/* group_resolve_files() - a policy_group_fn over /etc/group */
bool group_resolve_files(const char *name, gid_t *ret);
bool group_resolve_in(const char *name, gid_t *ret, const char *group);

#endif /* BROKER_USERS_H */
