/* SPDX-License-Identifier: MIT */
/*
 * children.h - the processes of command services
 */
#ifndef HOST_CHILDREN_H
#define HOST_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <vmchannel/types.h>

/* Of all services; a worker that was taken over can start no more. */
#define CHILDREN_MAX 1024u

struct child {
	pid_t pid;
	char service[VMC_NAME_MAX + 1];
};

struct children {
	struct child *list;
	size_t n, room;
};

/* children_reserve() - room for one more? Return: 0, -EAGAIN (the service or
 * all have their number running), -ENOMEM. */
int children_reserve(struct children *c, const char *service,
		     unsigned int max_of_service);
/* children_add() - after a successful children_reserve() */
void children_add(struct children *c, pid_t pid, const char *service);
/* children_remove() - Return: was it one of them? */
bool children_remove(struct children *c, pid_t pid);
void children_done(struct children *c);

#endif /* HOST_CHILDREN_H */
