/* SPDX-License-Identifier: MIT */
/*
 * internal.h - the state of a session, for the files of this folder only
 *
 * Theory of operation
 *
 * One block of memory, laid out by layout.c: struct vmc_session, then arrays
 * at offsets that it holds. Nothing points into the block, so it may be
 * mapped elsewhere later; nothing is allocated after init.
 *
 * Sending. Sequenced frames are built in place in the tx ring (tx.c): data by
 * vmc_session_pull() straight from the application, everything else from
 * "want" bits of the slots (control.c), so that nothing waits in a queue of
 * frames and what is sent is the newest truth. A frame stays in the ring
 * until it is acked; after a cut the rest is sent again, stamped anew. Frames
 * are grouped into write units. Unsequenced frames (handshake, ACK, PING...)
 * are built in the stage (stage.c) at the moment of writing and never kept.
 *
 * Receiving. rx.c parses in place in the input buffer and calls the handler
 * of frames.def; bytes of a stream stay there as long as the event that tells
 * of them is current (the "borrow") and go to the pool only if nobody took
 * them.
 *
 * Events. Bits on slots and flags on the session; next_event() turns them
 * into struct vmc_event and parses on only when there are none left.
 */
#ifndef SESSION_INTERNAL_H
#define SESSION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmchannel/session.h>

#include "base/bucket.h"
#include "base/list.h"
#include "session/sched.h"
#include "session/wire.h"

#define NEVER UINT64_MAX
#define NIL   0xffffu

/* ---- limits without a config field, and their reasons ------------------ */

/* Frames of control built per pull or output: bounds the work of one call. */
#define CONTROL_ROUND 64u
/* Charge and writes that data leaves to control, so that data never starves
 * CREDIT: two units of small frames. */
#define CONTROL_CHARGE 4096u
#define CONTROL_WRITES 8u
#define CONTROL_FRAMES 16u
/* A fresh stream may go this far beyond the cap on in-flight bytes, so that
 * it does not wait for a bulk frame's ack. The cap on charge holds anyway. */
#define FRESH_BYTES 4096u
/* A coalesced unit is filled up if at least this much of a frame fits. */
#define FILL_MIN 8192u
/* Socket cost of a unit: fixed part, and overhead of the data area. */
#define CHARGE_FIXED 768u
#define CHARGE_SMALL 352u
#define CHARGE_PAGE  4096u
/* Unsequenced units that may be unread by the peer, at most; fewer if the caps
 * are small (stage.c), but never fewer than this. */
/* tx_charge() of the largest staged unit but the preamble. */
#define STAGE_CHARGE 1792u
#define STAGE_UNIT   672u
#define STAGE_MAX    32u
#define STAGE_MIN    2u
/* Beyond the maximum: a PING and a PONG, or two that ask would both wait. */
#define STAGE_EXTRA 2u
/* HELLOs may be lost, so a retry never quite ends; but where a pipe may be
 * full, each costs room: from here, doubling to an hour. */
#define HELLO_WARY UINT64_C(1000000)
#define HELLO_SLOW UINT64_C(3600000000)
/* Answers to HELLO: anybody's payload may look like one after a cut. */
#define HELLO_ANSWERS_PER_S 1u
#define HELLO_ANSWERS_BURST 5u
/* Answers to PING. */
/* A PING beyond the rate is answered later, and only the newest: never to
 * answer could block a peer that asks what was read (stage.c). */
