/* SPDX-License-Identifier: MIT */
/*
 * internal.h - the parts of a broker and how they hold together
 *
 * Theory of operation
 *
 * One loop, one session, three tables: streams (fixed slots), local channels
 * and control connections.
 *
 * Data plane: the sockets of all streams and the link are members of one
 * inner epoll set, edge-triggered; libuv's own set is a member of it, too
 * (run.c). A wake-up marks what became readable and writable, then
 * pump_run() reads the link and delivers straight from the session's buffers,
 * lets the session say which program may be read, and writes the link. Work
 * per wake-up is bounded; what is left is done in the next turn of the loop,
 * after everybody else had theirs.
 *
 * A program that does not read keeps its bytes in its own window of the
 * session, a program whose peer does not read keeps them in its own socket.
 * The broker itself queues nothing that a peer can make grow.
 *
 * Cold path: listening sockets and control connections are plain libuv
 * handles. A connection that becomes a stream leaves libuv for the inner set.
 *
 * Order: ops.link_ended may attach the next link at once, so it is called as
 * the last thing of a wake-up. broker_*() calls and libuv's callbacks leave
 * work behind with pump_kick(), and never run the pump themselves.
 */
#ifndef BROKER_INTERNAL_H
#define BROKER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include <vmchannel/session.h>

#include "broker/broker.h"
#include "broker/listener.h"
#include "broker/msgcheck.h"
#include "broker/policy.h"
#include "broker/services.h"

/* ---- limits; each has a counter in BROKER_COUNTERS ------------------- */

/* Half-made calls on "connect"; a line takes microseconds, but a whole fleet
 * of programs may be started at one moment. Each holds some 400 bytes. */
#define CONNECT_PENDING_MAX     512
#define CONNECT_PENDING_UID_MAX 256
#define CONNECT_LINE_MAX        128 /* docs/architecture.md */
#define CONNECT_LINE_MS         10000

/* Each holds a few hundred bytes, a message at most 64 KiB while it comes. */
#define CONTROL_MAX     768
#define CONTROL_UID_MAX 256
/* Kept free for root and the broker's own user. */
#define CONTROL_RESERVED 128
/* Bytes of replies that wait for one connection; then it must read first. */
#define CONTROL_OUT_MAX (2 * 65536)
/* A reply of the peer that is passed on, in pieces: as of offered services in
 * the guest. */
#define CONTROL_REPLY_MAX (16u * 1024u * 1024u)

/* Local channels: as many names as a session holds by default; those of one
 * user other than the owner; and what is kept free for the owner. */
#define CHANNELS_MAX      256
#define CHANNELS_UID_MAX  128
#define CHANNELS_RESERVED 64
/* Streams that wait for one channel's program: as many as connect at one
 * moment. Less than the peer's share of the table (224), so that one program
 * that takes nothing leaves some for other channels. */
#define BACKLOG_MAX 208
/* A stream nobody takes is refused after this. */
#define ACCEPT_MS 30000

#define STATUS_MAX 1024 /* org.vmchannel.Broker, StreamStatus */
#define EVENTS_MAX 512  /* remembered for Monitor's "after" */

/* Work per wake-up. */
#define PUMP_BYTES_MAX  (256u * 1024u)
#define PUMP_EVENTS_MAX 64u
#define PUMP_POLL_MAX   64
/* Small frames share one write; past this a unit goes at once, so that the
 * other side works while we read on. */
#define PUMP_FLUSH 16384u

/* Lost wake-ups of virtio ports are known: look again while data waits. */
#define LINK_RETRY_MS 100
/* Our bytes were read and nothing answers for this long: let the daemon
 * connect anew, which also clears QEMU's idea of a port that it once
 * throttled. Doubled up to the second figure. */
#define STUCK_MS     1000
#define STUCK_MAX_MS 60000
/* A silent peer is asked by PING for this long before anything is done. */
#define STALLED_PING_MS 2000
/* As many reconnects without an answer: people have to look at it. */
#define REVIVES_MAX 3

/* A follower has this long from the moment its stream's VM runs here; a call
 * of Resume waits as long. */
