/* SPDX-License-Identifier: MIT */
/*
 * listener.h - a listening socket of the broker: lets callers in
 *
 * A wake-up takes LISTENER_BATCH callers, the others wait in the kernel's
 * backlog. Out of descriptors or memory, a caller stays there and the socket
 * readable: it is left alone until the next sweep, or the loop would spin.
 */
#ifndef BROKER_LISTENER_H
#define BROKER_LISTENER_H

#include <stdbool.h>
#include <uv.h>

struct broker;
struct creds;

/**
 * listener_let_in_fn - somebody has connected
 * @fd: non-blocking and close-on-exec; taken on success
 * @creds: who it is; taken on success
 *
 * Return: false: not let in; what is to be counted and said is done.
 */
typedef bool listener_let_in_fn(struct broker *b, int fd,
				const struct creds *creds);

struct listener {
	struct broker *b; /* NULL: not started */
	uv_poll_t poll;
	bool paused;
	listener_let_in_fn *let_in;
};

/* listener_init() - watch @fd, which stays the caller's. Return: 0, -errno. */
int listener_init(struct listener *l, struct broker *b, int fd,
		  listener_let_in_fn *let_in);
/* listener_sweep() - let callers in again, after a pause */
void listener_sweep(struct listener *l);
/* listener_close() - nobody is let in any more */
void listener_close(struct listener *l);

#endif /* BROKER_LISTENER_H */
