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

#include <stddef.h>
#include <sys/types.h>

enum script_do {
	SCRIPT_END,    /* of the script */
	SCRIPT_ACCEPT, /* the next connection; closes the one before */
	SCRIPT_EXPECT, /* a message that contains text; its NUL is taken */
	SCRIPT_SEND,   /* text, without its NUL */
	SCRIPT_NUL,    /* one NUL byte */
	SCRIPT_BYTES,  /* text, n times */
	SCRIPT_RAW,    /* expect exactly text as raw bytes */
	SCRIPT_EOF,    /* wait until the client has closed or shut down */
	SCRIPT_CLOSE,  /* this connection */
	SCRIPT_QUIT,   /* the listening socket, too */
};

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
void script_finish(struct script_broker *b);

/* Open descriptors of this process. */
int script_count_fds(void);

#endif /* TESTS_SCRIPT_BROKER_H */