#define FOLLOW_MS 30000
/* Calls of Resume that wait; each holds a descriptor. As many as there can be
 * streams: all come while their VM is on its way. */
#define RESUMES_MAX 256
/* Wrong tokens per connection: guessing costs a connection each. */
#define WRONG_TOKENS_MAX 3
#define DESTINATION_MAX  255 /* org.vmchannel.Broker, Moved */

#define STREAM_ID_MAX 40 /* as VMC_ID_MAX of the public header */
#define TOKEN_LEN     16
#define TOKEN_TEXT    (2 * TOKEN_LEN + 1)

#define BROKER_COUNTERS(X)                                                     \
	X(wakeups, "times the pump ran")                                       \
	X(link_reads, "reads of the link")                                     \
	X(link_writes, "writes of the link")                                   \
	X(link_bytes_in, "bytes read from the link")                           \
	X(link_bytes_out, "bytes written to the link")                         \
	X(link_retries, "looks at a link that took nothing")                   \
	X(link_stuck, "links given up because nothing answered")               \
	X(budget_spent, "wake-ups that left work for the next")                \
	X(connects, "local requests to connect")                               \
	X(connects_refused, "of these refused")                                \
	X(incoming, "streams that the peer asked for")                         \
	X(incoming_refused, "of these refused")                                \
	X(control_calls, "varlink calls")                                      \
	X(control_errors, "varlink calls answered with an error")              \
	X(control_forwarded, "of these asked of a channel of the peer")        \
	X(control_bad, "control connections closed for bad input")             \
	X(connect_bad, "connect connections closed for bad input")             \
	X(limit_connect_pending, "connect connections refused: too many")      \
	X(limit_connect_time, "connect connections that sent no line in time") \
	X(limit_files, "times no caller was let in: out of descriptors")       \
	X(limit_control, "control connections refused: too many")              \
	X(limit_control_out, "control connections closed: do not read")        \
	X(limit_reply, "control connections closed: a reply did not end")      \
	X(limit_channels, "channels refused: too many")                        \
	X(limit_backlog, "streams refused: too many wait for the program")     \
	X(limit_accept_time, "streams refused: not taken in time")             \
	X(limit_streams, "streams refused: table full")                        \
	X(limit_streams_uid, "streams refused: too many of one user")          \
	X(limit_message, "streams reset: message too long")                    \
	X(limit_resumes, "calls of Resume refused: too many wait")             \
	X(limit_follow_time, "streams reset: their program did not follow")    \
	X(wrong_tokens, "calls of Resume or Follow with a token of no stream") \
	X(resumed, "streams that their program followed here")                 \
	X(states_saved, "states written")                                      \
	X(states_loaded, "states taken over")                                  \
	X(states_refused, "states that were not taken over")                   \
	X(link_unread, "looks at a link whose other end does not read")        \
	X(link_asked, "silent peers that were asked by a handshake")           \
	X(monitor_lost, "events that monitors missed")

struct broker_counters {
#define X(name, text) uint64_t name;
	BROKER_COUNTERS(X)
#undef X
};

/* ---- who is calling --------------------------------------------------- */

struct creds {
	bool peer; /* speaks for the other side, not a local program */
	struct vmc_principal who;
	gid_t *groups; /* supplementary; NULL if none */
	size_t n_groups;
};

/* creds_get() - of the program that connected @fd. Return: 0, -errno. */
int creds_get(const struct broker *b, int fd, struct creds *ret);
void creds_done(struct creds *c);
bool creds_is_owner(const struct broker *b, const struct creds *c);
/* creds_same_user() - the same user of the same side: user 1000 of the guest
 * and user 1000 of the host share no quota */
bool creds_same_user(const struct creds *a, const struct creds *b);
/* principal_key() - the number of a user of either side, for the scheduler */
uint64_t principal_key(const struct vmc_principal *who);
/* creds_check() - ask the policy about a caller; @channel: of POLICY_CALL the
 * method */
void creds_check(const struct broker *b, const struct creds *c,
		 enum policy_op op, const char *channel,
		 struct policy_verdict *ret);
