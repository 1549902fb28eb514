/* SPDX-License-Identifier: MIT */
/* mounts.c - what is mounted, from /proc/self/mountinfo */
#include "guest/mounts.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/text.h"

#define FILE_MAX (4 * 1048576)
/* Fields before the optional ones. */
#define FIELDS 6

/* \040 and the like: blanks within a field. Other backslashes stand for
 * themselves. */
static char *unescape(struct text t)
{
	char *s = malloc(t.left + 1);
	size_t n = 0;

	for (size_t i = 0; s && i < t.left; i++) {
		const char *p = t.p + i;

		if (*p == '\\' && t.left - i > 3 && p[1] >= '0' &&
		    p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
		    p[3] <= '7') {
			s[n++] = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 |
					(p[3] - '0'));
			i += 3;
		} else {
			s[n++] = *p;
		}
	}
	if (s)
		s[n] = '\0';
	return s;
}

static bool has_option(struct text options, const char *option)
{
	while (options.left)
		if (text_is(text_until(&options, ','), option))
			return true;
	return false;
}

static bool parse_device(struct text t, struct mount *ret)
{
	struct text major = text_until(&t, ':');
	uint64_t a, b;

	if (!text_number(major, &a) || !text_number(t, &b) || a > UINT32_MAX ||
	    b > UINT32_MAX)
		return false;
	ret->major = (unsigned int)a;
	ret->minor = (unsigned int)b;
	return true;
}

static void mount_done(struct mount *m)
{
	free(m->root);
	free(m->path);
	free(m->type);
	free(m->source);
	free(m->options);
}

/* id parent major:minor root path options [optional]... - type source options
 */
static bool parse_line(struct text line, struct mount *ret)
{
	struct text f[FIELDS], w, type, source, options = {.p = ""};
	struct mount m = {.major = 0};

	for (int i = 0; i < FIELDS; i++)
		if (!text_word(&line, &f[i]))
			return false;
	do
		if (!text_word(&line, &w))
			return false;
	while (!text_is(w, "-"));
	if (!text_word(&line, &type) || !text_word(&line, &source))
		return false;
	(void)text_word(&line, &options);
	if (!parse_device(f[2], &m))
		return false;
	m.root = unescape(f[3]);
	m.path = unescape(f[4]);
	m.type = unescape(type);
	m.source = unescape(source);
	m.options = unescape(options);
	m.fs_read_only = has_option(options, "ro");
	m.read_only = m.fs_read_only || has_option(f[5], "ro");
	if (!m.root || !m.path || !m.type || !m.source || !m.options ||
	    m.path[0] != '/') {
		mount_done(&m);
		return false;
	}
	*ret = m;
	return true;
}

int mounts_read(const char *root, struct mounts *ret)
{
	char *buf;
	long n = text_read(root, "/proc/self/mountinfo", FILE_MAX, &buf);
	struct text t, line;

	*ret = (struct mounts){.list = NULL};
	if (n < 0)
		return (int)n;
	ret->list = calloc(MOUNTS_MAX, sizeof(*ret->list));
	if (!ret->list) {
		free(buf);
		return -ENOMEM;
	}
	t = (struct text){.p = buf, .left = (size_t)n};
	while (ret->n < MOUNTS_MAX && text_line(&t, &line))
		if (parse_line(line, &ret->list[ret->n]))
			ret->n++;
	free(buf);
	return 0;
}

void mounts_done(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		mount_done(&m->list[i]);
	free(m->list);
	*m = (struct mounts){.list = NULL};
}

/* Is @path there, or below? */
static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	if (n == 1) /* the root */
		return true;
	return strncmp(path, top, n) == 0 &&
	       (path[n] == '\0' || path[n] == '/');
}

/* A later one at the same path, or above it, covers it; unless it was moved
 * there, which is rare and costs it its place in the list only. */
bool mounts_hidden(const struct mounts *m, size_t i)
{
	for (size_t k = i + 1; k < m->n; k++)
		if (is_below(m->list[i].path, m->list[k].path))
			return true;
	return false;
}

long mounts_under(const struct mounts *m, const char *path)
{
	size_t best_len = 0;
	long best = -1;

	if (path[0] != '/')
		return -1;
	for (size_t i = 0; i < m->n; i++) {
		size_t len = strlen(m->list[i].path);

		/* Of the same path, the last one is on top. */
		if (is_below(path, m->list[i].path) && len >= best_len) {
			best = (long)i;
			best_len = len;
		}
	}
	return best;
}

bool mounts_same_fs(const struct mount *a, const struct mount *b)
{
	return a->major == b->major && a->minor == b->minor;
}

bool mounts_is_pseudo(const struct mount *m)
{
	static const char *const types[] = {
		"autofs",     "binfmt_misc", "bpf",       "cgroup",   "cgroup2",
		"configfs",   "debugfs",     "devpts",    "efivarfs", "fusectl",
		"hugetlbfs",  "mqueue",      "nsfs",      "proc",     "pstore",
		"rpc_pipefs", "securityfs",  "selinuxfs", "smackfs",  "sysfs",
		"tracefs",
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(m->type, types[i]) == 0)
			return true;
	return false;
}

bool mounts_once(const struct mounts *m, size_t i)
{
	const struct mount *me = &m->list[i];
	bool whole = strcmp(me->root, "/") == 0;

	if (mounts_hidden(m, i))
		return false;
	for (size_t k = 0; k < m->n; k++) {
		const struct mount *other = &m->list[k];
		bool other_whole = strcmp(other->root, "/") == 0;

		if (k == i || !mounts_same_fs(me, other) || mounts_hidden(m, k))
			continue;
		if (other_whole > whole || (other_whole == whole && k < i))
			return false;
	}
	return true;
}
