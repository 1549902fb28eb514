/* SPDX-License-Identifier: MIT */
/*
 * session.h - the session engine: reliable named streams over one byte pipe
 *
 * The engine is a pure function of (state, bytes, time, entropy): it has no
 * clock, no I/O, no threads, no globals and allocates nothing after
 * vmc_session_init(). Whoever embeds it (both vmchannel brokers, a VMM, a
 * simulator) owns the pipe and calls, on every wake-up:
 *
 *	input:   vmc_session_input() -> read the pipe ->
 *vmc_session_input_done() events:  while (vmc_session_next_event()) act on it
 *	pull:    while (vmc_session_pull()) read the application that it names
 *	         -> vmc_session_pull_done()
 *	output:  while (vmc_session_output()) write the pipe
 *	         -> vmc_session_output_done()
 *	timer:   vmc_session_deadline() -> vmc_session_tick()
 *
 * Application data is taken late: a frame is built only when the pipe has
 * room for it, so that the scheduler decides with the newest knowledge and
 * everything else waits in the application's own socket.
 *
 * Times are microseconds of any monotonic clock (uint64_t). Sizes are bytes.
 * The wire format is docs/protocol.md.
 *
 * Errors: functions that can fail return 0 or a positive value on success and
 * a negative enum vmc_err otherwise; on error nothing has changed.
 */
#ifndef VMCHANNEL_SESSION_H
#define VMCHANNEL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vmchannel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmc_session;

enum vmc_err {
	VMC_ERR_INVAL = -1,     /* an argument is outside its stated range */
	VMC_ERR_HANDLE = -2,    /* the stream handle is stale or never was */
	VMC_ERR_STATE = -3,     /* not in this state of stream or session */
	VMC_ERR_LIMIT = -4,     /* a table is full; its counter was raised */
	VMC_ERR_NOT_UP = -5,    /* the session is not established */
	VMC_ERR_EXISTS = -6,    /* that name is already advertised */
	VMC_ERR_NOT_FOUND = -7, /* that name is not advertised */
	VMC_ERR_SPACE = -8,     /* the buffer is too small */
	VMC_ERR_BLOB = -9,      /* a saved state is malformed or contradicts
				   itself */
	VMC_ERR_FUTURE = -10,   /* a saved state needs a newer reader */
};

enum vmc_role {
	VMC_ROLE_HOST = 0, /* opens even stream ids; proposes session ids */
	VMC_ROLE_GUEST = 1,
};

/* Checked maxima of the run-time limits (vmc_session_config). */
#define VMC_MAX_STREAMS 1024u
#define VMC_MAX_NAMES   1024u
#define VMC_MAX_FRAME                                          \
	32768u /* header included: one guest write, one buffer \
		*/
#define VMC_MIN_FRAME    4096u
#define VMC_MAX_POOL     (16u * 1024u * 1024u)
#define VMC_MAX_WINDOW   (1024u * 1024u)
#define VMC_MAX_INFLIGHT (1024u * 1024u)

/*
 * struct vmc_session_config - limits and budgets of one end
 *
 * Fill with vmc_session_config_default(), then change what you must. The
 * simulator uses tiny values on purpose. Nothing in it is a pointer.
 */
