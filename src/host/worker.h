/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the half of vmchanneld that talks to the guest
 *
 * worker.c: from start to end, and what the supervisor says
 * worker_life.c: who owns the session (life.h), done; the bus process
 * worker_vm.c: what QMP says of the VM
 * worker_hold.c: handing over to a successor, and taking over
 */
#ifndef HOST_WORKER_H
#define HOST_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "broker/broker.h"
#include "broker/state.h"
#include "host/arena.h"
#include "host/ipc.h"
#include "host/life.h"
#include "host/options.h"

/* A state that nobody claims ends with its streams, at the latest: grace of
 * docs/continuity.md, for a QEMU that is neither resumed nor ended. */
#define FENCED_MS 300000u
/* Only a person takes a VM back that QEMU has given away; if so, soon. */
#define AWAY_MS 1000u

struct worker {
	uv_loop_t loop;
	uv_poll_t pair;
	struct broker *broker;
	struct arena arena;
	uint8_t *state; /* STATE_MAX, shared with our predecessor */
	int link_fd;    /* -1: none */
	bool configured;
	bool adopt;   /* nothing is served before the supervisor says so */
	bool may_run; /* it has */
	bool stopping;
	bool at_once; /* without a word: another worker has taken over */
	int status;
	unsigned int starting; /* services that were asked for */

	/* worker_life.c */
	enum life life;
	bool has_session; /* a state was loaded, or a handshake made */
	uv_timer_t fence;
	enum ipc_vm vm; /* worker_vm.c: what QMP says, since the last Save */
	int bus;        /* pair to the bus process; -1: none */
	uv_poll_t *bus_poll;          /* NULL: not watched */
	uint8_t *bus_mem;             /* BUS_STATE_SIZE; NULL: none yet */
	uint8_t bus_id[STATE_ID_LEN]; /* of what is being answered */
	uint32_t bus_version;
	uint64_t asked_us;        /* since when QEMU waits for the answer */
	unsigned int bus_refused; /* memory that was not taken */
	uint32_t bus_size;        /* of the state to be loaded */
	bool claiming;        /* the supervisor is asked whether it is new */
	unsigned int explain; /* why there is no state: enum vmc_reason */

	/* worker_hold.c */
	bool hold; /* wanted, or already so */
	struct state_fd *given;
	size_t n_given;
};

/* worker_run() - Return: the status to exit with */
int worker_run(const struct options *opt);

/* ---- for its parts ------------------------------------------------------- */

/* worker_say() - to the supervisor; @fd stays the caller's */
void worker_say(struct worker *w, const struct ipc_msg *m, int fd);
/* worker_fail() - end with EXIT_RUN */
void worker_fail(struct worker *w, const char *what, int r);
/* worker_hear() - one message of the supervisor. Return: false if there is
 * nothing more to be read now. */
bool worker_hear(struct worker *w);
/* worker_wait() - and wait for it up to @ms (-1: for ever) */
void worker_wait(struct worker *w, int ms);

/* worker_happened() - an event of life.h, with all that follows from it */
void worker_happened(struct worker *w, enum life_event ev);
/* worker_set_life() */
void worker_set_life(struct worker *w, enum life l);
int worker_life_init(struct worker *w);
void worker_life_close(struct worker *w);
/* worker_peer_up(), worker_moved() - ops of the broker */
void worker_peer_up(void *data, bool resumed);
/* worker_on_claimed() - may the state be loaded that the bus brought? */
void worker_on_claimed(struct worker *w, const struct ipc_msg *m, int fd);
/* worker_on_vmstate() - what is true while there is no bus process */
void worker_on_vmstate(struct worker *w, const struct ipc_msg *m, int fd);
/* worker_on_vm() - a hint of QMP's */
void worker_on_vm(struct worker *w, const struct ipc_msg *m, int fd);
/* worker_fence() - a state has left: nothing is known of the VM any more */
void worker_fence(struct worker *w);
/* worker_on_bus() - @fd is our end of a new pair; consumed */
void worker_on_bus(struct worker *w, const struct ipc_msg *m, int fd);

/* worker_hold() - hand everything over; returns when it came to nothing, or
 * with stopping set */
void worker_hold(struct worker *w);
/* worker_on_give(), worker_on_adopt() - what a predecessor hands over */
void worker_on_give(struct worker *w, const struct ipc_msg *m, int fd);
void worker_on_adopt(struct worker *w, const struct ipc_msg *m, int fd);
/* worker_take_left() - what one that died has left; when all was given */
void worker_take_left(struct worker *w);

#endif /* HOST_WORKER_H */
