/* SPDX-License-Identifier: MIT */
/*
 * keep.c - a table of descriptors by the worker's names
 */
#include "host/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_FIRST 16 /* entries at first; doubled as needed */

static struct kept *find(const struct keep *k, uint64_t request)
{
	for (size_t i = 0; i < k->n; i++) {
		if (k->list[i].request == request)
			return &k->list[i];
	}
	return NULL;
}

static int make_room(struct keep *k)
{
	size_t room = k->room ? 2 * k->room : KEEP_FIRST;
	struct kept *grown;

	if (k->n >= KEEP_MAX)
		return -ENOSPC;
	if (k->n < k->room)
		return 0;
	grown = reallocarray(k->list, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	k->list = grown;
	k->room = room;
	return 0;
}

int keep_add(struct keep *k, uint64_t request, int32_t kind, int fd)
{
	int r = find(k, request) ? -EEXIST : make_room(k);

	if (r < 0) {
		close(fd);
		return r;
	}
	k->list[k->n++] = (struct kept){request, kind, fd};
	return 0;
}

bool keep_drop(struct keep *k, uint64_t request)
{
	struct kept *one = find(k, request);
	size_t behind;

	if (!one)
		return false;
	close(one->fd);
	behind = k->n - (size_t)(one - k->list) - 1;
	memmove(one, one + 1, behind * sizeof(*one));
	k->n--;
	return true;
}

void keep_clear(struct keep *k)
{
	for (size_t i = 0; i < k->n; i++)
		close(k->list[i].fd);
	k->n = 0;
}

void keep_done(struct keep *k)
{
	keep_clear(k);
	free(k->list);
	*k = (struct keep){0};
}