struct vmc_session_config {
	uint32_t role;            /* enum vmc_role */
	uint32_t max_streams;     /* 1..VMC_MAX_STREAMS, both initiators */
	uint32_t max_names;       /* advertised names a side may hold */
	uint32_t max_frame;       /* header + payload, MIN..MAX_FRAME */
	uint32_t rx_pool;         /* sum of what peers may send unasked */
	uint32_t initial_window;  /* reserved for each of max_streams */
	uint32_t max_window;      /* of one stream */
	uint32_t inflight_bytes;  /* un-acked payload bytes in the pipe */
	uint32_t inflight_charge; /* un-acked socket cost, protocol.md */
	uint32_t inflight_writes; /* un-acked write units */
	uint64_t ack_delay_us;    /* longest wait of an ack for company */
	uint64_t hello_retry_us;  /* first retry of an unanswered HELLO */
	uint64_t hello_retry_max_us;
	uint64_t partial_us;    /* a torn frame is given up after this */
	uint64_t stall_us;      /* un-acked data this old: peer is STALLED */
	uint64_t grace_us;      /* a link may be away this long, then the
				   streams end; UINT64_MAX: for ever */
	uint32_t opens_per_s;   /* per owner of the peer's OPENs, burst equal */
	uint32_t control_per_s; /* peer's frames without payload progress */
	uint8_t version_min;    /* of the wire; 1 */
	uint8_t version_max;    /* of the wire; 1 */
	uint64_t features_offered;  /* bit set, protocol.md "Features" */
	uint64_t features_required; /* subset of offered */
	uint64_t instance; /* identifies this boot/run of the daemon, random */
	uint8_t grease;    /* 0 never sends unknown ignorable things */
};

/**
 * vmc_session_config_default() - the shipped limits for a role
 * @ret_cfg: filled in completely
 * @role:    VMC_ROLE_HOST: all state fits 1 MiB; VMC_ROLE_GUEST: larger
 *           receive pool, and what is in flight stays below what QEMU's
 *           socket takes so that the port is never throttled
 */
VMC_PUBLIC void vmc_session_config_default(struct vmc_session_config *ret_cfg,
					   enum vmc_role role);

/**
 * vmc_session_size() - memory one session needs
 * @cfg: borrowed
 *
 * Return: bytes, or 0 if @cfg holds a value outside its range.
 */
VMC_PUBLIC size_t vmc_session_size(const struct vmc_session_config *cfg);

/**
 * vmc_session_init() - make a session in memory of the caller
 * @ret:  the session; it lies at the start of @mem
 * @mem:  at least vmc_session_size() bytes, aligned to 64, owned by the
 *        caller, who frees it when the session is not used any more; holds
 *        no pointer into itself, so it may be mapped elsewhere later
 * @size: of @mem in bytes
 * @cfg:  copied
 *
 * Return: 0, or VMC_ERR_INVAL.
 */
VMC_PUBLIC int vmc_session_init(struct vmc_session **ret, void *mem,
				size_t size,
				const struct vmc_session_config *cfg);

/* ---- the link -------------------------------------------------------- */

#define VMC_ENTROPY_LEN 32u

/**
 * vmc_session_attach() - a byte pipe to the peer exists from now on
 * @s:       the session
 * @entropy: 32 fresh random bytes (getrandom); copied
 * @now:     microseconds
 *
 * Starts the handshake: preamble and HELLO become output. If already
 * attached, the old link is forgotten first (as vmc_session_detach()).
 */
VMC_PUBLIC void vmc_session_attach(struct vmc_session *s,
				   const uint8_t entropy[VMC_ENTROPY_LEN],
				   uint64_t now);

/**
 * vmc_session_is_greeting() - is nothing on the link but a host's preamble and
 * HELLOs, each of them whole?
 */
VMC_PUBLIC bool vmc_session_is_greeting(const struct vmc_session *s);

/**
 * vmc_session_attach_greeted() - vmc_session_attach(), on a link on which
 * another session of this end was greeting: a second preamble completes nothing
 */
VMC_PUBLIC void
vmc_session_attach_greeted(struct vmc_session *s,
			   const uint8_t entropy[VMC_ENTROPY_LEN],
			   uint64_t now);

/**
 * vmc_session_detach() - the pipe is gone (end of file, HUP, error)
 *
 * The session keeps its state for config.grace_us, so that the next attach
 * may resume it.
 */
VMC_PUBLIC void vmc_session_detach(struct vmc_session *s, uint64_t now);

/**
 * vmc_session_resync() - start a new handshake on the present link
 * @entropy: as for vmc_session_attach()
 *
 * Also what to call when VMC_EV_NEED_ENTROPY asks for it.
 */
