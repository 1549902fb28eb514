/* SPDX-License-Identifier: MIT */
/*
 * vigil.h - watch a VM until something comes about
 *
 * What lies between is watched hop by hop: the VM's broker, its link to QEMU,
 * the guest's agent, its operations, the event. The broker's monitor and the
 * guest's events tell; only a broker that is not there is looked for again and
 * again.
 */
#ifndef CLI_VIGIL_H
#define CLI_VIGIL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include <vmchannel/vmchannel.h>

struct vigil {
	const char *vm;
	struct vmc_monitor *monitor; /* NULL: no broker is there */
	bool told;                   /* its snapshot is complete */
	bool link, peer, operations; /* are there, as it says */
	struct vmc_call *events;     /* the subscription, or NULL */
	uint64_t again_us;           /* not looked for before */
};

struct vigil_goal {
	const char *what;    /* "the agent to answer", for the progress line */
	const char *lacking; /* all hops are there, and yet: "it has not ..." */
	const char *type;    /* of event that tells, or NULL: the subscription's
				being taken is enough */
	bool from_boot;      /* events of before count, too */
	/**
	 * is it reached?
	 * @reply: of Agent.Subscribe; the first one, or one with an event
	 *
	 * Return: CLI_OK: it is; VIGIL_NOT_YET; else the exit status, reported.
	 */
	int (*look)(struct vigil *v, const struct vigil_goal *g,
		    const json_t *reply);
	const char *not_boot; /* for look() */
	uint64_t deadline_us; /* 0: none */
};

#define VIGIL_NOT_YET (-1)

/**
 * vigil_begin() - from now on nothing is missed
 * @must: the broker must be there now
 *
 * Return: CLI_OK, or the exit status with the reason on stderr.
 */
int vigil_begin(struct vigil *v, const char *vm, bool must);
void vigil_done(struct vigil *v);

/* vigil_run() - until the goal is reached. Return: CLI_OK; CLI_NO if it was
 * not in time, with a line that says which hop is missing; the exit status. */
int vigil_run(struct vigil *v, const struct vigil_goal *g);

struct guest_call;

/**
 * vigil_ask() - a call made by look()
 *
 * Return: CLI_OK with @c->reply; VIGIL_NOT_YET if the guest has just gone: the
 * goal is looked at again when it is back; else the exit status, reported.
 */
int vigil_ask(struct vigil *v, const struct vigil_goal *g,
	      struct guest_call *c);

/**
 * vigil_gone() - until the VM is gone: its broker, or its link to QEMU
 * @halt: or the guest's agent, at least
 *
 * Return: as vigil_run().
 */
int vigil_gone(struct vigil *v, bool halt, uint64_t deadline_us);

/* ---- goals (goals.c): what wait and reboot wait for
 * ---------------------------- */

/* They print what they found. goal_boot: that the guest has finished booting;
 * with @not_boot: a boot other than that one. */
extern const struct vigil_goal goal_agent, goal_boot, goal_ip;

#endif /* CLI_VIGIL_H */
