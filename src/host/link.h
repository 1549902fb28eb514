/* SPDX-License-Identifier: MIT */
/*
 * link.h - finding QEMU's chardev socket, again and again
 *
 * QEMU listens and takes one client at a time. A second connect() succeeds
 * too and waits unseen in the backlog, so success here means little: the
 * worker says when nothing answers, and then it is tried anew.
 */
#ifndef HOST_LINK_H
#define HOST_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

/* Between attempts while nobody listens; doubled up to the second, or to what
 * is set instead. */
#define LINK_RETRY_MIN_MS 50u
#define LINK_RETRY_MAX_MS 1000u

/* A link that lived this long was a real one: look for the next at once. */
#define LINK_PROVEN_MS 2000u

struct link_search {
	struct sockaddr_un addr;
	bool searching;
	bool was_up;           /* at least once */
	unsigned int delay_ms; /* before the attempt after the next */
	unsigned int max_ms;   /* it grows to that */
	uint64_t due_ms;       /* next attempt, if searching */
	uint64_t since_ms;     /* when the present link was found */
	int last_error;        /* of the last attempt; 0: it is up */
};

/* link_init() - Return: 0, or -ENAMETOOLONG */
int link_init(struct link_search *l, const char *path);

/* link_begin() - search from now on */
void link_begin(struct link_search *l, uint64_t now_ms);

/* link_lost() - the one that was found is gone; search for the next */
void link_lost(struct link_search *l, uint64_t now_ms);

/**
 * link_try() - one attempt, never waits
 *
 * Return: a connected, non-blocking, close-on-exec descriptor; or a negative
 * errno, and due_ms says when to try again.
 */
int link_try(struct link_search *l, uint64_t now_ms);

#endif /* HOST_LINK_H */