VMC_PUBLIC void vmc_session_resync(struct vmc_session *s,
				   const uint8_t entropy[VMC_ENTROPY_LEN],
				   uint64_t now);

/**
 * vmc_session_peer_stands() - somebody says that the peer's machine is paused,
 * or moves again
 *
 * A hint that may be wrong. While it stands, config.grace_us does not run;
 * afterwards it begins anew. Another process that adopts the session starts
 * from false.
 */
VMC_PUBLIC void vmc_session_peer_stands(struct vmc_session *s, bool stands,
					uint64_t now);

/**
 * vmc_session_greet_again() - the peer may be there by now: repeat a HELLO that
 * has no answer, and soon if need be
 */
VMC_PUBLIC void vmc_session_greet_again(struct vmc_session *s);

/**
 * vmc_session_bye() - tell the peer that this end stops, in order
 * @reason: enum vmc_reason, normally VMC_REASON_SHUTDOWN
 *
 * Ends all streams with @reason. One more round of output carries it.
 */
VMC_PUBLIC void vmc_session_bye(struct vmc_session *s, unsigned int reason,
				uint64_t now);

/**
 * vmc_session_input() - where to read link bytes to
 * @ret_buf: borrowed until the next call on @s
 *
 * Return: room in bytes; 0 while events wait to be taken: the caller takes
 * them first (back-pressure), then asks again.
 */
VMC_PUBLIC size_t vmc_session_input(struct vmc_session *s, uint8_t **ret_buf);

/**
 * vmc_session_input_done() - @n bytes were put there
 *
 * Call vmc_session_next_event() until it returns false afterwards: that is
 * what parses them.
 */
VMC_PUBLIC void vmc_session_input_done(struct vmc_session *s, size_t n,
				       uint64_t now);

/**
 * vmc_session_output() - the next write unit for the link
 * @ret_buf: whole frames, at most max_frame bytes, borrowed until the next
 *           call on @s other than vmc_session_output_done()
 *
 * A unit must go to the link in one write where writes have boundaries (the
 * guest's port); a stream socket may take it in pieces.
 *
 * Return: bytes, 0 if there is nothing to write.
 */
VMC_PUBLIC size_t vmc_session_output(struct vmc_session *s,
				     const uint8_t **ret_buf, uint64_t now);

/* vmc_session_output_done() - the link took the first @n bytes of the unit */
VMC_PUBLIC void vmc_session_output_done(struct vmc_session *s, size_t n,
					uint64_t now);

/* vmc_session_deadline() - when to call tick; UINT64_MAX: never (idle) */
VMC_PUBLIC uint64_t vmc_session_deadline(const struct vmc_session *s);
VMC_PUBLIC void vmc_session_tick(struct vmc_session *s, uint64_t now);

/* ---- events ---------------------------------------------------------- */

/* (index, generation); 0 is never a stream. */
typedef uint64_t vmc_stream;

enum vmc_event_type {
	VMC_EV_NONE,
	/* session */
	VMC_EV_UP,           /* handshake done; ev.up says resumed or new */
	VMC_EV_DOWN,         /* handshake lost, link gone, or BYE; ev.reason */
	VMC_EV_STALLED,      /* peer has not acked for config.stall_us */
	VMC_EV_UNSTALLED,    /* it acks again */
	VMC_EV_NEED_ENTROPY, /* lost synchronisation: call _resync() */
	/* names that the peer advertises */
	VMC_EV_NAME_ADDED,   /* ev.name */
	VMC_EV_NAME_REMOVED, /* ev.name */
	/* streams */
	VMC_EV_OPEN,     /* peer opened: answer with _accept() or _reject() */
	VMC_EV_ACCEPTED, /* ours was accepted */
	VMC_EV_READABLE, /* bytes (or the end) came after there were none */
	VMC_EV_STOP, /* peer wants no more of our bytes; ev.reason. Treat our
			sending side as ended; nothing more is pulled */
	VMC_EV_END,  /* the stream is over; ev.reason, counts. The handle is
			invalid after this event. Undelivered bytes of a
			stream that ended in order were delivered before */
	VMC_EV_NUM
};

