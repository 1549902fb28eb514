/* SPDX-License-Identifier: MIT */
/*
 * followed.h - the streams of this process that follow their VM
 *
 * One record for each, made by vmc_connect(), written by its relay's thread,
 * read by vmc_stream_status(), which has to ask where the stream is now. The
 * last FOLLOWED_ENDED_MAX that ended are remembered.
 */
#ifndef CLIENT_FOLLOWED_H
#define CLIENT_FOLLOWED_H

#include <stdatomic.h>
#include <vmchannel/vmchannel.h>

#include "client/place.h"

#define FOLLOWED_ENDED_MAX 256
/* exit() waits so long for bytes that were written but are still here. */
#define FOLLOWED_EXIT_MS 5000

struct followed {
	struct followed *next;
	char vm[VMC_NAME_MAX + 1];
	char id[VMC_ID_MAX];
	struct place at; /* where it is now */
	bool live;       /* its relay runs */
	bool failed;     /* it could not go on: status says why */
	struct vmc_status status;
	/* Of the relay, to be closed in a child after fork(); or -1. */
	int app, fd, out;
	int watch_fd, watch_out;
	/* Bytes of the program are in the relay's memory. */
	atomic_bool busy;
};

/* followed_new() - NULL: no memory. It belongs to the table. */
struct followed *followed_new(const char *vm, const char *id, int app,
			      const struct client_conn *c);
/* followed_leave() - its connection will be closed now */
void followed_leave(struct followed *r);
/* followed_dial() - place_dial() for its second connection: no fork() of the
 * program's comes between the descriptor and its record */
int followed_dial(struct followed *r, struct client_conn *c,
		  const struct place *p, const char *channel, uint64_t deadline,
		  pid_t *ret_child);
/* followed_unwatch() - that one will be closed now */
void followed_unwatch(struct followed *r);
/* followed_at() - it goes on there, on @c */
void followed_at(struct followed *r, const struct place *at,
		 const struct client_conn *c);
/* followed_end() - the relay's descriptors will be closed now
 * @failed: why the relay ended the stream by itself, or NULL */
void followed_end(struct followed *r, const struct vmc_status *failed);

enum followed_kind {
	FOLLOWED_OTHER,  /* not one of ours */
	FOLLOWED_AT,     /* ask at @ret_at */
	FOLLOWED_FAILED, /* @ret_failed is its status: nobody there knows */
};

/* followed_find() - where to ask about a stream */
enum followed_kind followed_find(const char *vm, const char *id,
				 struct place *ret_at,
				 struct vmc_status *ret_failed);

#endif /* CLIENT_FOLLOWED_H */