#define PONG_PER_S 10000u
#define PONG_BURST 1000u
#define PONG_LATER UINT64_C(100)
/* Between PINGs to a stalled peer, doubling: it may be paused for long. */
#define PING_GAP     UINT64_C(10000000)
#define PING_GAP_MAX UINT64_C(3600000000)
/* Losses of synchronisation: this many at once, then back-off. */
#define RESYNC_BURST       10u
#define RESYNC_PER_S       1u
#define RESYNC_BACKOFF     UINT64_C(1000000)
#define RESYNC_BACKOFF_MAX UINT64_C(30000000)
/* Unacked sequenced frames of the peer after which an ACK goes at once. */
#define ACK_FRAMES 32u
/* A frame with payload pays for this many control frames of the peer. */
#define CONTROL_REFUND 8u
/* Buckets of the peer's OPENs; owners share them by hash. */
#define OPEN_BUCKETS 16u
/* Part of the stream table that the peer's OPENs never take from ours. */
#define OWN_PART 8u
/* Per-frame overhead that the scheduler charges besides the bytes. */
#define SCHED_FRAME_COST 64u

/* Stream ids end here, then a new session is due: after 2^30 opens. */
#define ID_MAX 0x7fffffffu

/* ---- parts ------------------------------------------------------------- */

enum slot_bits {
	SL_USED = 0x0001,
	SL_PEER = 0x0002,     /* opened by the peer */
	SL_ACCEPTED = 0x0004, /* by whoever had to */
	SL_READY = 0x0008,    /* the application has something to pull */
	SL_TX_END = 0x0010,   /* nothing more may be pulled */
	SL_TX_FIN = 0x0020,   /* FIN is in the ring */
	SL_TX_ACKED = 0x0040, /* ... and acked */
	SL_RX_FIN = 0x0080,   /* the peer's FIN came */
	SL_RX_STOP = 0x0100,  /* we discard what comes */
	SL_ENDED = 0x0200,    /* out of the hash; END is due or was taken */
	SL_MESSAGES = 0x0400, /* VMC_OPEN_MESSAGES */
};

/* Frames that a slot owes the peer, in the order in which they are built. */
enum slot_want {
	WANT_OPEN = 0x01,
	WANT_ACCEPT = 0x02,
	WANT_CREDIT = 0x04,
	WANT_FIN = 0x08,
	WANT_STOP = 0x10,
	WANT_RESET = 0x20,
};

/* Events that a slot owes the application, in the order of delivery. */
enum slot_ev {
	EVB_ACCEPTED = 0x01,
	EVB_READABLE = 0x02,
	EVB_STOP = 0x04,
	EVB_END = 0x08,
};

struct slot {
	uint32_t gen; /* of the handle; never 0 */
	uint32_t id;
	uint16_t bits, hash_next;
	uint8_t want, ev, name_len;
	uint8_t bulk;         /* its last frame was no sparse stream's */
	uint16_t stop_reason; /* of the peer's STOP, for the event */
	uint16_t tx_reason;   /* of our STOP or RESET */
	uint16_t end_reason;
	uint16_t q_first, q_last; /* chunks of the pool */
	uint32_t q_off;           /* consumed bytes of the first chunk */
	uint32_t q_len;           /* bytes in the pool */
	uint32_t window;          /* what we would like to have granted */
	uint32_t held;            /* of the pool (credit.c) */
	uint64_t cookie;
	uint64_t tx_off, tx_limit;
	uint64_t rx_off, rx_limit, rx_read;
	uint64_t grow_from; /* rx_read when the window last changed */
	uint64_t fin_seq;
	uint64_t bytes_out; /* acked, when ended */
	/* until OPEN was built */
	struct vmc_principal who;
	char name[VMC_NAME_MAX];
};

/* Credit of an owner's streams, all together. */
struct account {
	uint32_t loans;   /* held beyond the initial windows */
	uint32_t waiting; /* bytes in the pool */
};

enum name_bits {
	NAME_USED = 0x01,
	NAME_WANT = 0x02,  /* local: owes ADVERTISE (or WITHDRAW if gone) */
	NAME_KNOWN = 0x04, /* local: the peer was told */
	NAME_GONE = 0x08,  /* local: withdrawn; peer's: REMOVED is due */
};

struct name_entry {
	uint32_t flags;
	uint8_t bits, len;
	char name[VMC_NAME_MAX + 1];
};

struct reject {
	uint32_t id;
	uint16_t reason;
};