/* creds_of_peer() - a caller at the other side: its kind is fixed by where
 * it is, whatever it says */
struct creds creds_of_peer(const struct broker *b,
			   const struct vmc_principal *who);

/* ---- local channels (names.c) ----------------------------------------- */

struct control_conn;

enum channel_kind {
	CHANNEL_FREE,
	CHANNEL_LISTENER, /* a program's Listen call */
	CHANNEL_SERVICE,  /* services.d */
	CHANNEL_BUILTIN,  /* org.varlink.service: the broker itself */
};

struct channel {
	enum channel_kind kind;
	bool messages;
	bool keep;   /* mark while services are replaced */
	bool kept;   /* LISTENER: ops.keep took a copy of its connection */
	bool unsent; /* LISTENER: a message to it is not out, or half */
	uint64_t since_ms;
	uid_t uid; /* who announced it */
	unsigned int waiting;
	unsigned int running; /* SERVICE: started and not ended */
	struct control_conn *conn;
	char name[VMC_NAME_MAX + 1];
};

#define CHANNEL_BUILTIN_NAME "org.varlink.service"

struct channel *channel_find(struct broker *b, const char *name);
/**
 * channel_add() - announce a name
 *
 * Return: 0, -EEXIST (in use), -EDQUOT (too many of this user), -ENOSPC (too
 * many at all); the limits were counted.
 */
int channel_add(struct broker *b, struct channel **ret, enum channel_kind kind,
		const char *name, bool messages, uid_t uid);
/* channel_remove() - withdraw it; what waits for it is refused */
void channel_remove(struct broker *b, struct channel *ch);
/* channels_set_services() - announce and withdraw after a (re)load */
void channels_set_services(struct broker *b);

/* ---- streams (stream.c) ----------------------------------------------- */

enum stream_state {
	STREAM_FREE,
	STREAM_OPENING,  /* ours; the peer has not answered */
	STREAM_WAITING,  /* the peer's; no program has it yet */
	STREAM_STARTING, /* the peer's; the daemon starts the service */
	STREAM_OPEN,
	STREAM_AWAITED, /* came with its VM; its program has not followed */
	STREAM_STATE_NUM
};

/* How the local program is told the answer to its connect. */
enum stream_answer {
	STREAM_ANSWER_LINE,    /* "OK id" / "ERR word text" */
	STREAM_ANSWER_VARLINK, /* a reply of Connect */
	STREAM_ANSWER_CALL,    /* nothing, or an error reply: a varlink call
				  was the stream's first bytes */
};

struct stream {
	enum stream_state state;
	enum stream_answer answer;
	bool messages;
	bool outgoing;
	bool writable;   /* the socket took all so far */
	bool wants_room; /* an event is to say when it takes more */
	bool starved;    /* the kernel had no memory; the sweep tries again */
	bool drain;      /* read until nothing comes: its writer is done (no
			    edge will tell), or urgent bytes cut reads short */
	bool tx_done;    /* no more bytes of the program go to the peer */
	bool rx_done;    /* the program was told that the peer finished */
	bool follow;     /* its program comes along when the VM moves */
	bool tx_stopped; /* the peer wants no more of them */
	bool answered; /* it was sent something since its last bytes (guest) */
	bool brief;    /* its last bytes were few */
	uint16_t left; /* bytes that were read and still lie in its socket */
	uint16_t cut;  /* why bytes of an orderly stream got lost; 0: none */
	uint32_t gen;  /* of this slot: makes stale references visible */
	uint32_t held; /* events of its descriptor while frozen */
	bool kept;     /* ops.keep took a copy of its descriptor */
	bool lost;     /* adopted, but bytes of it were in the dead process */
	int fd;
	vmc_stream h;
	uint64_t number;    /* of its id */
	uint64_t delivered; /* bytes that the program took */
	uint64_t since_ms;
	struct vmc_principal caller; /* who opened it */
	uid_t local_uid;             /* whose program has it on this side */
	uint64_t owner;              /* for the scheduler */
	unsigned int weight;
	struct channel *channel; /* local one it waits for or runs on */
	struct msgcheck check;
	char *early; /* came with the call, belongs to the stream */
	size_t early_len, early_off;
	uint8_t token[TOKEN_LEN];
	char name[VMC_NAME_MAX + 1];
};

