/* SPDX-License-Identifier: MIT */
/*
 * ops.h - what the file of an interface (op_NAME.c) works with
 *
 * An interface is a table of rows, one for each method that exists here. The
 * frame takes the calls, checks them against the interface file and the
 * policy, and keeps their deadlines; a row's function is called with
 * parameters that are what the file says, and gives one last reply, now or
 * later. docs/operations.md, "Writing an interface", has an example of each
 * kind.
 *
 * One process, one thread, one loop: a function must not wait. What can block
 * is OP_BLOCKING.
 */
#ifndef GUEST_OPS_H
#define GUEST_OPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include <vmchannel/vmchannel.h>

#define OP_COMMON "org.vmchannel."

struct ops;     /* the process */
struct op_call; /* one call, until its last reply or its cancel function */

/* Of a row. */
#define OP_BLOCKING                                                         \
	0x1u /* run() is called in a child of its own, which may block: the \
	      * same functions reply; nothing else of the process is there */
/* With OP_BLOCKING, one of them, of a method with "upgrade": op_upgrade() gives
 * the stream to that child, which is no call any more then and goes on until it
 * ends by itself. Told to end, it gets SIGTERM, not SIGKILL. */
#define OP_COMMAND  0x2u
#define OP_TRANSFER 0x4u

/* A call that is not over then is answered TimedOut. */
#define OP_DEADLINE_MS 30000u

/**
 * op_fn - do it
 * @p: the parameters: borrowed, of the types and in the ranges that the
 *     interface file says; optional ones may be absent or null
 */
typedef void op_fn(struct op_call *call, json_t *p);

/* op_missing_fn - what this guest lacks for it, in one clause; NULL: nothing */
typedef const char *op_missing_fn(struct ops *o);

struct op_row {
	const char *method; /* without the interface */
	op_fn *run;
	unsigned int flags;
	unsigned int deadline_ms; /* 0: OP_DEADLINE_MS */
	op_missing_fn *missing;   /* NULL: it works everywhere */
	/* OP_COMMAND: its child has ended, whatever became of it; or NULL */
	void (*ended)(void);
};

struct op_interface {
	const char *name;
	const struct op_row *rows;
	size_t n_rows;
	/* When the process begins and ends, to watch what becomes events; may
	 * be NULL. start: 0, or a negative errno with the reason logged: the
	 * other interfaces go on. */
	int (*start)(struct ops *o);
	void (*stop)(struct ops *o);
};

/* All of them, NULL-terminated (ops_table.c). */
extern const struct op_interface *const op_interfaces[];

/* ---- the call ------------------------------------------------------------ */

struct ops *op_ops(const struct op_call *call);
/* op_caller() - who calls, as the brokers say; NULL in a blocking child */
const struct vmc_caller *op_caller(const struct op_call *call);
/* op_more() - was it called with "more"? */
bool op_more(const struct op_call *call);

/* Each of the following that ends the call must be its last: @call is gone
 * after. Parameters are consumed; NULL (no memory for them, or json_pack()
 * failed) is answered Failed. What is not of the interface file's types is
 * logged and answered Failed, too. */

/* op_reply() - the last reply */
void op_reply(struct op_call *call, json_t *parameters);
/* op_reply_part() - one of several; only to "more" */
void op_reply_part(struct op_call *call, json_t *parameters);
/* op_reply_list() - {key: array} as the last reply; in parts if it was called
 * with "more", else TooLarge if it does not fit */
void op_reply_list(struct op_call *call, const char *key, json_t *array);

/* op_error() - @error: "NAME" of the call's interface, or "INTERFACE.NAME" */
void op_error(struct op_call *call, const char *error, json_t *parameters);
/* op_failed() - Failed; @error: an errno, positive or negative */
void op_failed(struct op_call *call, int error, const char *detail);
/* op_failed_as() - the same with the error's name in the words of whoever gave
 * it, such as D-Bus's; foreign text is cut (ops_text.h) */
void op_failed_as(struct op_call *call, const char *name, const char *detail);
/* op_invalid() - the parameter's value makes no sense here */
void op_invalid(struct op_call *call, const char *parameter);
/* op_not_supported() - @detail: what this guest lacks */
void op_not_supported(struct op_call *call, const char *detail);

/**
 * op_upgrade() - the last reply of a method with "upgrade"
 * @ret_rest: bytes that came after the call and belong to what follows: to be
 *            freed; @ret_len of them
 *
 * Return: the stream's descriptor, non-blocking, the caller's from now on, or
 * -1 (it has gone, or there is no memory): the call is over either way.
 * In a blocking child, which may go on, the same.
 */
int op_upgrade(struct op_call *call, json_t *parameters, char **ret_rest,
	       size_t *ret_len);

/* op_on_cancel() - @fn is called once if the call ends before its last reply
 * (the client closed it, or the deadline): forget @call then */
typedef void op_cancel_fn(struct op_call *call, void *data);
void op_on_cancel(struct op_call *call, op_cancel_fn *fn, void *data);

/* op_stream() - the call goes on until the client closes it, without deadline.
 * @fn is called when there is room for a reply, and after op_wake(): it gives
 * one op_reply_part() and returns true, or has nothing to say. */
typedef bool op_pump_fn(struct op_call *call, void *data);
void op_stream(struct op_call *call, op_pump_fn *fn, void *data);
void op_wake(struct op_call *call);

/* ---- the process --------------------------------------------------------- */

enum ops_back_end {
	OPS_KERNEL,  /* system calls, /proc, /sys, utmp */
	OPS_SYSTEMD, /* logind, hostnamed, timedated by D-Bus */
};

uv_loop_t *ops_loop(struct ops *o);
enum ops_back_end ops_back_end(const struct ops *o);
/* ops_boot() - the kernel's boot id */
const char *ops_boot(const struct ops *o);

/**
 * ops_emit() - an event happened: number it, keep it, tell subscribers
 * @type:       "INTERFACE.NAME", marked @event in the interface file
 * @parameters: consumed; checked against that type
 */
void ops_emit(struct ops *o, const char *type, json_t *parameters);

/* ops_emitted() - was there such an event in this boot? Also true if that many
 * came that it may be forgotten. */
bool ops_emitted(const struct ops *o, const char *type);
/* ops_delivered() - has the broker taken all that subscribers were told? */
bool ops_delivered(const struct ops *o);

/* ops_watch_child() - @fn is told when the process @pid has ended, once; it
 * has been reaped then. Return: 0 or -ENOMEM. */
typedef void ops_child_fn(struct ops *o, pid_t pid, int status, void *data);
int ops_watch_child(struct ops *o, pid_t pid, ops_child_fn *fn, void *data);

#endif /* GUEST_OPS_H */
