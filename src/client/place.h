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

#include <sys/types.h>

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
 * place_address() - address of the broker of @vm there; of a command there is
 * none
 * @vm: name of the VM where the stream came from
 *
 * A directory is that of the VM, or the one above.
 */
int place_address(const struct place *p, const char *vm,
		  struct sockaddr_un *ret);

/* place_open() - what will carry the connection; nothing is waited for
 * @ret_child: process of the command, for place_end(); 0 if there is none */
int place_open(struct client_conn *c, const struct place *p, const char *vm,
	       const char *channel, pid_t *ret_child);

/* place_reach() - connect it; on failure it is still open
 * @sa: what place_address() said */
int place_reach(struct client_conn *c, const struct place *p,
		const struct sockaddr_un *sa, uint64_t deadline);

/* place_dial() - all three; nothing is open on failure */
int place_dial(struct client_conn *c, const struct place *p, const char *vm,
	       const char *channel, uint64_t deadline, pid_t *ret_child);

/* Which socket is in a directory, whatever it is called. */
struct place_socket {
	dev_t dev;
	ino_t ino;
};

/* place_socket() - where @p leads now; false: nowhere, or to a command */
bool place_socket(const struct place *p, const char *vm,
		  struct place_socket *ret);

/* place_end() - client_done() and no process stays behind; @child may be 0
 * @now: do not give it the time to end by itself */
void place_end(struct client_conn *c, pid_t child, bool now);

/* Around fork(): the list is whole in the child, and its lock is free. */
void place_lock(void);
void place_unlock(void);

#endif /* CLIENT_PLACE_H */