/* A stream as monitors and StreamStatus see it. */
struct stream_record {
	uint64_t number;
	uint64_t bytes_in, bytes_out;
	struct vmc_principal caller;
	uid_t local_uid;
	uint16_t reason;
	uint8_t state; /* 0 opening, 1 open, 2 ended */
	bool outgoing;
	bool follow; /* whoever has the token may ask */
	uint8_t token[TOKEN_LEN];
	char channel[VMC_NAME_MAX + 1];
};

enum {
	RECORD_OPENING,
	RECORD_OPEN,
	RECORD_ENDED
};

int streams_init(struct broker *b);
void streams_done(struct broker *b);
struct stream *stream_new(struct broker *b, enum stream_state state);
/* stream_drop() - free the slot; closes the descriptor */
void stream_drop(struct broker *b, struct stream *st);
/* stream_ref() / stream_get() - a number for cookies and requests, and back;
 * NULL if the stream is gone */
uint64_t stream_ref(const struct broker *b, const struct stream *st);
struct stream *stream_get(struct broker *b, uint64_t ref);
void stream_id_text(const struct broker *b, uint64_t number,
		    char ret[STREAM_ID_MAX]);
/* stream_number() - of an id of this broker process; 0 if it is not one */
uint64_t stream_number(const struct broker *b, const char *id);
void stream_record(const struct broker *b, const struct stream *st,
		   struct stream_record *ret);

/* stream_join_channel() - of a stream that came from another process */
void stream_join_channel(struct broker *b, struct stream *st);
/* stream_watch() - make its descriptor a member of the inner set */
int stream_watch(struct broker *b, struct stream *st);
/* stream_events() - epoll said @events */
void stream_events(struct broker *b, struct stream *st, uint32_t events);
/* stream_deliver() - what waits for the program, as far as it takes it */
void stream_deliver(struct broker *b, struct stream *st);
/* stream_read() - bytes of the program for the session */
size_t stream_read(struct stream *st, uint8_t *buf, size_t len,
		   unsigned int *ret_flags);
/* stream_receive() - recv() of at most @len bytes (stream_in.c). @ret_more:
 * there may be more, and no edge will tell */
ssize_t stream_receive(struct stream *st, uint8_t *buf, size_t len,
		       bool *ret_more);
/* stream_take_left() - what was read leaves the socket. Return: all of it? */
bool stream_take_left(struct stream *st);
/* stream_stopped() - the peer wants no more of the program's bytes */
void stream_stopped(struct stream *st, unsigned int reason);
/* stream_opened() - both programs are there: tell monitors, move bytes */
void stream_opened(struct broker *b, struct stream *st);
/* stream_ended() - the session says that it is over */
void stream_ended(struct broker *b, struct stream *st, unsigned int reason,
		  uint64_t bytes_in, uint64_t bytes_out);
/* stream_reset() - we end it; the session's END event does the rest */
void stream_reset(struct broker *b, struct stream *st, unsigned int reason);
/* stream_keep_early() - bytes that came with the call; copied. Return: false
 * if there is no memory. */
bool stream_keep_early(struct stream *st, const char *bytes, size_t len);
/* streams_sweep() - refuse those that wait too long, deliver to those that
 * were starved. Return: any left? */
bool streams_sweep(struct broker *b, uint64_t now_ms);
/* streams_from_uid() - that local programs of @uid opened; what the peer opens
 * to a listener of theirs is not their doing */
unsigned int streams_from_uid(const struct broker *b, uid_t uid);

/* ---- opening, both ways ----------------------------------------------- */

/* Why a local request was not granted. */
struct refusal {
	unsigned int reason; /* enum vmc_reason */
	const char *limit;   /* LIMIT: which */
	uint64_t value;
	char rule[POLICY_RULE_ID_MAX]; /* DENIED: which; "" otherwise */
};

