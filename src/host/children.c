/* SPDX-License-Identifier: MIT */
/*
 * children.c - counting what runs for each service
 *
 * The worker counts streams, but it may have been taken over and a process
 * may outlive its stream; so the supervisor counts processes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/children.h"

int children_reserve(struct children *c, const char *service,
		     unsigned int max_of_service)
{
	unsigned int running = 0;

	for (size_t i = 0; i < c->n; i++)
		running += !strcmp(c->list[i].service, service);
	if (running >= max_of_service || c->n >= CHILDREN_MAX)
		return -EAGAIN;
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : 8;
		struct child *grown =
			reallocarray(c->list, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		c->list = grown;
		c->room = room;
	}
	return 0;
}

void children_add(struct children *c, pid_t pid, const char *service)
{
	struct child *new = &c->list[c->n++];

	new->pid = pid;
	strncpy(new->service, service, sizeof(new->service) - 1);
	new->service[sizeof(new->service) - 1] = '\0';
}

bool children_remove(struct children *c, pid_t pid)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->list[i].pid != pid)
			continue;
		c->list[i] = c->list[--c->n];
		return true;
	}
	return false;
}

void children_done(struct children *c)
{
	free(c->list);
	memset(c, 0, sizeof(*c));
}
