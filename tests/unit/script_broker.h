/* SPDX-License-Identifier: MIT */
/*
 * script_broker.h - a broker that does what a test's script says
 *
 * A forked process serves one connection after the other on a VM's control
 * socket in a folder of its own. It is an honest liar: what it sends is the
 * test's, byte by byte.
 */
#ifndef TESTS_SCRIPT_BROKER_H
#define TESTS_SCRIPT_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum script_do {
	SCRIPT_END,    /* of the script */
	SCRIPT_ACCEPT, /* the next connection; closes the one before. Calls
			* of Follow are answered as by an older broker */
	SCRIPT_FOLLOW, /* the next one that calls Follow; the others wait */
	SCRIPT_EXPECT, /* a message that contains text; its NUL is taken */
	SCRIPT_SEND,   /* text, without its NUL */
	SCRIPT_BOTH,  /* text of this step and of the next, each with its NUL */
	SCRIPT_NUL,   /* one NUL byte */
	SCRIPT_BYTES, /* text, n times */
	SCRIPT_RAW,   /* expect exactly text as raw bytes */
	SCRIPT_EOF,   /* wait until the client has closed or shut down */
	SCRIPT_HALF,  /* the same, with bytes before that end left unread */
	SCRIPT_CLOSE, /* this connection */
	SCRIPT_QUIT,  /* the listening socket, too */
	SCRIPT_SHUT,  /* our direction of this connection */
	SCRIPT_DEAF,  /* the other direction: take no more */
	SCRIPT_SWAP,  /* put this connection aside, take the one that is there;
		       * n: in which of SCRIPT_ASIDE_MAX places */
	SCRIPT_TAKE,  /* n bytes, whatever they are */
	SCRIPT_PAUSE, /* n milliseconds */
	SCRIPT_TELL,  /* ring bell n */
	SCRIPT_HEAR,  /* wait for it, once for each time that it was rung */
	SCRIPT_NOBODY, /* no connection waits to be accepted */
	SCRIPT_ANSWER, /* text to every call, until script_finish(); closes the
			* connection before the first */
};

/* SCRIPT_BYTES and SCRIPT_RAW: bytes of the pattern from that number on, which
 * is in text as decimal digits after this. */
#define SCRIPT_PATTERN "#"

#define SCRIPT_ASIDE_MAX 2
#define SCRIPT_BELLS     3

struct script_step {
	enum script_do what;
	const char *text;
	size_t n;
};

#define SCRIPT_VM "web1"

struct script_broker {
	pid_t pid;
	char root[64];
};

/* Sets VMCHANNEL_DIR. The socket listens when it returns. */
void script_start(struct script_broker *b, const struct script_step *steps);
/* Waits for the end of the script; fails the test if it was not followed. */
void script_wait(struct script_broker *b);
/* The same, and removes what script_start() made. */
void script_finish(struct script_broker *b);

/* What scripts and the test tell each other; before the first script, and
 * after the last. */
void script_bells_make(void);
void script_bells_free(void);
void script_tell(size_t bell);
/* Return: was it rung, in generous time? */
bool script_hear(size_t bell);

/* The test data: byte number @at of a stream. */
unsigned char script_byte(unsigned long long at);

/* Open descriptors of this process. */
int script_count_fds(void);

#endif /* TESTS_SCRIPT_BROKER_H */