struct vmc_event {
	enum vmc_event_type type;
	vmc_stream stream; /* 0 for session and name events */
	uint64_t cookie;   /* of the stream, vmc_stream_set_cookie() */
	uint32_t reason;   /* enum vmc_reason */
	uint32_t flags;    /* VMC_OPEN_* for OPEN, VMC_NAME_* for names */
	bool resumed;      /* UP: streams go on; else all ended before */
	struct vmc_principal principal; /* OPEN: who asks */
	uint64_t bytes_in;              /* END: delivered to us by the peer */
	uint64_t bytes_out; /* END: taken from us and acked by the peer */
	char name[VMC_NAME_MAX + 1]; /* OPEN, NAME_*; NUL-terminated, valid */
};

/**
 * vmc_session_next_event() - take the next event
 * @ret: filled in when true is returned
 *
 * Parses input as far as needed. For VMC_EV_READABLE the newest bytes may
 * still lie in the input buffer: vmc_stream_peek()/_consume() them before the
 * next call and they are never copied; what is left is moved to the receive
 * pool then.
 */
VMC_PUBLIC bool vmc_session_next_event(struct vmc_session *s,
				       struct vmc_event *ret, uint64_t now);

/* ---- names ----------------------------------------------------------- */

/* Both survive link cuts and new sessions: the engine advertises again. */
VMC_PUBLIC int vmc_name_advertise(struct vmc_session *s, const char *name,
				  uint32_t flags);
VMC_PUBLIC int vmc_name_withdraw(struct vmc_session *s, const char *name);

#define VMC_NAME_MESSAGES 0x1u /* wants message boundaries */

/* vmc_name_valid() - is it a legal channel name? @len without a NUL. */
VMC_PUBLIC bool vmc_name_valid(const char *name, size_t len);

/* vmc_name_next() - walk the peer's names: start with *pos = 0 */
VMC_PUBLIC bool vmc_name_next(const struct vmc_session *s, uint32_t *pos,
			      const char **ret_name, uint32_t *ret_flags);

/* ---- streams --------------------------------------------------------- */

#define VMC_OPEN_MESSAGES 0x1u /* the bytes are u32-length messages */

/**
 * vmc_stream_open() - open a stream to a channel of the peer
 * @ret:    the handle
 * @name:   copied; must be valid
 * @flags:  VMC_OPEN_*
 * @who:    the local caller, as this broker saw it; copied
 * @owner:  any number; the scheduler shares the link between owners first,
 *          then between an owner's streams
 * @weight: 1..16, share relative to the owner's other streams
 *
 * Bytes may be pulled at once, up to the initial window, before the answer.
 * Answer: VMC_EV_ACCEPTED, or VMC_EV_END with the reason.
 *
 * Return: 0, VMC_ERR_INVAL, VMC_ERR_NOT_UP, VMC_ERR_LIMIT, VMC_ERR_STATE if
 * the session is frozen.
 */
VMC_PUBLIC int vmc_stream_open(struct vmc_session *s, vmc_stream *ret,
			       const char *name, uint32_t flags,
			       const struct vmc_principal *who, uint64_t owner,
			       unsigned int weight, uint64_t now);

VMC_PUBLIC int vmc_stream_accept(struct vmc_session *s, vmc_stream h,
				 uint64_t owner, unsigned int weight);
/* vmc_stream_reject() - no VMC_EV_END follows; the handle is gone */
VMC_PUBLIC int vmc_stream_reject(struct vmc_session *s, vmc_stream h,
				 unsigned int reason);

VMC_PUBLIC int vmc_stream_set_cookie(struct vmc_session *s, vmc_stream h,
				     uint64_t cookie);