struct outgoing {
	const char *channel;
	bool messages;
	bool follow;
	enum stream_answer answer;
	int fd;            /* consumed on success */
	const char *early; /* copied */
	size_t early_len;
};

/* outgoing_open() - a local program wants a channel of the peer.
 * Return: true; false: @ret says why, nothing has changed. */
bool outgoing_open(struct broker *b, const struct outgoing *o,
		   const struct creds *c, struct refusal *ret);
/* outgoing_answered() - the peer accepted */
void outgoing_answered(struct broker *b, struct stream *st);
/* outgoing_refused() - it did not: tell the program */
void outgoing_refused(struct broker *b, struct stream *st, unsigned int reason);

/* incoming_open() - VMC_EV_OPEN */
void incoming_open(struct broker *b, const struct vmc_event *ev);
/* incoming_take() - a program (of @uid) has come for a stream that waits or
 * starts; @fd is consumed always */
void incoming_take(struct broker *b, struct stream *st, int fd, uid_t uid);
void incoming_refuse(struct broker *b, struct stream *st, unsigned int reason);
/* incoming_by_token() - the stream that waits under @token, or NULL */
struct stream *incoming_by_token(struct broker *b, const char *token);
/* incoming_forget_channel() - it is withdrawn: refuse what waits for it */
void incoming_forget_channel(struct broker *b, struct channel *ch);
/* incoming_start_services() - start what waited for a running one to end */
void incoming_start_services(struct broker *b);
void token_text(const uint8_t token[TOKEN_LEN], char ret[TOKEN_TEXT]);

/* ---- what outlives the process (arena.c) ------------------------------ */

/* Calls are shorter, and not worth a message. */
#define KEEP_MS 1000u
/* In the numbers of ops.keep: not a stream, but a row of the channels. */
#define KEEP_LISTEN (UINT64_C(1) << 63)

/* arena_init() - memory of session, streams, channels and records; the session
 * is made, or what was left is adopted. session_cfg and n_slots are set. */
int arena_init(struct broker *b, const struct broker_config *cfg);
void arena_done(struct broker *b);
/* arena_note() - the turn ends: a successor can go on from here */
void arena_note(struct broker *b);
/* arena_note_texts() - they have changed */
void arena_note_texts(struct broker *b);
/* keep_sweep() - give copies away. Return: is anything too young? */
bool keep_sweep(struct broker *b, uint64_t now_ms);
/* keep_need() - something has begun that may have to be kept */
void keep_need(struct broker *b);
/* keep_stream_end(), keep_listener_end() - before their descriptor is closed;
 * the copy must not keep it alive */
void keep_stream_end(struct broker *b, struct stream *st);
void keep_listener_end(struct broker *b, struct channel *ch);

/* ---- the ended ones (status.c) ---------------------------------------- */

/* In the arena, all of it: how a stream ended must outlive us, too. */
struct status_ring {
	size_t next, n; /* the place of the next one; places that were used */
	struct stream_record records[STATUS_MAX]; /* number 0: none */
};

/* status_add() - whoever looks after a death within finds all of the record
 * or nothing */
void status_add(struct status_ring *r, const struct stream_record *rec);
/* status_newest() - @n places before the newest one; NULL: none is there.
 * @n: below r->n */
const struct stream_record *status_newest(const struct status_ring *r,
					  size_t n);
const struct stream_record *status_find(const struct status_ring *r,
					uint64_t number);
/* status_count() - those that are there */
size_t status_count(const struct status_ring *r);
/* status_find_token() - of a stream that its program could follow */
const struct stream_record *status_find_token(const struct status_ring *r,
					      const uint8_t token[TOKEN_LEN]);

/* ---- events (events.c) ------------------------------------------------- */

