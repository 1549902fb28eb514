/* SPDX-License-Identifier: MIT */
/*
 * vm_watch.h - what QEMU says of its VM, as one word
 *
 * Theory of operation
 *
 * Events only say when to look: what counts is the answer to query-status. The
 * exception is RESUME, which is told at once, since people wait then, and STOP
 * likewise. A source that has given its VM away says so without an event, so
 * it is asked again and again while it is about to.
 *
 *	running                      RUNNING
 *	postmigrate, and
 *	query-migrate: completed     MOVED (a paused VM whose migration failed
 *	                             is in postmigrate, too)
 *	anything else                STOPPED
 *
 * The same connection mends a dbus-vmstate whose other end has died: never
 * while a migration runs, whose thread walks the list that the object is in.
 *
 * No I/O and no clock: qmp_main.c has both. What QEMU says may be a lie; the
 * worker takes it for a hint (docs/continuity.md section 4).
 */
#ifndef HOST_VM_WATCH_H
#define HOST_VM_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/ipc.h"
#include "qmp/watch.h"

/* QEMU greets at once, unless another client has the socket. */
#define VM_GREET_MS 30000u
/* Between questions while a migration is about to end. */
#define VM_POLL_MIN_MS 20u
#define VM_POLL_MAX_MS 1000u
/* Between questions whether a migration is over. */
#define VM_MEND_MS 2000u

#define VM_NEVER UINT64_MAX

enum vm_mend {
	VM_MEND_NONE,
	VM_MEND_WANTED, /* as soon as no migration runs */
	VM_MEND_ASKED,  /* does one? */
	VM_MEND_DELETING,
	VM_MEND_ADDING,
	VM_MEND_DONE, /* to be told */
};

struct vm_watch {
	struct qmp_watch qmp;
	uint64_t now_ms;
	uint64_t greet_ms; /* patience ends then; VM_NEVER: it has greeted */
	enum ipc_vm vm;    /* IPC_VM_WAITING: not known yet */
	bool ready, tell_ready, tell_vm;
	bool asking;  /* an answer is due */
	bool changed; /* ... and what it says may be old */
	uint64_t poll_ms, look_ms;

	enum vm_mend mend;
	char path[IPC_TEXT_MAX + 1];
	uint64_t mend_ms;
	bool mended;
	char why[IPC_TEXT_MAX + 1]; /* not: what QEMU said; fit for the log */
};

void vm_watch_init(struct vm_watch *w, uint64_t now_ms);
void vm_watch_done(struct vm_watch *w);

/* vm_watch_input() - @n bytes are in what qmp_watch_room() gave. Return: as
 * qmp_watch_input(). */
int vm_watch_input(struct vm_watch *w, size_t n, uint64_t now_ms);
/* vm_watch_look() - say what the VM does, even if it is the same */
void vm_watch_look(struct vm_watch *w, uint64_t now_ms);
/* vm_watch_mend() - make the object anew, for the socket at @path */
void vm_watch_mend(struct vm_watch *w, const char *path, uint64_t now_ms);
/* vm_watch_due() - when to call tick; VM_NEVER */
uint64_t vm_watch_due(const struct vm_watch *w);
/* vm_watch_tick() - Return: false if nobody greets: give up */
bool vm_watch_tick(struct vm_watch *w, uint64_t now_ms);
/* vm_watch_tell() - the next message for the supervisor. Return: is there one?
 */
bool vm_watch_tell(struct vm_watch *w, struct ipc_msg *ret);

#endif /* HOST_VM_WATCH_H */