/**
 * vmc_stream_peek() - bytes of the peer that wait for us
 * @ret_iov: borrowed until the next call on @s other than _consume()
 * @n_iov:   elements of @ret_iov
 *
 * Return: bytes in @ret_iov; 0 if none; VMC_ERR_HANDLE; VMC_ERR_STATE if the
 * session is frozen.
 */
VMC_PUBLIC long vmc_stream_peek(struct vmc_session *s, vmc_stream h,
				struct iovec *ret_iov, int n_iov);

/* vmc_stream_consume() - @n of them were delivered: frees pool, gives credit */
VMC_PUBLIC int vmc_stream_consume(struct vmc_session *s, vmc_stream h,
				  size_t n);

/* vmc_stream_at_end() - the peer finished and all its bytes are consumed */
VMC_PUBLIC bool vmc_stream_at_end(const struct vmc_session *s, vmc_stream h);

/* vmc_stream_ready() - the application has bytes (or its end) to be pulled */
VMC_PUBLIC int vmc_stream_ready(struct vmc_session *s, vmc_stream h);

/* vmc_stream_finish() - no more bytes from us; what was pulled still goes */
VMC_PUBLIC int vmc_stream_finish(struct vmc_session *s, vmc_stream h);

/* vmc_stream_stop() - we want no more bytes; queued ones are dropped */
VMC_PUBLIC int vmc_stream_stop(struct vmc_session *s, vmc_stream h,
			       unsigned int reason);

/* vmc_stream_reset() - end both directions now; VMC_EV_END follows */
VMC_PUBLIC int vmc_stream_reset(struct vmc_session *s, vmc_stream h,
				unsigned int reason);

struct vmc_stream_info {
	uint32_t id; /* on the wire */
	bool opened_by_peer;
	bool accepted;
	bool tx_finished, rx_finished;
	uint64_t bytes_in, bytes_out; /* consumed by us; pulled from us */
	uint32_t tx_credit;           /* bytes that we may send now */
	uint32_t rx_queued;           /* bytes that wait for us */
	uint32_t rx_window;           /* bytes the peer may have outstanding */
};
VMC_PUBLIC int vmc_stream_get_info(const struct vmc_session *s, vmc_stream h,
				   struct vmc_stream_info *ret);

/* ---- pull: who may send next ------------------------------------------ */

struct vmc_pull {
	vmc_stream stream;
	uint64_t cookie;
	uint8_t *buf; /* read the application's bytes to here */
	size_t len;   /* at most this many, never 0 */
};

/**
 * vmc_session_pull() - which application to read now
 * @ret: filled in when true is returned; @ret->buf is borrowed until
 *       vmc_session_pull_done(), which must be the next call on @s
 *
 * Only streams that vmc_stream_ready() marked, that have credit and whose
 * turn it is. False when nobody is ready or the pipe has no room.
 */
VMC_PUBLIC bool vmc_session_pull(struct vmc_session *s, struct vmc_pull *ret,
				 uint64_t now);

#define VMC_PULL_MORE   0x1u /* the application may have more: stays ready */
#define VMC_PULL_FINISH 0x2u /* end of file after these bytes */

/**
 * vmc_session_pull_done() - @n bytes (0..len) were read
 * @flags: VMC_PULL_*
 */
VMC_PUBLIC void vmc_session_pull_done(struct vmc_session *s, size_t n,
				      unsigned int flags, uint64_t now);

/* ---- continuity: to stand still, to move (docs/continuity.md) --------- */

/* What QEMU carries of a helper's state at most. */
#define VMC_STATE_MAX (1024u * 1024u)

