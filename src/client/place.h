/* SPDX-License-Identifier: MIT */
/*
 * place.h - where a broker is that may have a stream that moved
 *
 * A place is a VM's name, a directory, or a command whose stdin and stdout
 * are the broker's control socket ("ssh host vmchannel stdio web1"). What a
 * program named with vmc_follow_to() is kept per VM and process.
 */
#ifndef CLIENT_PLACE_H
#define CLIENT_PLACE_H

#include "client/conn.h"

/* Each is asked at the same time, and costs a descriptor or a process. */
#define PLACE_LIST_MAX 8u
/* A command line of ssh with its options. */
#define PLACE_TEXT_MAX 1024u

struct place {
	bool via;                  /* text is a command for /bin/sh */
	char text[PLACE_TEXT_MAX]; /* else a VM, or "/DIR" */
};

struct place_list {
	unsigned int n;
	struct place v[PLACE_LIST_MAX];
};

/* place_init() - 0, or -EINVAL: @text is empty or too long */
int place_init(struct place *ret, const char *text, bool via);

/* place_list_of() - copy what was named for @vm; n is 0 if nothing was */
void place_list_of(const char *vm, struct place_list *ret);

/**
 * place_dial() - client_connect() to the broker of @vm there
 * @vm:        name of the VM where the stream came from
 * @ret_child: process of the command, for place_end(); 0 if there is none
 *
 * A directory is that of the VM, or the one above.
 */
int place_dial(struct client_conn *c, const struct place *p, const char *vm,
	       const char *channel, uint64_t deadline, pid_t *ret_child);

/* place_end() - client_done() and no process stays behind; @child may be 0
 * @now: do not give it the time to end by itself */
void place_end(struct client_conn *c, pid_t child, bool now);

/* Around fork(): the list is whole in the child, and its lock is free. */
void place_lock(void);
void place_unlock(void);

#endif /* CLIENT_PLACE_H */