/* A sequenced frame in the ring, number modulo the array's size. */
struct frame_meta {
	uint64_t digest; /* of the history after it */
	uint32_t off;
	uint16_t slot; /* of a FIN; NIL otherwise */
	uint16_t len;  /* of a DATA payload; 0 otherwise */
};

struct unit {
	uint64_t end; /* number of the frame after its last */
	uint32_t off, len;
	uint32_t bytes; /* DATA payload */
	uint32_t charge;
};

enum stage_kind {
	STAGE_NONE,
	STAGE_PREAMBLE, /* VMC_MAX_FRAME zero bytes, not in the buffer */
	STAGE_BUFFER,
	STAGE_REST, /* what was left of a unit when BYE came between */
};

struct vmc_session {
	uint64_t build; /* session_build() of who made the block */
	struct vmc_session_config cfg;
	struct layout {
		uint32_t slots, hash, ctl, evl, sched, accounts;
		uint32_t names_local, names_peer, rejects;
		uint32_t frames, units, ring, input, chunks, chunk_next;
		uint32_t total;
		/* sizes that are not in the config */
		uint32_t n_hash, n_frames, n_units, n_rejects;
		uint32_t ring_size, input_size;
		uint32_t n_chunks, chunk_size;
	} at;

	/* link and handshake (handshake.c) */
	uint32_t state; /* enum vmc_session_state */
	bool attached;
	bool has_session;
	bool have_peer;  /* .peer is of this handshake */
	bool peer_seeks; /* it has said HELLO since we were UP */
	bool have_nonce; /* .nonce is of this handshake */
	bool known_pipe; /* what is in it is on our account */
	bool dirty_pipe; /* frames were written since the last preamble */
	bool want_preamble;
	bool want_hello;
	bool want_answer; /* HELLO_ACK */
	bool answered;    /* HELLO_ACK for .peer.nonce was sent */
	bool want_bye;
	uint8_t verdict;
	uint16_t bye_reason;
	uint32_t hello_tries;
	uint64_t nonce, entropy[3];
	uint64_t hello_due, hello_wait;
	uint64_t resync_at, resync_wait;
	uint64_t down_since; /* when UP was left; NEVER if not grace */
	bool peer_stands;    /* grace waits until it moves again */
	struct bucket hello_bucket, resync_bucket;
	struct hello peer;
	struct hello mine; /* as it was when this handshake began */
	uint64_t tx_seed, rx_seed;
	uint16_t explain;
	bool explained; /* .mine says it */

	/* standing still (freeze.c) */
	bool frozen;   /* nothing passes to or from applications */
	bool asleep;   /* ... and no handshake has begun since */
	bool may_thaw; /* the attach is the one that was frozen */

	/* session */
	uint8_t session_id[16];
	uint32_t epoch, attach_no;
	uint32_t version;
	uint64_t features, peer_instance;
	uint32_t max_frame, peer_window, peer_streams, peer_names;
	uint32_t ack_bytes_max; /* acked at once from here */

	/* sending (tx.c, stage.c) */
	uint64_t tx_first, tx_sent, tx_next; /* frame numbers */
	uint64_t tx_digest, tx_digest_first;
	uint64_t requeued_to; /* frames before it are of an older attach */
	uint32_t ring_head, ring_tail;
	uint32_t u_head, u_send, u_tail; /* units, free running */
	uint32_t unit_done;              /* bytes of u_send that were written */
	uint32_t inflight_bytes, inflight_charge;
	uint64_t progress_at; /* last time that an ack moved or flight began */
	bool stalled;
	uint16_t pull_slot; /* between pull and pull_done */
	bool pull_append;
	uint32_t pull_off;
	uint32_t pull_len;
	bool want_pong, want_ping, ping_out;
	bool want_grease;
	uint64_t pong_token, ping_token, ping_at;
	uint64_t ping_wait, ping_seq;
	uint64_t pong_due; /* NEVER: no PONG waits for the rate */
	uint32_t stage_sent, stage_proven; /* units, free running */
	uint32_t stage_mark, stage_ping;   /* values of stage_sent */
	uint64_t stage_mark_seq;
	bool stage_marked;
	uint8_t stage_kind;
	uint32_t stage_len, stage_off, stage_ring;
	uint8_t stage[STAGE_UNIT];
	struct bucket pong_bucket;