/**
 * vmc_session_freeze() - nothing passes to or from applications any more
 *
 * No frame is parsed or built, and not even a HELLO is heard until the next
 * _attach() or _resync(); grace does not run. Events that are due can still
 * be taken; their number is bounded. What changes a stream, _peek() and
 * _open() say VMC_ERR_STATE, but _ready() and _set_cookie() work. Borrowed
 * buffers are no longer valid. May be called again: a handshake that began
 * before then does not count any more.
 *
 * Ends with _thaw(); or when a handshake that began after it reaches UP,
 * since only a peer that is still ours can answer that; or when the session is
 * given up (_bye()). READABLE is raised again for streams with bytes.
 */
VMC_PUBLIC void vmc_session_freeze(struct vmc_session *s, uint64_t now);

/**
 * vmc_session_thaw() - as if _freeze() had never been called
 *
 * Same attach, same unit half written.
 *
 * Return: 0; VMC_ERR_STATE if it is not frozen, or if _attach() or _resync()
 * came since (UP thaws then).
 */
VMC_PUBLIC int vmc_session_thaw(struct vmc_session *s, uint64_t now);

/* vmc_session_save_max() - most bytes that _save() can need with @cfg */
VMC_PUBLIC size_t vmc_session_save_max(const struct vmc_session_config *cfg);

/**
 * vmc_session_save() - sections 1 to 6 of a saved state; changes nothing
 * @buf: borrowed, @size bytes
 *
 * Return: bytes written, a multiple of 8, 0 if there is no session;
 * VMC_ERR_STATE if it is not frozen or events wait to be taken;
 * VMC_ERR_SPACE if @size is too small: nothing useful is in @buf then.
 */
VMC_PUBLIC long vmc_session_save(const struct vmc_session *s, uint8_t *buf,
				 size_t size);

/**
 * vmc_session_load() - vmc_session_init(), then the state of @blob
 * @ret, @mem, @size, @cfg: as for vmc_session_init(); config.instance becomes
 *        the saved one
 * @blob: what _save() wrote, foreign bytes, borrowed. Sections from 16 on may
 *        follow and are skipped
 * @len:  of @blob; 0: there is no session
 *
 * The session is DETACHED (grace runs from @now), not frozen, and READABLE is
 * due for streams with bytes. Handles are new (vmc_stream_next()), cookies as
 * saved. Local names that the peer knows are owed a WITHDRAW unless
 * vmc_name_advertise() names them again.
 *
 * Return: 0; VMC_ERR_INVAL as vmc_session_init(), *ret is not set then;
 * VMC_ERR_BLOB, VMC_ERR_FUTURE, VMC_ERR_LIMIT (more than @cfg has): *ret is
 * an empty session, usable at once.
 */
VMC_PUBLIC int vmc_session_load(struct vmc_session **ret, void *mem,
				size_t size,
				const struct vmc_session_config *cfg,
				const uint8_t *blob, size_t len, uint64_t now);

/**
 * vmc_session_adopt() - a block that another process left
 * @cfg: its sizes must be the block's; times and rates are taken over;
 *       config.instance becomes the block's
 *
 * Checks size, build and every invariant. The session is detached and stays
 * frozen if it was; READABLE is due for streams with bytes, _ready() is
 * forgotten.
 *
 * Return: 0; VMC_ERR_BLOB: vmc_session_init() it, *ret is not set.
 */
VMC_PUBLIC int vmc_session_adopt(struct vmc_session **ret, void *mem,
				 size_t size,
				 const struct vmc_session_config *cfg,
				 uint64_t now);

/**
 * vmc_session_explain() - why the peer's streams end should a new session begin
 * @reason: enum vmc_reason, 0: none; said from the next _attach() or
 *          _resync() on, until a session is up
 */
VMC_PUBLIC void vmc_session_explain(struct vmc_session *s, unsigned int reason);

/* vmc_stream_next() - walk living streams: start with *pos = 0; false at the
 * end */
VMC_PUBLIC bool vmc_stream_next(const struct vmc_session *s, uint32_t *pos,
				vmc_stream *ret, uint64_t *ret_cookie);

/* ---- looking in ------------------------------------------------------- */

