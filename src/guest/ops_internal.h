/* SPDX-License-Identifier: MIT */
/*
 * ops_internal.h - the frame of the operations process, for its own files
 *
 *	ops_main.c     start, channels, policy, signals
 *	ops_conn.c     one stream: messages in, replies out
 *	ops_call.c     one call: which row, may it, its replies
 *	ops_child.c    blocking calls, and children in general
 *	ops_events.c   the ring of events and its file
 *	ops_request.c  control operations are done once
 *	ops_offer.h    services that policy offers
 */
#ifndef GUEST_OPS_INTERNAL_H
#define GUEST_OPS_INTERNAL_H

#include <limits.h>
#include <sys/queue.h>

#include "broker/policy.h"
#include "guest/ops.h"
#include "guest/options.h"
#include "varlink/idl.h"
#include "varlink/varlink.h"

/* Streams at once. The session has 256; more wait for 30 s in the broker. */
#define OPS_CONNS_MAX 192
/* Of them, those that wait for events: they stay. */
#define OPS_SUBSCRIBERS_MAX 64
/* Blocking calls at once; one that hangs in the kernel cannot be killed. */
#define OPS_BLOCKING_MAX 32
/* Commands and transfers at once: with OPS_CONNS_MAX less than the session. */
#define OPS_COMMANDS_MAX  32
#define OPS_TRANSFERS_MAX 16
/* Replies in parts to a reader that is slow; then the stream is closed. */
#define OPS_OUT_MAX (1024u * 1024u)
/* A stream that brings no call is closed. */
#define OPS_IDLE_MS 60000u
/* Remembered control operations: docs/operations.md, "At most once". */
#define OPS_REQUESTS_MAX 256
#define OPS_REQUEST_ID   64

#define OPS_BOOT_MAX 64

struct op_conn {
	struct ops *o;
	LIST_ENTRY(op_conn) link;
	int fd;
	uv_poll_t poll;
	uv_timer_t timer; /* until a call comes; its deadline */
	unsigned int handles;
	struct varlink_buf in;
	char *out; /* [out_at, out_len) is to be written */
	size_t out_at, out_len;
	struct vmc_caller caller;
	const struct op_interface *iface; /* whose channel it is */
	struct op_call *call;             /* NULL: it waits for one */
	bool silent;                      /* the call wants no reply */
	bool busy;     /* a function further up looks at it already */
	bool broken;   /* nothing can be written any more */
	bool orphaned; /* its caller has gone, its call goes on */
	bool closing;  /* its handles are */
};

struct op_call {
	struct ops *o;
	struct op_conn *conn; /* NULL in a child */
	int pipe;             /* in a child: where replies go; else -1 */
	struct op_child *child;
	const char *interface; /* static */
	const struct op_row *row;
	const struct idl_method *method;
	json_t *parameters;
	bool more;
	bool failed; /* a part could not be sent: so will be the last */
	op_cancel_fn *on_cancel;
	void *cancel_data;
	op_pump_fn *pump;
	void *pump_data;
	char request[OPS_REQUEST_ID + 1]; /* "" if it has none */
};

struct ops_channel {
	struct ops *o;
	const struct op_interface *iface;
	struct vmc_listener *listener;
	uv_poll_t poll;
};

/* What children are counted as: what blocks, and what serves a stream. */
enum ops_child_kind {
	OPS_CHILD_BLOCKING,
	OPS_CHILD_COMMAND,
	OPS_CHILD_TRANSFER,
	OPS_CHILD_KINDS
};

struct ops {
	uv_loop_t loop;
	const struct options *opt;
	struct policy *policy;
	struct ops_channel *channels;
	size_t n_channels;
	uv_signal_t signals[4];
	LIST_HEAD(, op_conn) conns;
	unsigned int n_conns, n_subscribers;
	unsigned int n_children[OPS_CHILD_KINDS];
	bool paused; /* no new streams are taken */
	bool stopping;
	int status; /* exit status */
	struct ops_events *events;
	struct ops_requests *requests;
	struct ops_offers *offers;
	struct ops_bus *bus;     /* NULL: nobody wanted it yet */
	struct ops_bus *monitor; /* the same; ops_bus_eavesdrop() */
	LIST_HEAD(, ops_watched) watched;
};

