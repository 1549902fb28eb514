/* SPDX-License-Identifier: MIT */
/*
 * qmp_proc.h - the supervisor's side of vmchanneld's own QMP connection
 *
 * The supervisor connects, because only it can name a socket; a process that
 * lives as long as the connection (qmp_main.c) reads it. What that one says is
 * one of a few numbers, and a hint: it goes to the worker, never faster than
 * QMP_TELL_MS, and mends the bus object of a bus process that died.
 *
 *	off | waiting -> connected -> greeted -> (death) -> waiting, later each
 *	time unless it was greeted; at once when the link is found
 */
#ifndef HOST_QMP_PROC_H
#define HOST_QMP_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/ipc.h"
#include "host/link.h"
#include "host/rate.h"

/* Between attempts to connect, at most. A VM without that socket is idle for
 * as long; and QEMU's link, when it is found, is a reason to try at once. */
#define QMP_RETRY_MAX_MS 60000u
/* A QEMU that says stop, resume, stop, ... without end keeps nobody busy. */
#define QMP_TELL_MS 20u

struct qmp_side {
	struct link_search search; /* .addr.sun_path "": no QMP is wanted */
	pid_t pid;                 /* 0: none */
	int pair;                  /* -1: none */
	bool ready;                /* QEMU greeted */
	enum ipc_vm vm;            /* what it says */
	bool listens;              /* the worker knows IPC_VM */
	bool untold;               /* the worker has not heard of .vm */
	uint64_t told_ms;
	struct rate mends;
	bool mending;
};

struct supervisor;

/* qmp_init() - --qmp-events. Return: 0 or -ENAMETOOLONG */
int qmp_init(struct supervisor *s);
/* qmp_begin() - QEMU may be there: look for it now, unless it is found */
void qmp_begin(struct supervisor *s);
/* qmp_due() - when to call qmp_on_time(); UINT64_MAX: never */
uint64_t qmp_due(const struct supervisor *s);
void qmp_on_time(struct supervisor *s);
/* qmp_handle() - what the process has sent */
void qmp_handle(struct supervisor *s);
/* qmp_died() - its connection is over */
void qmp_died(struct supervisor *s, int wait_status);
/* qmp_look() - a state has left: what does the VM do? */
void qmp_look(struct supervisor *s);
/* qmp_tell() - what is known, to the worker that is there */
void qmp_tell(struct supervisor *s);
/* qmp_greet() - the same, to one that is new */
void qmp_greet(struct supervisor *s);
/* qmp_mend() - make QEMU connect to vmstate.sock again, if it has to and may */
void qmp_mend(struct supervisor *s);
/* qmp_end() - end the process */
void qmp_end(struct supervisor *s);

#endif /* HOST_QMP_PROC_H */
