/* SPDX-License-Identifier: MIT */
/*
 * control.h - connections of the "control" socket and the methods on them
 *
 * A connection handles one call at a time; while replies wait to be read, no
 * further call is looked at and no further reply is made (see produce), so a
 * client that does not read costs CONTROL_OUT_MAX and stops only itself.
 */
#ifndef BROKER_CONTROL_H
#define BROKER_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "broker/internal.h"
#include "varlink/varlink.h"

#define BROKER_INTERFACE  "org.vmchannel.Broker"
#define SERVICE_INTERFACE "org.varlink.service"

enum control_mode {
	CONTROL_CALLS,
	CONTROL_LISTENING,
	CONTROL_MONITORING,
	CONTROL_RELOADING,
	CONTROL_UPGRADING,
	CONTROL_RESUMING, /* waits for its stream to come here */
	CONTROL_FOLLOWING,
	CONTROL_FORWARDING, /* its call is asked of a channel of the peer */
	CONTROL_HELD,       /* its call waits until the broker is not frozen */
};

struct resume_call {
	uint8_t token[TOKEN_LEN];
	uint64_t received, sent, kept;
	bool received_end, sent_end;
	bool has_save; /* only of that Save */
	uint8_t save[TOKEN_LEN];
	uint64_t since_ms;
};

/* What the program of a stream that follows was told of it. */
struct follow_call {
	uint64_t ref, number; /* of the stream */
	bool serving;
	uint32_t fence; /* number of it; 0: none */
};

enum produced {
	PRODUCED_MORE, /* something was put out; ask again */
	PRODUCED_WAIT, /* nothing now; somebody wakes the connection */
	PRODUCED_DONE, /* that was the last */
};

struct forward;

struct control_conn {
	struct broker *b;
	struct control_conn *prev, *next;
	uv_poll_t poll;
	int fd;    /* -1: on its way out */
	int armed; /* events asked of libuv */
	bool unreserved;
	bool eof;    /* the client sends no more */
	bool oneway; /* the present call wants no reply */
	bool more;
	bool last; /* no further call is taken */
	enum control_mode mode;
	struct creds creds;
	struct varlink_buf in;
	char *out;
	size_t out_len, out_off, out_cap;
	enum produced (*produce)(struct control_conn *c);
	/* Where produce is. */
	unsigned int phase;
	uint32_t pos;
	uint64_t seq;
	struct channel *channel; /* LISTENING */
	struct resume_call resume;
	struct follow_call follow;
	unsigned int wrong_tokens;
	struct varlink_msg *held;
	struct forward *forward; /* FORWARDING */
};

/* ---- connections (control.c) ------------------------------------------ */

/* control_serve_peer() - @fd carries calls of @who at the other side;
 * consumed on success. Return: 0 or -errno. */
int control_serve_peer(struct broker *b, int fd,
		       const struct vmc_principal *who);
/* control_take_fd() - the connection becomes a stream: leave the descriptor
 * to the caller, forget the connection */
int control_take_fd(struct control_conn *c);
/* control_close() - end it; @c is gone after the present turn */
void control_close(struct control_conn *c);
/* control_put() - queue bytes; @text is consumed and may be NULL (no memory,
 * which ends the connection) */
void control_put(struct control_conn *c, char *text, size_t len);
/* control_send_now() - must go out whole and at once: the last reply before
 * an upgrade. @text is consumed. */
bool control_send_now(struct control_conn *c, char *text, size_t len);
/* control_adopt() - @fd was a connection of another process of ours; consumed.
 * Return: NULL if there is no room or memory. */
struct control_conn *control_adopt(struct broker *b, int fd);
/* control_is_idle() - between two calls: its descriptor is all there is */
bool control_is_idle(const struct control_conn *c);
/* control_flush() - Return: has all that was said left? */
bool control_flush(struct control_conn *c);
/* control_wake() - it may have something to do now */
void control_wake(struct control_conn *c);

/* ---- calls (control_call.c) -------------------------------------------- */

struct control_call {
	struct broker *b;
	struct control_conn *c;
	const struct varlink_msg *msg;
};

enum {
	METHOD_MORE = 1,    /* must be called with "more" */
	METHOD_UPGRADE = 2, /* must be called with "upgrade" */
	METHOD_OWNER = 4,   /* root and the broker's own user only */
	METHOD_PEER = 8,    /* callers at the other side, too */
	METHOD_MOVING = 16, /* changes streams: waits while frozen */
};

