/* SPDX-License-Identifier: MIT */
/*
 * exec_tree.h - all processes that a command has become
 *
 * The process that serves it is their reaper (PR_SET_CHILD_SUBREAPER): whose
 * parent has ended becomes its child, so that none gets out of sight, whatever
 * session or group it made itself. A cgroup, where there is one, ends them at
 * once, and those of a server that was killed.
 */
#ifndef GUEST_EXEC_TREE_H
#define GUEST_EXEC_TREE_H

#include <stdbool.h>

/* exec_tree_signal() - send @number to all processes below this one */
void exec_tree_signal(int number);

/* exec_tree_empty() - reap. Return: is none left? */
bool exec_tree_empty(void);

#endif /* GUEST_EXEC_TREE_H */