#define EVENT_TYPES(X)                        \
	X(SNAPSHOT_END, "snapshot-end")       \
	X(LINK_UP, "link-up")                 \
	X(LINK_DOWN, "link-down")             \
	X(PORT_ADDED, "port-added")           \
	X(PORT_REMOVED, "port-removed")       \
	X(PEER_UP, "peer-up")                 \
	X(PEER_DOWN, "peer-down")             \
	X(PEER_STALLED, "peer-stalled")       \
	X(PEER_UNSTALLED, "peer-unstalled")   \
	X(CHANNEL_ADDED, "channel-added")     \
	X(CHANNEL_REMOVED, "channel-removed") \
	X(STREAM_OPENED, "stream-opened")     \
	X(STREAM_CLOSED, "stream-closed")     \
	X(POLICY_RELOADED, "policy-reloaded") \
	X(LOST, "lost")

enum event_type {
#define X(id, name) EVENT_##id,
	EVENT_TYPES(X)
#undef X
	EVENT_TYPE_NUM
};

struct event {
	enum event_type type;
	bool peer_side; /* CHANNEL_*: the channel is the peer's */
	bool messages;  /* CHANNEL_ADDED */
	bool resumed;   /* PEER_UP */
	uint16_t reason;
	uint64_t seq, time_us, lost;
	struct stream_record stream; /* STREAM_*; .channel also CHANNEL_*,
					and the port of PORT_* */
};

struct event_ring {
	struct event *events;
	uint64_t last_seq;  /* 0: none yet */
	uint64_t first_seq; /* those before are another process's */
};

int events_init(struct event_ring *r);
void events_done(struct event_ring *r);
/* events_add() - numbers @ev; @time_us is CLOCK_REALTIME */
void events_add(struct event_ring *r, const struct event *ev, uint64_t time_us);
/**
 * events_next() - the event after @seq
 * @ret_lost: how many after @seq are forgotten
 *
 * Return: the oldest remembered one after @seq, or NULL.
 */
const struct event *events_next(const struct event_ring *r, uint64_t seq,
				uint64_t *ret_lost);
const char *event_type_name(enum event_type type);
/* event_type_find() - EVENT_TYPE_NUM if there is no such type */
enum event_type event_type_find(const char *name);

/* broker_emit() - number it, wake the monitors */
void broker_emit(struct broker *b, const struct event *ev);
void broker_emit_channel(struct broker *b, enum event_type type,
			 const char *name, bool peer_side, bool messages);

/* ---- link (link.c) ----------------------------------------------------- */

enum watchdog_wait {
	WATCHDOG_OFF,
	WATCHDOG_ANSWER,  /* of a handshake */
	WATCHDOG_STALLED, /* up, but silent */
};

struct watchdog {
	uv_timer_t timer;
	enum watchdog_wait wait;
	uint64_t unread_ms; /* to the next look while bytes lie unread */
	uint64_t stuck_ms;  /* patience with one that reads; grows */
	uint64_t read_at;   /* it has read everything since, us; 0: not */
	unsigned int revives;
};

struct link {
	int fd; /* -1: none */
	enum broker_link_kind kind;
	bool readable, writable; /* as far as we know: edge-triggered */
	bool hup;                /* the other end closed: read until 0 */
	bool ended;              /* to be told to the daemon: */
	int ended_fd;
	enum broker_link_end why;
	int error;
	uint64_t retry_at_us; /* when a port is written again; 0: it takes */
	struct watchdog watch;
};

/* link_read() - one read into the session. Return: false if nothing came. */
bool link_read(struct broker *b, uint64_t now_us);
/* link_events() - epoll said @events */
void link_events(struct broker *b, uint32_t events);
/* link_flush() - write what the session has. Return: false if it must wait. */
bool link_flush(struct broker *b, uint64_t now_us);
/* link_set_writable() - there is room, or there was not enough */
void link_set_writable(struct broker *b, bool writable);
void link_end(struct broker *b, enum broker_link_end why, int error);
/* link_report() - tell the daemon, if the link has ended */
void link_report(struct broker *b);
/* link_greet() - a handshake on the link that is there; @greeted: there is
 * nothing on it but what a session before this one greeted with */
void link_greet(struct broker *b, bool greeted, uint64_t now_us);

/* ---- watchdog of the link (watchdog.c), host side only ------------------ */