typedef void method_fn(struct control_call *call);

struct method {
	const char *name; /* "interface.Method" */
	unsigned int flags;
	method_fn *call;
};

/* control_hold() - the connection keeps its call until it can be made */
void control_hold(struct control_conn *c, const struct varlink_msg *msg);
/* control_dispatch() - handle one call */
void control_dispatch(struct control_conn *c, const struct varlink_msg *msg);

/* One row per parameter of a method. */
enum arg_type {
	ARG_STRING, /* const char *; borrowed from the message */
	ARG_BOOL,   /* bool */
	ARG_UINT,   /* uint64_t */
	ARG_OBJECT, /* json_t *; borrowed from the message */
};

struct arg {
	const char *name;
	enum arg_type type;
	bool optional; /* absent or null leaves *ret as it is */
	void *ret;
};

/* call_args() - check and take the parameters. Return: false when the call
 * was answered with InvalidParameter. */
bool call_args(struct control_call *call, const struct arg *args, size_t n);
/* args_take() - the same for an object within; the name that is wrong, or
 * NULL */
const char *args_take(json_t *object, const struct arg *args, size_t n);

/* Each consumes @params (NULL: none). */
void call_reply(struct control_call *call, json_t *params);
void call_continue(struct control_call *call, json_t *params);
/* @error: "Name" of org.vmchannel.Broker or a full name */
void call_error(struct control_call *call, const char *error, json_t *params);
void call_invalid(struct control_call *call, const char *parameter);
void call_refused(struct control_call *call, const char *channel,
		  const struct refusal *why);
/* conn_reply() / conn_error() - the same without a call at hand */
void conn_reply(struct control_conn *c, json_t *params, bool continues);
void conn_error(struct control_conn *c, const char *error, json_t *params);

char *control_id_reply_text(const struct broker *b, const struct stream *st,
			    size_t *ret_len);
/* control_refusal_text() - @of_call: a call was asked of the channel, so that
 * one that is not there is an interface that is not there */
char *control_refusal_text(const char *channel, const struct refusal *why,
			   bool of_call, size_t *ret_len);

/* ---- JSON of the interface's types (control_json.c) -------------------- */

json_t *json_caller(const struct vmc_principal *who);
json_t *json_stream(const struct broker *b, const struct stream_record *rec);
json_t *json_event(const struct broker *b, const struct event *ev);
const char *side_name(enum vmc_principal_kind kind);
/* may_see() - streams are shown to their own user and to the owner */
bool may_see(const struct control_conn *c, const struct stream_record *rec);

/* ---- methods by group --------------------------------------------------- */

/* control_service.c */
method_fn service_get_info, service_get_description;
/* control_info.c */
method_fn method_get_info, method_stats, method_check_policy, method_reload;
/* control_channels.c */
method_fn method_list, method_connect, method_listen, method_accept,
	method_reject;
/* control_notify_stream() - a stream waits for this listener's program */
void control_notify_stream(struct control_conn *c, const struct stream *st);
/* control_follow.c */
method_fn method_resume;
/* control_find_token() - the stream that follows and has it, if it is in one
 * of @states (1 << enum stream_state); NULL */
struct stream *control_find_token(struct broker *b, unsigned int states,
				  const uint8_t token[TOKEN_LEN]);
/* control_no_such_token() - answer so, or how it ended; count what may be a
 * guess */
void control_no_such_token(struct control_conn *c);
/* control_resume_ready() - a call of Resume that waited may go on */
void control_resume_ready(struct control_conn *c);
/* control_sweep_resumes() - Return: does any wait? */
bool control_sweep_resumes(struct broker *b, uint64_t now_ms);
/* control_watch.c */
method_fn method_follow;
/* control_life.c */
method_fn method_upgrade, method_moved;
/* control_forward.c */
/* control_forward() - ask the call of the peer's channel @interface */
void control_forward(struct control_call *call, const char *interface,
		     bool more, bool upgrade);
/* control_forward_end() - nobody waits for the reply any more; or none did */
void control_forward_end(struct control_conn *c);
/* control_streams.c */
method_fn method_stream_status, method_streams;
/* control_monitor.c */
method_fn method_monitor;

#endif /* BROKER_CONTROL_H */
