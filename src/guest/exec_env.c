/* SPDX-License-Identifier: MIT */
/* exec_env.c - the environment of a command */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/exec_plan.h"

#define ROOT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define USER_PATH "/usr/local/bin:/usr/bin:/bin"

/* What a log-in sets, TERM, and the end. */
#define OWN_MAX 9

struct env {
	char **all;
	size_t n;
	bool failed;
};

static size_t key_len(const char *entry)
{
	return strcspn(entry, "=");
}

/* Where an entry of that key stands, or the end. */
static char **place(struct env *e, const char *entry)
{
	size_t len = key_len(entry);

	for (size_t i = 0; i < e->n; i++)
		if (key_len(e->all[i]) == len &&
		    strncmp(e->all[i], entry, len) == 0)
			return &e->all[i];
	return &e->all[e->n++];
}

static void set(struct env *e, const char *key, const char *value)
{
	char *entry, **at;

	if (asprintf(&entry, "%s=%s", key, value) < 0) {
		e->failed = true;
		return;
	}
	at = place(e, entry);
	free(*at);
	*at = entry;
}

static void set_own(struct env *e, const struct user_ids *user,
		    const char *term)
{
	const char *lang = getenv("LANG");

	set(e, "HOME", user->home);
	set(e, "SHELL", user->shell);
	set(e, "PATH", user->uid == 0 ? ROOT_PATH : USER_PATH);
	if (user->name[0] != '\0') {
		set(e, "USER", user->name);
		set(e, "LOGNAME", user->name);
	}
	if (lang)
		set(e, "LANG", lang);
	if (term)
		set(e, "TERM", term);
}

char **exec_env(const struct user_ids *user, json_t *more, const char *term)
{
	struct env e = {0};
	const char *key;
	json_t *value;

	e.all = calloc(OWN_MAX + json_object_size(more), sizeof(*e.all));
	if (!e.all)
		return NULL;
	set_own(&e, user, term);
	json_object_foreach(more, key, value)
		set(&e, key, json_string_value(value));
	if (!e.failed)
		return e.all;
	for (size_t i = 0; i < e.n; i++)
		free(e.all[i]);
	free(e.all);
	return NULL;
}

bool exec_env_is_right(json_t *more)
{
	const char *key;
	json_t *value;

	json_object_foreach(more, key, value)
	{
		(void)value;
		if (key[0] == '\0' || strchr(key, '='))
			return false;
	}
	return true;
}
