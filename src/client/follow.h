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
 *	over      what the program has not read yet is all there is to do
 *
 * An end of file can be the other side's orderly end, a reset, or the move.
 * The broker is asked which.
 */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include "client/conn.h"
#include "client/followed.h"
#include "client/keep.h"
#include "client/place.h"
#include "client/replies.h"

/* How long a stream waits to be taken up again: ssh and a busy host. The
 * destination has the same limit. */
#define FOLLOW_MS 30000
/* Between two tries at one place. */
#define FOLLOW_TRY_MS 250
/* The broker whose stream ended answers from memory, or is gone. */
#define FOLLOW_ASK_MS     2000
#define FOLLOW_ASK_VIA_MS 10000
/* Bytes to the program in the relay, while the broker is there; and when the
 * broker has closed, so that the move does not wait for a slow program: a
 * unix socket holds less. */
#define FOLLOW_DOWN     (64u * 1024u)
#define FOLLOW_DOWN_MAX (2048u * 1024u)

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

/**
 * follow_resume() - take the stream up again, wherever it is (follow_move.c)
 *
 * f->conn, f->child and f->at are those of the new place then.
 *
 * Return: 0, or the reason why it is over.
 */
unsigned int follow_resume(struct follow *f, struct follow_answer *ret);

#endif /* CLIENT_FOLLOW_H */