	/* receiving (rx.c) */
	uint64_t rx_next, rx_digest;
	uint32_t in_head, in_tail;
	uint64_t partial_since; /* NEVER: no torn frame */
	uint16_t borrow_slot;
	uint32_t borrow_off, borrow_len;
	uint32_t ack_frames, ack_bytes;
	uint64_t ack_due;
	struct bucket control_bucket;
	struct bucket open_buckets[OPEN_BUCKETS];

	/* streams (slots.c, streams.c, credit.c) */
	uint32_t n_slots_used, n_streams, n_peer_streams;
	uint32_t n_unanswered; /* the peer's, neither accepted nor rejected */
	struct list free_slots, ctl, evl;
	uint32_t next_id, peer_last_id;
	uint32_t pool_granted;
	uint16_t free_chunk;
	uint32_t chunks_used;
	uint32_t reject_head, reject_tail;

	/* names (names.c) */
	uint32_t n_names_local, n_names_peer, n_names_known;
	bool names_want, names_purge;

	/* events of the session */
	bool reported_up; /* the application was told UP last */
	bool ev_up, ev_down, ev_stalled, ev_unstalled, ev_entropy;
	bool up_resumed;
	uint16_t down_reason;

	struct vmc_session_stats st;
};

/* ---- arrays ------------------------------------------------------------ */

static inline void *session_at(const struct vmc_session *s, uint32_t off)
{
	/* The block is never const, only some callers' view of it is. */
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	return (void *)((uintptr_t)s + off);
}

static inline struct slot *slot_at(const struct vmc_session *s, uint32_t i)
{
	return (struct slot *)session_at(s, s->at.slots) + i;
}

static inline uint16_t slot_index(const struct vmc_session *s,
				  const struct slot *sl)
{
	return (uint16_t)(sl - slot_at(s, 0));
}

static inline struct sched *session_sched(const struct vmc_session *s)
{
	return session_at(s, s->at.sched);
}

static inline struct unit *unit_at(const struct vmc_session *s, uint32_t i)
{
	return (struct unit *)session_at(s, s->at.units) +
	       (i & (s->at.n_units - 1));
}

static inline struct frame_meta *frame_at(const struct vmc_session *s,
					  uint64_t seq)
{
	return (struct frame_meta *)session_at(s, s->at.frames) +
	       (seq & (s->at.n_frames - 1));
}

static inline uint8_t *ring_at(const struct vmc_session *s, uint32_t off)
{
	return (uint8_t *)session_at(s, s->at.ring) + off;
}

