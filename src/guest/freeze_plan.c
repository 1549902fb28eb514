/* SPDX-License-Identifier: MIT */
/* freeze_plan.c - what is frozen, in what order */
#include "guest/freeze_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/mount_disks.h"

/* Has it a disk of the guest's own below it? */
static bool is_on_disk(const struct mount *m)
{
	return m->major != 0 || strcmp(m->type, "btrfs") == 0 ||
	       strcmp(m->type, "bcachefs") == 0;
}

static int add(struct freeze_plan *p, const struct mounts *m, size_t i)
{
	for (size_t k = 0; k < p->n; k++)
		if (mounts_same_fs(&m->list[p->mounts[k]], &m->list[i]))
			return 0;
	if (p->n == FREEZE_MAX)
		return -E2BIG;
	p->mounts[p->n++] = i;
	return 0;
}

/* Where nothing can be written, nothing is to be frozen. */
static int add_all(struct freeze_plan *p, const struct mounts *m)
{
	int r = 0;

	for (size_t i = 0; i < m->n && r == 0; i++)
		if (is_on_disk(&m->list[i]) && !m->list[i].fs_read_only &&
		    mounts_once(m, i))
			r = add(p, m, i);
	return r;
}

static int add_named(struct freeze_plan *p, const struct mounts *m,
		     const char *name)
{
	/* The last one is on top. */
	for (size_t i = m->n; i-- > 0;)
		if (strcmp(m->list[i].path, name) == 0)
			return is_on_disk(&m->list[i]) ? add(p, m, i)
						       : -EOPNOTSUPP;
	return -ENOENT;
}

struct place {
	unsigned int depth;
	size_t mount;
};

/* The deepest first; of those, what was mounted last. */
static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->depth != y->depth)
		return x->depth > y->depth ? -1 : 1;
	return x->mount > y->mount ? -1 : x->mount < y->mount;
}

static void sort(struct freeze_plan *p, const char *root,
		 const struct mounts *m)
{
	struct place places[FREEZE_MAX];

	for (size_t i = 0; i < p->n; i++) {
		places[i].mount = p->mounts[i];
		places[i].depth = mount_depth(root, m, p->mounts[i]);
	}
	qsort(places, p->n, sizeof(places[0]), compare);
	for (size_t i = 0; i < p->n; i++)
		p->mounts[i] = places[i].mount;
}

int freeze_plan_make(struct freeze_plan *ret, const char *root,
		     const struct mounts *m, const char *const *names,
		     size_t n_names, const char **ret_bad)
{
	int r = 0;

	ret->n = 0;
	*ret_bad = "";
	if (!names)
		r = add_all(ret, m);
	for (size_t i = 0; names && i < n_names && r == 0; i++) {
		*ret_bad = names[i];
		r = add_named(ret, m, names[i]);
	}
	if (r == 0)
		sort(ret, root, m);
	return r;
}
