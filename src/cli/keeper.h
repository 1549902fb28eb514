/* SPDX-License-Identifier: MIT */
/*
 * keeper.h - vmchanneld for a QEMU that "run" or "attach" takes care of
 *
 * "vmchannel run" becomes QEMU (exec), so that terminal, signals, process id
 * and exit status are QEMU's own. Somebody else has to end vmchanneld after
 * it: the keeper, a small process of its own session. It knows that QEMU is
 * gone when the last copy of the *lifeline*, a pipe that QEMU inherits, is
 * closed; that holds for every way in which QEMU can end, and for
 * -daemonize. If the keeper is killed, vmchanneld ends, too.
 */
#ifndef CLI_KEEPER_H
#define CLI_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "cli/place.h"

/* vmchanneld makes sockets and forks; on a loaded machine it takes a while. */
#define KEEPER_READY_MS 15000
/* For ending in order; then it is killed. */
#define KEEPER_END_MS 5000
/* The same VM started again at once: its last keeper may be cleaning up. */
#define KEEPER_IN_USE_MS 2000
/* For QEMU to close its sockets. */
#define KEEPER_SOCKET_MS 2000
/* What vmchanneld says before it is ready is kept for the user. */
#define KEEPER_SAID_MAX 4096
/* DIR/log starts anew when it is larger. */
#define KEEPER_LOG_MAX (1024 * 1024)

struct keeper_wish {
	const char *vm;
	const struct place *place;
	const char *link;   /* socket that vmchanneld connects to */
	const char *events; /* QMP socket for it alone, or NULL */
	const char *uuid;   /* or NULL */
	const char *config; /* --config, or NULL */
	bool lifeline;      /* end with QEMU; else with the link */
	bool incoming;      /* a migration brings the state */
	bool verbose;       /* vmchanneld's words go to stderr, not DIR/log */
};

struct keeper {
	int lifeline; /* write end, close-on-exec; or -1 */
	int status;   /* end of file when the keeper has ended */
	pid_t pid;
};

/**
 * keeper_start() - start vmchanneld and its keeper, wait until it serves
 *
 * Return: CLI_OK, or CLI_FAILED with the reason on stderr.
 */
int keeper_start(struct keeper *ret, const struct keeper_wish *wish);

/* keeper_forget() - close our ends; everything goes on. Whoever has inherited
 * the lifeline keeps vmchanneld alive. */
void keeper_forget(struct keeper *k);

/* keeper_stop() - end vmchanneld, wait until everything is cleaned up */
void keeper_stop(struct keeper *k);

/* keeper_main() - what the keeper's process does (keeper_main.c); writes its
 * pid to @status when vmchanneld serves. Return: its exit status. */
int keeper_main(const struct keeper_wish *wish, const char *program, int status,
		int lifeline);

#endif /* CLI_KEEPER_H */