/* ---- ops_conn.c */

/* ops_conn_new() - consumes @fd. Return: 0 or a negative errno. */
int ops_conn_new(struct ops *o, const struct op_interface *iface, int fd,
		 const struct vmc_caller *caller);
/* ops_conn_close() - cancel its call and end it; from the loop only */
void ops_conn_close(struct op_conn *c);
/* ops_conn_put() - write a message; @text is consumed, NULL breaks it */
void ops_conn_put(struct op_conn *c, char *text, size_t len);
/* ops_conn_taken() - has the other end read all that was written? Also true if
 * nothing more can be. */
bool ops_conn_taken(const struct op_conn *c);
/* ops_conn_go_on() - its call is over, or has something to say */
void ops_conn_go_on(struct op_conn *c);
/* ops_conn_deadline() - 0: none */
void ops_conn_deadline(struct op_conn *c, unsigned int ms);
/* ops_conn_release() - give the descriptor away and end the rest of it */
int ops_conn_release(struct op_conn *c, char **ret_rest, size_t *ret_len);

/* ---- ops_call.c */

/* op_call_begin() - a message came: c->call is set if it is not over at once */
void op_call_begin(struct op_conn *c, struct varlink_msg *msg);
/* op_call_cancel() - nobody waits for it any more */
void op_call_cancel(struct op_call *call);
/* op_call_timed_out() - the same, but the caller is told */
void op_call_timed_out(struct op_call *call);
/* op_call_allowed() - what policy says about it to that caller */
bool op_call_allowed(const struct ops *o, const struct vmc_caller *who,
		     const char *name, enum idl_class class,
		     struct policy_verdict *ret);

/* ---- ops_main.c */

/* ops_resume() - a stream has ended: new ones may be taken */
void ops_resume(struct ops *o);
/* ops_broker_gone() - so the agent ends, or ended: end, too */
void ops_broker_gone(struct ops *o);

/* ---- ops_child.c */

/* ops_child_run() - have the call's row run by a child */
void ops_child_run(struct op_call *call);
/* ops_child_give_up() - its call is over: kill it */
void ops_child_give_up(struct op_child *child);
/* ops_child_say() - in the child: a reply to the parent */
void ops_child_say(struct op_call *call, char *text, size_t len, bool last);
/* ops_child_upgrade() - in the child: reply, and be given the stream. @text is
 * consumed. Return: as op_upgrade(). */
int ops_child_upgrade(struct op_call *call, char *text, size_t len,
		      char **ret_rest, size_t *ret_len);
/* ops_children_reap() - SIGCHLD */
void ops_children_reap(struct ops *o);

/* ---- ops_events.c */

/* ops_events_new() - @path: of the file, which goes on where it ends. Return: 0
 * or a negative errno. */
int ops_events_new(struct ops_events **ret, const char *path);
void ops_events_free(struct ops_events *e);
/* ops_subscribe() - Subscribe of org.vmchannel.Agent */
op_fn ops_subscribe;

/* ---- ops_request.c */

/* ops_requests_new() - @path: the file that outlives this process, or NULL;
 * @boot: what it holds of another boot is thrown away. Return: 0 or a negative
 * errno. */
int ops_requests_new(struct ops_requests **ret, const char *path,
		     const char *boot);
void ops_requests_free(struct ops_requests *r);

enum ops_request_state {
	OPS_REQUEST_NEW,         /* remembered as running from now on */
	OPS_REQUEST_RUNNING,     /* it is being done */
	OPS_REQUEST_DONE,        /* @ret_text is its reply; borrowed */
	OPS_REQUEST_OTHER,       /* that id was another operation's */
	OPS_REQUEST_INTERRUPTED, /* by a process that ended before its reply */
};
/* A call that has a request; borrowed. */
struct ops_request {
	const char *id, *method;
	uid_t uid;
	const json_t *parameters;
};
enum ops_request_state ops_request_begin(struct ops_requests *r,
					 const struct ops_request *what,
					 const char **ret_text,
					 size_t *ret_len);
/* ops_request_end() - @text: copied; NULL: it was not done, forget it */
void ops_request_end(struct ops_requests *r, const char *id, const char *text,
		     size_t len);

#endif /* GUEST_OPS_INTERNAL_H */