int watchdog_init(struct broker *b);
void watchdog_close(struct broker *b);
/* watchdog_answer() - a handshake has begun: an answer is due */
void watchdog_answer(struct broker *b);
/* watchdog_stalled() - the peer is silent while it owes an answer */
void watchdog_stalled(struct broker *b);
/* watchdog_calm() - nothing is due: it answered, or there is no link */
void watchdog_calm(struct broker *b);
/* watchdog_proved() - a handshake was completed: forget earlier trouble */
void watchdog_proved(struct broker *b);
/* watchdog_look() - the time has come. Return: ms to the next look, 0: none */
uint64_t watchdog_look(struct broker *b, uint64_t now_us);
/* watchdog_unread() - does something of ours wait to be read by QEMU? */
bool watchdog_unread(const struct broker *b);
/* watchdog_hurry() - what is waited for may come now: look soon */
void watchdog_hurry(struct broker *b);
/* watchdog_resume() - the VM does not stand still any more, as far as known */
void watchdog_resume(struct broker *b);
/* watchdog_detail() - a port that reconnects did not revive; NULL: none */
const char *watchdog_detail(const struct broker *b);

/* ---- pump (pump.c) ----------------------------------------------------- */

int pump_init(struct broker *b);
void pump_close(struct broker *b);
/* pump_run() - move everything that can move */
void pump_run(struct broker *b, uint64_t now_us);
/* pump_deadline() - the time of deadline_us has come */
void pump_deadline(struct broker *b, uint64_t now_us);
/* pump_kick() - there is work for the next turn of the loop */
void pump_kick(struct broker *b);
/* pump_watch() - add to the inner set; 0 or -errno */
int pump_watch(struct broker *b, int fd, uint64_t ref);
void pump_unwatch(struct broker *b, int fd);
/* pump_watch_room() - a write was cut short: tell when there is room again;
 * or not any more */
void pump_watch_room(struct broker *b, int fd, uint64_t ref, bool blocked);
/* broker_sweep_need() - something has a deadline: look once a second */
void broker_sweep_need(struct broker *b);
uint64_t broker_now_us(void);
/* broker_handle_closed() - uv_close() callback of handles within the broker */
void broker_handle_closed(uv_handle_t *h);
void broker_unref(struct broker *b);

#define REF_LINK  UINT64_MAX
#define REF_LOOP  (UINT64_MAX - 1)
#define REF_TIMER (UINT64_MAX - 2)

/* ---- standing still, moving (frozen.c, moved.c, follow.c) ---------------- */

/* unfreeze() - the session moves again: so does all that waited */
void unfreeze(struct broker *b);
/* session_renew() - an empty session in place of the present one, which knows
 * our names; the guest is told @explain */
void session_renew(struct broker *b, unsigned int explain);
/* follow_up() - a handshake was completed: followers may come now */
void follow_up(struct broker *b, uint64_t now_us);
/* follow_fence() - a state has left: followers may look for their VM */
void follow_fence(struct broker *b, const uint8_t save_id[TOKEN_LEN]);
/* follow_sweep() - Return: does any wait? */
bool follow_sweep(struct broker *b, uint64_t now_ms);
/* stream_make_token() - the right to take it up elsewhere */
void stream_make_token(struct stream *st);
/* token_parse() - false: not the form of a token */
bool token_parse(const char *text, uint8_t ret[TOKEN_LEN]);
/* token_equal() - takes the same time whatever differs */
bool token_equal(const uint8_t a[TOKEN_LEN], const uint8_t b[TOKEN_LEN]);
/* streams_rebuild_free() - after slots were taken by number */
void streams_rebuild_free(struct broker *b);
/* channels_advertise() - to a session that is new */
void channels_advertise(struct broker *b);

/* session_event() - act on one event of the session */
void session_event(struct broker *b, const struct vmc_event *ev,
		   uint64_t now_us);
/* session_tell() - log what was put off */
void session_tell(struct broker *b, uint64_t now_us);
void broker_resync(struct broker *b, uint64_t now_us);

/* ---- local sockets ----------------------------------------------------- */

struct connect_server {
	struct listener listener;
	struct pending_connect *list;
	unsigned int n;
};