/*
 * Counters: name in `vmchannel stats`, meaning. Each limit has one, so that
 * hitting it can be seen.
 */
#define VMC_SESSION_COUNTERS(X)                                                \
	X(frames_in, "sequenced frames accepted")                              \
	X(frames_out, "sequenced frames built")                                \
	X(bytes_in, "stream bytes accepted")                                   \
	X(bytes_out, "stream bytes taken")                                     \
	X(writes_out, "write units given to the link")                         \
	X(acks_in, "pure acks received")                                       \
	X(acks_out, "pure acks sent")                                          \
	X(pings_in, "PINGs received")                                          \
	X(retransmitted, "frames sent again after a resume")                   \
	X(attaches, "links attached")                                          \
	X(resumes, "sessions resumed")                                         \
	X(sessions, "new sessions begun")                                      \
	X(resyncs, "losses of synchronisation")                                \
	X(resync_backoff, "resyncs delayed by the rate limit")                 \
	X(bad_header, "headers that failed their check")                       \
	X(bad_payload, "payloads that failed their check")                     \
	X(bad_hello, "HELLOs that were malformed or answered nothing of ours") \
	X(hello_limited, "HELLOs not answered because of the rate limit")      \
	X(bad_sequence, "frames out of sequence")                              \
	X(bad_frame, "frames that break a rule of their type")                 \
	X(unknown_ignored, "unknown ignorable frames and TLVs")                \
	X(version_mismatch, "peers without a common version or feature")       \
	X(partial_timeout, "torn frames given up")                             \
	X(streams_opened, "streams opened by us")                              \
	X(streams_accepted, "streams of the peer accepted")                    \
	X(streams_rejected, "streams of the peer rejected")                    \
	X(streams_reset, "streams that ended with a reason other than ok")     \
	X(limit_streams, "opens refused: stream table full")                   \
	X(limit_opens, "opens refused: too many per second")                   \
	X(limit_names, "names refused: table full")                            \
	X(limit_control, "sessions ended: control frames flood")               \
	X(limit_credit, "streams reset: peer sent beyond its credit")          \
	X(limit_pings, "PINGs not answered because of the rate limit")         \
	X(stalls, "times the peer was seen stalled")

struct vmc_session_stats {
#define X(name, text) uint64_t name;
	VMC_SESSION_COUNTERS(X)
#undef X
	/* gauges */
	uint32_t state; /* enum vmc_session_state */
	uint32_t streams;
	uint32_t names_local, names_peer;
	uint32_t inflight_bytes, inflight_charge, inflight_writes;
	uint32_t pool_granted, pool_used;
	uint32_t max_frame; /* negotiated */
	uint32_t version;   /* negotiated; 0 before */
	uint64_t features;  /* negotiated */
	uint64_t peer_instance;
	uint8_t session_id[16];
	uint32_t epoch, attach_no;
	uint32_t frozen; /* 1: vmc_session_freeze() */
};

enum vmc_session_state {
	VMC_SESSION_CLOSED,   /* no link */
	VMC_SESSION_SYNC,     /* HELLO sent, waiting for the peer */
	VMC_SESSION_UP,       /* frames flow */
	VMC_SESSION_DETACHED, /* link lost, state kept for grace_us */
	VMC_SESSION_REFUSED,  /* peer said or deserved BYE; only HELLO helps */
	VMC_SESSION_STATE_NUM
};

VMC_PUBLIC void vmc_session_get_stats(const struct vmc_session *s,
				      struct vmc_session_stats *ret);

/**
 * vmc_session_check() - is every invariant of the state true?
 *
 * For simulators, fuzzers and debug builds; walks everything.
 *
 * Return: NULL, or a static string that names the broken invariant.
 */
VMC_PUBLIC const char *vmc_session_check(const struct vmc_session *s);

#ifdef __cplusplus
}
#endif

#endif /* VMCHANNEL_SESSION_H */
