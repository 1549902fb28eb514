/* SPDX-License-Identifier: MIT */
/*
 * follow.h - a stream that goes along when its VM moves to another host
 *
 * A relay, a thread of the library, sits between the program's descriptor and
 * the broker. It knows how many bytes it got (R) and sent (S), and keeps the
 * last ones that it sent. When the broker ends the stream because the VM has
 * moved, it shows the stream's token and R at the destination, is told how
 * many of its bytes were taken (C), sends the rest again and goes on. Numbers
 * that do not fit end the stream: nothing is guessed. It never looks into the
 * bytes.
 *
 * The states:
 *
 *	going     bytes both ways
 *	ended in  the broker has no more for us; the program may go on sending
 *	fenced    the VM's state has left: nothing moves, and the VM is looked
 *		  for where it may go; it may yet turn out to have stayed
 *	cut       the broker is left behind, there is no way back
 *	over      what the program has not read yet is all there is to do
 *
 * An end of file can be the other side's orderly end, a reset, or the move.
 * The broker says which on a second connection, where it says of each fence,
 * too; without that it is asked.
 *
 * While fenced the relay reads up to what the broker says it has delivered,
 * and not a byte more: what came behind that would be of a history in which
 * the VM stayed. A destination that answers Resume has the VM; a broker that
 * says "serving" has it again. Whichever is heard first has the stream, and
 * the other one sees its connection closed, with what lies in it.
 */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include <poll.h>

#include "client/conn.h"
#include "client/followed.h"
#include "client/keep.h"
#include "client/place.h"
#include "client/replies.h"

/* How long a stream waits to be taken up again: ssh and a busy host. The
 * destination has the same limit. */
#define FOLLOW_MS 30000
/* Between two tries at one place: at first, doubling to the second; and when
 * that has lasted FOLLOW_MS (a VM that stands still after a snapshot). */
#define FOLLOW_TRY_MIN_MS  5
#define FOLLOW_TRY_MS      250
#define FOLLOW_TRY_LONG_MS 2000
/* The named places, and the VM's own name: it may have come back. */
#define FOLLOW_TRIES (PLACE_LIST_MAX + 1)
/* The broker whose stream ended answers from memory, or is gone. */
#define FOLLOW_ASK_MS     2000
#define FOLLOW_ASK_VIA_MS 10000
/* Bytes to the program in the relay, while the broker is there; and when the
 * broker has closed, so that the move does not wait for a slow program: a
 * unix socket holds less. */
#define FOLLOW_DOWN     (64u * 1024u)
#define FOLLOW_DOWN_MAX (2048u * 1024u)

/* The second connection (follow_watch.c). */
struct follow_watch {
	struct client_conn conn; /* fd -1: none */
	pid_t child;
	bool never; /* it has said the last, or cannot be asked */
	int again_ms;
	uint64_t due_us; /* when to try (again) */
	enum watch_said {
		WATCH_NOTHING,
		WATCH_SERVING,
		WATCH_FENCED,
		WATCH_ENDED,
	} said;
	uint64_t delivered; /* FENCED: R will be that */
	char save[REPLY_TOKEN_SIZE];
	unsigned int reason; /* ENDED */
	struct place_socket
		socket; /* where it was asked; unless by a command */
};

struct search;

struct follow {
	struct followed *rec;
	char vm[VMC_NAME_MAX + 1];
	char channel[VMC_NAME_MAX + 1];
	char id[VMC_ID_MAX];
	char token[REPLY_TOKEN_SIZE];
	struct place at;
	struct client_conn conn;
	pid_t child;            /* command that carries the connection, or 0 */
	struct vmc_status last; /* the broker's last answer */
	struct follow_watch watch;
	struct search *search; /* NULL: not looking */
	bool fenced, cut;
	bool refused;          /* since the fence, for good: */
	unsigned int refusal;  /* why; OK: it had nothing left to do there */
	uint64_t cut_until_us; /* then it is given up */

	/* The program's end. */
	int app;
	bool app_hup;  /* it is closed, or both ways were shut down */
	bool app_end;  /* the program's end of file was seen */
	bool app_deaf; /* it does not read any more */
	bool passed;   /* the other side's end was passed on */

	/* To the broker. */
	struct keep up;
	bool out_end;    /* our end of file was passed on */
	bool out_broken; /* it takes nothing (more) */

	/* From the broker. */
	uint8_t *down;
	size_t down_start, down_len, down_cap;
	uint64_t received; /* R */
	bool in_eof;       /* nothing to read (here) any more */
	bool in_end;       /* the other side's orderly end */
	bool hup;          /* both ways are closed */
	bool over;
	bool failed;         /* it could not go on: last says why */
	uint64_t give_up_us; /* the program is gone; CLIENT_NEVER */
};

/* What a destination answers. */
struct follow_answer {
	char id[VMC_ID_MAX];
	uint64_t consumed;
	bool received_end, consumed_end;
};

/**
 * follow_start() - put a relay before a stream
 * @f:        made by the caller with vm, channel, id, token and conn; freed by
 *            the relay, here on failure
 *
 * Return: the program's descriptor, or -ENOMEM, -EMFILE, -EAGAIN.
 */
int follow_start(struct follow *f);

/* ---- follow_watch.c ------------------------------------------------------
 */

/* watch_init() - nothing was said, and it is due at once */
void watch_init(struct follow_watch *w);
/* watch_begin() - ask at f->at */
void watch_begin(struct follow *f);
/* watch_end() - hang up; what was said stays */
void watch_end(struct follow *f);
bool watch_is_open(const struct follow_watch *w);
/* watch_due() - when to begin (again); CLIENT_NEVER */
uint64_t watch_due(const struct follow_watch *w);
/* watch_is_at() - it is open, and to ask at @p would be to ask there again */
bool watch_is_at(const struct follow *f, const struct place *p);
/* watch_read() - one reply. Return: is there news? */
bool watch_read(struct follow *f, uint64_t deadline);

/* ---- follow_move.c -------------------------------------------------------
 */

/* search_new() - look for the stream, wherever it is; NULL: no memory */
struct search *search_new(void);
/* search_free() - hang up wherever it waits; NULL is allowed */
void search_free(struct search *s);
/* search_due() - when to do something unasked, as of the last step */
uint64_t search_due(const struct search *s);
/* search_fill() - what to wait for. Return: how many of FOLLOW_TRIES */
unsigned int search_fill(const struct search *s, struct pollfd *p);

enum search_result {
	SEARCH_GOES_ON,
	SEARCH_FOUND,   /* f->conn, f->child and f->at are of the new place */
	SEARCH_REFUSED, /* f->refusal says why, for good */
};

/**
 * search_step() - after waiting
 * @p: as search_fill() gave it, with what poll() said
 */
enum search_result search_step(struct search *s, struct follow *f,
			       const struct pollfd *p,
			       struct follow_answer *ret);

#endif /* CLIENT_FOLLOW_H */
