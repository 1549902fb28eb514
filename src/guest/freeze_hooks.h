/* SPDX-License-Identifier: MIT */
/*
 * freeze_hooks.h - programs that make applications ready for a freeze
 *
 * /etc/vmchannel/freeze.d/NAME is run with "freeze" before, in alphabetical
 * order, and with "thaw" after, in reverse. Only root's own, executable files
 * that nobody else may write count; those with a dot in front do not.
 */
#ifndef GUEST_FREEZE_HOOKS_H
#define GUEST_FREEZE_HOOKS_H

#include <stddef.h>

#include "guest/freeze_record.h"

#define FREEZE_HOOKS_DIR "/etc/vmchannel/freeze.d"
#define FREEZE_HOOKS_MAX 64
#define FREEZE_HOOK_NAME 255
/* Of each; then it and its children are killed. */
#define FREEZE_HOOK_MS 10000u
/* Its status then; timeout(1) has the same. */
#define FREEZE_HOOK_TOO_LONG 124

struct freeze_hooks {
	char names[FREEZE_HOOKS_MAX][FREEZE_HOOK_NAME + 1];
	size_t n;
	size_t ran; /* of them, those that were told "freeze" and said yes */
};

/* freeze_hooks_list() - none if there is no folder */
void freeze_hooks_list(struct freeze_hooks *h);

/**
 * freeze_hooks_before() - all of them, until one fails or somebody asks for
 *                         the thaw
 * @rec: its failure is filled in
 *
 * Return: 0, or -ECANCELED
 */
int freeze_hooks_before(struct freeze_hooks *h, struct freeze_record *rec);

/* freeze_hooks_after() - those that ran, in reverse; what they say does not
 * matter any more */
void freeze_hooks_after(struct freeze_hooks *h, struct freeze_record *rec);

#endif /* GUEST_FREEZE_HOOKS_H */