int connect_server_init(struct broker *b, int fd);
void connect_server_close(struct broker *b);
/* connect_server_release() - go on with the lines that came while frozen */
void connect_server_release(struct broker *b);
/* connect_server_adopt() - @fd, consumed, was a caller of another process */
void connect_server_adopt(struct broker *b, int fd);
/* connect_server_give() - walk those without a line; *pos = 0 first. -1: end */
int connect_server_give(const struct broker *b, uint32_t *pos);
/* connect_server_sweep() - end those that took too long. Return: are there
 * any left? */
bool connect_server_sweep(struct broker *b, uint64_t now_ms);

struct control_server {
	struct listener listener;
	struct control_conn *list;
	struct forward *alone; /* calls without a reply and without a client */
	unsigned int n, n_unreserved;
};

int control_server_init(struct broker *b, int fd);
void control_server_close(struct broker *b);
/* control_sweep_alone() - end calls that nobody waits for, at last. @now_ms: 0:
 * none, UINT64_MAX: all of them. Return: are there any left? */
bool control_sweep_alone(struct broker *b, uint64_t now_ms);
/* control_wake_all() - replies and events wait for connections */
void control_wake_all(struct broker *b);

/* ---- all of it ---------------------------------------------------------- */

struct broker {
	uv_loop_t *loop;
	struct vmc_session *session;
	void *session_mem;
	void *arena;
	size_t arena_size; /* 0: not ours */
	bool adopted;      /* and not all descriptors are here */
	uint64_t *turn;    /* NULL: nobody asks */
	const struct broker_ops *ops;
	void *data;
	enum vmc_role role;
	enum vmc_principal_kind side, peer_side;
	uid_t owner;
	bool stopping;
	bool up, stalled; /* the peer's broker answers; is silent */
	uint32_t max_streams;
	uint64_t instance;
	char instance_text[17]; /* of this process, for monitors */
	char id_text[17];       /* in ids of streams; comes along in a move */
	char *vm, *uuid;
	const char *life, *vmstate, *qmp;
	bool vm_stands; /* as QMP says; a hint */
	bool frozen;
	bool expecting; /* a state may yet be loaded */
	/* Frozen because a state has left, which may be taken up elsewhere;
	 * counted from 1, 0: no. */
	uint32_t fence, last_fence;
	uint8_t saved_id[TOKEN_LEN];  /* of that state */
	uint8_t loaded_id[TOKEN_LEN]; /* of the one that came here */
	uint64_t moved_at_ms;
	char destination[DESTINATION_MAX + 1];
	struct vmc_session_config session_cfg;
	size_t session_size;
	char detail[128];

	struct policy *policy;
	struct services services;
	struct link link;

	/* pump */
	int inner;    /* epoll set of streams, link and libuv's own set */
	bool again;   /* work is left: do not sleep */
	bool touched; /* libuv has news for the kernel */
	bool quit;
	int timer; /* timerfd, member of the inner set */
	uint64_t
		timer_at_us; /* it rings then; 0: it has; UINT64_MAX: not set */
	uint64_t
		deadline_us; /* of the session and the link; UINT64_MAX: none */
	bool flush_first;    /* what was kept goes before anything new */
	struct {
		bool down, up, resumed;
		unsigned int reason;
		uint64_t at_us; /* then */
	} tell;                 /* lines that are still to be logged */
	uv_timer_t sweep;
	bool sweeping;
	bool services_wait;     /* a service may be startable */
	unsigned int n_handles; /* libuv handles not closed yet */

	struct stream *streams;
	uint32_t n_slots, n_streams;
	uint32_t *free_slots;
	uint32_t n_free;
	uint64_t last_number;

	struct channel *channels;
	uint32_t n_channels; /* slots in use, from the front */

	struct status_ring *status;
	struct event_ring events;
	struct connect_server connect;
	struct control_server control;
	bool control_again; /* connections have something to do */
	bool reloading;     /* callers of Reload wait for broker_reloaded() */
	struct broker_counters count;
};

#endif /* BROKER_INTERNAL_H */
