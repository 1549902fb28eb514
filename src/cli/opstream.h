/* SPDX-License-Identifier: MIT */
/*
 * opstream.h - a stream of Exec or File: the call, its frames, how it ended
 */
#ifndef CLI_OPSTREAM_H
#define CLI_OPSTREAM_H

#include <jansson.h>
#include <stdbool.h>

#include <vmchannel/vmchannel.h>

#include "cli/frames_down.h"
#include "cli/frames_up.h"

/* What is asked; texts are borrowed as long as the stream is used. */
struct opstream_call {
	const char *vm;
	const char *method;
	enum frames_kind kind;
	unsigned int timeout_s; /* for the guest to begin */
	const char *expected;   /* NULL, or the name of an error that the caller
				 * knows what to do about */
};

/* Instead of an exit status: that error came, and was not reported. */
#define OPSTREAM_EXPECTED (-1)

struct opstream {
	struct opstream_call call;
	char id[VMC_ID_MAX];
	int fd;
	bool hung_up; /* both ways are over; what came can still be read */
	bool over;    /* all was read */
	bool deaf;    /* the guest reads no more */
	struct frames_up up;
	struct frames_down down;
};

/**
 * opstream_open() - call a method that is to be upgraded
 * @parameters:  consumed; NULL: no memory for it
 * @ret_reply:   the parameters of its reply
 *
 * Return: CLI_OK; or the exit status, reported: CLI_NO for an error reply that
 * has none of its own; or OPSTREAM_EXPECTED.
 */
int opstream_open(struct opstream *s, const struct opstream_call *call,
		  json_t *parameters, json_t **ret_reply);

/* opstream_close() - what the guest does ends */
void opstream_close(struct opstream *s);

/* opstream_events() - what to poll fd for; 0: do not */
short opstream_events(const struct opstream *s);

/* opstream_can_move() - do not wait in poll(): it would not tell */
bool opstream_can_move(const struct opstream *s);

/**
 * opstream_move() - receive and send what goes without waiting
 * @revents: of poll()
 */
void opstream_move(struct opstream *s, short revents);

/* opstream_wrote() - so many bytes of frames_down_front() are done with */
void opstream_wrote(struct opstream *s, size_t n);

/* opstream_is_over() - nothing more comes, and all output is gone */
bool opstream_is_over(const struct opstream *s);

/**
 * opstream_report() - say why it ended with neither exit nor sum
 * @what: what becomes of what was going on, for the end of the line; or ""
 *
 * The stream is closed. Return: as opstream_open(), but not CLI_OK.
 */
int opstream_report(struct opstream *s, const char *what);

#endif /* CLI_OPSTREAM_H */
