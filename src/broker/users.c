/* SPDX-License-Identifier: MIT */
/*
 * users.c - /etc/passwd and /etc/group, read without NSS
 *
 * Lines are fields between colons. A line that does not parse is skipped, as
 * the C library does: a broken line must not take everybody's names away.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/users.h"

#define PASSWD_FILE "/etc/passwd"
#define GROUP_FILE  "/etc/group"

#define PASSWD_FIELDS 7
#define GROUP_FIELDS  4

/* -1 is "no id" to the kernel's set*id(). */
static bool parse_id(const char *s, uint32_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v >= UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)v;
	return true;
}

/* Cuts @line in place. */
static bool split_fields(char *line, char **fields, size_t want)
{
	size_t n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *f = line; f && n < want; n++)
		fields[n] = strsep(&f, ":");
	return n == want;
}

/* What to do with each line; true ends the search. */
typedef bool line_fn(char **fields, void *data);

static int each_line(const char *path, size_t n_fields, line_fn *fn, void *data)
{
	char *fields[PASSWD_FIELDS];
	char *line = NULL;
	size_t size = 0;
	int r = -ENOENT;
	FILE *f = fopen(path, "re");

	if (!f)
		return errno == ENOENT ? -ENOENT : -errno;
	while (r == -ENOENT && getline(&line, &size, f) > 0) {
		if (split_fields(line, fields, n_fields) && fn(fields, data))
			r = 0;
	}
	free(line);
	(void)fclose(f); /* only read */
	return r;
}

struct user_search {
	const char *user;
	bool numeric;
	struct user_ids *ids;
};

static bool passwd_line(char **f, void *data)
{
	struct user_search *s = data;
	uint32_t uid, gid;

	if (!parse_id(f[2], &uid) || !parse_id(f[3], &gid))
		return false;
	if (s->numeric ? uid != s->ids->uid : strcmp(f[0], s->user) != 0)
		return false;
	if (strlen(f[0]) > USER_NAME_MAX)
		return false;
	s->ids->uid = uid;
	s->ids->gid = gid;
	snprintf(s->ids->name, sizeof(s->ids->name), "%s", f[0]);
	if (f[5][0] == '/' && strlen(f[5]) < sizeof(s->ids->home))
		snprintf(s->ids->home, sizeof(s->ids->home), "%s", f[5]);
	if (f[6][0] == '/' && strlen(f[6]) < sizeof(s->ids->shell))
		snprintf(s->ids->shell, sizeof(s->ids->shell), "%s", f[6]);
	return true;
}

static bool is_member(const char *members, const char *user)
{
	size_t len = strlen(user);

	while (*members) {
		size_t n = strcspn(members, ",");

		if (n == len && !memcmp(members, user, n))
			return true;
		members += n + (members[n] == ',');
	}
	return false;
}

static bool member_line(char **f, void *data)
{
	struct user_ids *ids = data;
	uint32_t gid;

	if (parse_id(f[2], &gid) && gid != ids->gid &&
	    is_member(f[3], ids->name))
		ids->groups[ids->n_groups++] = gid;
	return ids->n_groups == USER_GROUPS_MAX;
}

int user_resolve_in(struct user_ids *ret, const char *user, const char *passwd,
		    const char *group)
{
	struct user_ids ids = {.home = "/", .shell = "/bin/sh"};
	uint32_t number = 0;
	struct user_search s = {
		.user = user,
		.numeric = parse_id(user, &number),
		.ids = &ids,
	};
	int r;

	ids.uid = ids.gid = number;
	r = each_line(passwd, PASSWD_FIELDS, passwd_line, &s);
	if (r == -ENOENT && s.numeric)
		r = 0;
	if (r < 0)
		return r;
	ids.groups[ids.n_groups++] = ids.gid;
	if (ids.name[0])
		each_line(group, GROUP_FIELDS, member_line, &ids);
	*ret = ids;
	return 0;
}

int user_resolve_files(struct user_ids *ret, const char *user)
{
	return user_resolve_in(ret, user, PASSWD_FILE, GROUP_FILE);
}

struct group_search {
	const char *name;
	gid_t *ret;
};

static bool group_line(char **f, void *data)
{
	const struct group_search *s = data;
	uint32_t gid;

	if (strcmp(f[0], s->name) != 0 || !parse_id(f[2], &gid))
		return false;
	*s->ret = gid;
	return true;
}

bool group_resolve_in(const char *name, gid_t *ret, const char *group)
{
	struct group_search s = {.name = name};

	s.ret = ret;
	return each_line(group, GROUP_FIELDS, group_line, &s) == 0;
}

bool group_resolve_files(const char *name, gid_t *ret)
{
	return group_resolve_in(name, ret, GROUP_FILE);
}
