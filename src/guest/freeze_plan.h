/* SPDX-License-Identifier: MIT */
/*
 * freeze_plan.h - what is frozen, in what order
 *
 * Innermost first: a file system in a file of another one (a loop device) is
 * written out into that one while it freezes, so that one must not be frozen
 * yet. An overlay has nothing to freeze; its upper folder's file system has.
 */
#ifndef GUEST_FREEZE_PLAN_H
#define GUEST_FREEZE_PLAN_H

#include "guest/mounts.h"

#define FREEZE_MAX 256

struct freeze_plan {
	size_t mounts[FREEZE_MAX]; /* places in the list, in that order */
	size_t n;
};

/**
 * freeze_plan_make() - @names: paths of mounts; NULL: all that are on disks
 *
 * Return: 0; -ENOENT: *@ret_bad is no mount; -EOPNOTSUPP: *@ret_bad is of
 * memory, of the network or a window of the kernel's; -E2BIG: too many.
 */
int freeze_plan_make(struct freeze_plan *ret, const char *root,
		     const struct mounts *m, const char *const *names,
		     size_t n_names, const char **ret_bad);

#endif /* GUEST_FREEZE_PLAN_H */
