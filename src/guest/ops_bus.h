/* SPDX-License-Identifier: MIT */
/*
 * ops_bus.h - the system bus of the guest, as a back end sees it
 *
 * One connection in the loop, made when it is first wanted and again when it
 * ends. Nothing here waits. What comes is foreign: sd-bus has checked that a
 * message is well-formed and its strings UTF-8; types and bounds are for who
 * reads it (ops_text.h).
 *
 * Only broadcasts are signals here: the bus vouches for the sender of those
 * that a match lets through, but would pass on from anybody what is addressed
 * to us.
 *
 * The static agent has no libsystemd: ops_bus_none.c is there instead, and no
 * back end that calls anything but the first three.
 */
#ifndef GUEST_OPS_BUS_H
#define GUEST_OPS_BUS_H

#include <stdbool.h>

#include "guest/ops.h"

/* Calls under way at once; more than there are streams. */
#define OPS_BUS_CALLS_MAX 256
/* Messages taken per wake-up, so that the streams move, too. */
#define OPS_BUS_BURST 64
/* From one attempt to connect to the next. */
#define OPS_BUS_RETRY_MS     100u
#define OPS_BUS_RETRY_MAX_MS 30000u
/* Of a call of our own; a client's has that of its method. */
#define OPS_BUS_DEADLINE_US 10000000u

struct sd_bus_message;

/* ops_bus_possible() - does systemd run this guest, and was this built for
 * its bus? */
bool ops_bus_possible(void);
/* ops_bus_stop() - give all up; from the loop */
void ops_bus_stop(struct ops *o);
/* ops_bus_free() - after the loop has ended */
void ops_bus_free(struct ops *o);

/* Whose method, or whose signal. For a signal, path may be NULL: of any. */
struct ops_bus_name {
	const char *service, *path, *interface, *member;
};

struct ops_bus_answer {
	struct sd_bus_message *m; /* borrowed; NULL: there is none, because */
	bool given_up;            /* its op_call has ended: only free @data */
	int error;                /* or that went wrong: a negative errno, */
	const char *name;         /* D-Bus's error name, or "" */
	const char *text;         /* and its text, or "" */
};

/* Called exactly once. @call is NULL if there was none, or it has ended. */
typedef void ops_bus_done_fn(struct ops *o, struct op_call *call,
			     const struct ops_bus_answer *a, void *data);

/**
 * ops_bus_call() - call a method
 * @call:  whose cancel function the bus call takes until @fn is called; the
 *         deadline is that call's. NULL: a call of our own.
 * @fn:    may be called before this returns, if it cannot be sent
 * @types: of D-Bus, of what follows
 */
void ops_bus_call(struct ops *o, struct op_call *call,
		  const struct ops_bus_name *method, ops_bus_done_fn *fn,
		  void *data, const char *types, ...);

/* ops_bus_refuse() - end @call with the error that @a stands for */
void ops_bus_refuse(struct op_call *call, const struct ops_bus_answer *a);

/* ops_bus_done() - an ops_bus_done_fn for methods that answer nothing: an
 * empty reply, or the error */
ops_bus_done_fn ops_bus_done;

typedef void ops_bus_signal_fn(struct ops *o, struct sd_bus_message *m,
			       void *data);

/* ops_bus_watch() - @fn is called with each such signal, for as long as the
 * process lives. @signal is borrowed. Return: 0 or -ENOMEM. */
int ops_bus_watch(struct ops *o, const struct ops_bus_name *signal,
		  ops_bus_signal_fn *fn, void *data);

/* ops_bus_on_up() - @fn is called whenever there is a new connection, which
 * has forgotten what the last one knew. Return: 0 or -ENOMEM. */
typedef void ops_bus_up_fn(struct ops *o, void *data);
int ops_bus_on_up(struct ops *o, ops_bus_up_fn *fn, void *data);

/**
 * ops_bus_eavesdrop() - see what others call, by a second connection that the
 * bus makes a monitor: root may
 * @rules: of D-Bus, NULL-terminated; borrowed
 * @fn:    called with each message
 */
void ops_bus_eavesdrop(struct ops *o, const char *const *rules,
		       ops_bus_signal_fn *fn, void *data);

/* ops_bus_monitors() - has the bus made it one? Before, nothing is seen. */
bool ops_bus_monitors(const struct ops *o);

/* ops_bus_catch_up() - take what the monitor has got. The bus gives it a call
 * before the one who is called, so what that one then signals comes later. */
void ops_bus_catch_up(struct ops *o);

#endif /* GUEST_OPS_BUS_H */