static inline uint8_t *input_at(const struct vmc_session *s, uint32_t off)
{
	return (uint8_t *)session_at(s, s->at.input) + off;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* ---- layout.c ---------------------------------------------------------- */

bool config_valid(const struct vmc_session_config *cfg);
/* Can every stream begin with @initial bytes of credit? */
bool window_fits(const struct vmc_session_config *cfg, uint32_t initial);
void layout_compute(struct layout *ret, const struct vmc_session_config *cfg);

/* ---- tx.c -------------------------------------------------------------- */

uint32_t tx_charge(uint32_t len);
/* All charge that the peer may not have read yet. */
uint32_t tx_charge_total(const struct vmc_session *s);
void tx_reset(struct vmc_session *s);
/* Build one sequenced control frame; false: no room now. */
bool tx_control(struct vmc_session *s, uint8_t type, uint8_t flags,
		uint32_t stream, const uint8_t *payload, size_t len,
		uint16_t fin_slot, uint64_t now);
/*
 * The digest of what was sent before frame @ack; false if that cannot be
 * acked. It is part of each check, and so is what the sender of a sequenced
 * frame sent before it: an end that went back to a snapshot must not take
 * the answer to what its old self said, nor go on where that left off.
 */
bool tx_digest_at(const struct vmc_session *s, uint32_t ack, uint64_t *ret);
/* The peer has everything before @ack: false if that cannot be. */
bool tx_acked(struct vmc_session *s, uint32_t ack, uint64_t now);
void tx_acked_to(struct vmc_session *s, uint64_t to);
/* After a resume: all that is retained is to be sent again. */
void tx_requeue(struct vmc_session *s, uint64_t now);
uint32_t tx_unacked_of(const struct vmc_session *s, uint32_t stream);
bool tx_is_idle(const struct vmc_session *s);

/* ---- stage.c ----------------------------------------------------------- */

bool stage_fill(struct vmc_session *s, uint64_t now);
bool stage_fill_ack(struct vmc_session *s, uint64_t now);
bool stage_is_full(const struct vmc_session *s);
bool stage_takes_pong(const struct vmc_session *s);
/* The unit that is partly written is completed before anything else. */
void stage_rest(struct vmc_session *s);
void stage_prove(struct vmc_session *s, uint64_t acked);
void stage_reset(struct vmc_session *s);
void stage_go_up(struct vmc_session *s);

/* ---- control.c --------------------------------------------------------- */

void control_build(struct vmc_session *s, uint64_t now);
bool control_pending(const struct vmc_session *s);
/* The peer ended a stream that we were about to reject. */
void control_unreject(struct vmc_session *s, uint32_t id);
struct reject *reject_at(const struct vmc_session *s, uint32_t i);
void control_reject(struct vmc_session *s, uint32_t id, unsigned int reason);
void slot_want(struct vmc_session *s, struct slot *sl, unsigned int want);

/* ---- rx.c -------------------------------------------------------------- */

void rx_settle(struct vmc_session *s);
bool events_pending(const struct vmc_session *s);
void rx_clear(struct vmc_session *s);
/* Parse one thing. False: needs more bytes. ev->type tells of an event. */
bool rx_step(struct vmc_session *s, struct vmc_event *ev, uint64_t now);
void rx_partial_timeout(struct vmc_session *s, uint64_t now);
/* The peer broke a rule: the session ends with BYE. */
void session_violation(struct vmc_session *s, unsigned int reason,
		       uint64_t now);

struct rx_frame {
	struct wire_header h;
	const uint8_t *payload;
	uint64_t now;
};

/* A row of frames.def. */
struct frame_row {
	uint8_t type, flags;
	bool on_stream;
	uint16_t min, max; /* bytes of payload */
	void (*handler)(struct vmc_session *s, const struct rx_frame *f,
			struct vmc_event *ev);
};

/* NULL if this version does not know @type. */
const struct frame_row *frame_row_of(uint8_t type);

#define FRAME(name, type, flags, stream, min, max, handler)           \
	void handler(struct vmc_session *s, const struct rx_frame *f, \
		     struct vmc_event *ev);
#include "session/frames.def"
#undef FRAME

/* ---- handshake.c ------------------------------------------------------- */

void lose_sync(struct vmc_session *s, uint64_t now);
void on_hello(struct vmc_session *s, const struct hello *h, uint64_t now);
void hello_make(const struct vmc_session *s, struct hello *ret, uint8_t kind);
/* May more than a HELLO be written, though nobody is known to read? */
bool pipe_has_room(const struct vmc_session *s);
/* The peer is up as well: it has heard what was to be explained. */
void explain_done(struct vmc_session *s);
/* Is that something a peer may be told as the cause of a new session? */
bool explain_valid(unsigned int reason);
void session_down(struct vmc_session *s, unsigned int reason, uint64_t now);
void session_forget(struct vmc_session *s, unsigned int reason);
void handshake_tick(struct vmc_session *s, uint64_t now);
uint64_t handshake_deadline(const struct vmc_session *s);

/* ---- adopt.c ----------------------------------------------------------- */

/* The same for programs that lay a block out alike. */
uint64_t session_build(void);

/* ---- freeze.c ---------------------------------------------------------- */

/* Bytes and events pass again. */
void session_unfreeze(struct vmc_session *s);
/* READABLE, once more, for whoever has something to read. */
void session_raise_readable(struct vmc_session *s);

/* ---- slots.c ----------------------------------------------------------- */

struct slot *slot_new(struct vmc_session *s, uint32_t id);
void slot_free(struct vmc_session *s, struct slot *sl);
struct slot *slot_by_id(const struct vmc_session *s, uint32_t id);
struct slot *slot_by_handle(const struct vmc_session *s, vmc_stream h);
vmc_stream slot_handle(const struct vmc_session *s, const struct slot *sl);
void slot_event(struct vmc_session *s, struct slot *sl, unsigned int ev);
/* The stream is over; WANT_RESET, if it is set, is still sent. */
void slot_end(struct vmc_session *s, struct slot *sl, unsigned int reason);
void slot_check_end(struct vmc_session *s, struct slot *sl);
void slot_update_sched(struct vmc_session *s, const struct slot *sl);
void slots_end_all(struct vmc_session *s, unsigned int reason);
void slot_settle(struct vmc_session *s, struct slot *sl);
/* Abort: RESET to the peer, END to the application. */
void slot_abort(struct vmc_session *s, struct slot *sl, unsigned int reason);

/* ---- streams.c --------------------------------------------------------- */

/* An id of the peer's side that it has used, or of ours that we have. */
bool stream_was_used(const struct vmc_session *s, uint32_t id);

/* ---- pool.c ------------------------------------------------------------ */

void pool_init(struct vmc_session *s);
void pool_append(struct vmc_session *s, struct slot *sl, const uint8_t *p,
		 uint32_t n);
void pool_drop(struct vmc_session *s, struct slot *sl, uint32_t n);
uint16_t pool_next(const struct vmc_session *s, uint16_t chunk);
uint8_t *pool_chunk(const struct vmc_session *s, uint16_t chunk);

/* ---- credit.c ---------------------------------------------------------- */

uint32_t credit_charge(const struct vmc_session *s, const struct slot *sl);
/* By number of the owner (sched.h). */
struct account *credit_account(const struct vmc_session *s, uint16_t owner);
/* @n more bytes of @sl wait in the pool, or were taken out of it. */
void credit_waits(struct vmc_session *s, const struct slot *sl, uint32_t n);
void credit_taken(struct vmc_session *s, const struct slot *sl, uint32_t n);
void credit_open(struct vmc_session *s, struct slot *sl);
void credit_close(struct vmc_session *s, struct slot *sl);
void credit_consumed(struct vmc_session *s, struct slot *sl, uint32_t n);
/* After rx_read and rx_limit were set; false: the pool has not that much. */
bool credit_restore(struct vmc_session *s, struct slot *sl, uint32_t window);
/* The limit that a CREDIT built now announces; 0: none is due. */
uint64_t credit_due(const struct vmc_session *s, const struct slot *sl);
/* It is built. */
void credit_grant(struct vmc_session *s, struct slot *sl, uint64_t limit);

/* ---- names.c ----------------------------------------------------------- */

struct name_entry *name_local(const struct vmc_session *s, uint32_t i);
struct name_entry *name_peer(const struct vmc_session *s, uint32_t i);
void names_restart(struct vmc_session *s);
bool names_purge_next(struct vmc_session *s, struct vmc_event *ev);
/* A name of a saved state. Return: 0, VMC_ERR_BLOB (twice), VMC_ERR_LIMIT */
int names_restore(struct vmc_session *s, bool ours, const char *name,
		  size_t len, uint32_t flags);
bool names_build(struct vmc_session *s, uint64_t now);

#endif /* SESSION_INTERNAL_H */
