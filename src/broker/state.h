/* SPDX-License-Identifier: MIT */
/*
 * state.h - the saved state of a broker (docs/continuity.md, section 3)
 *
 * The container (header, table of sections, hash) is plain bytes in, plain
 * data out: the bus process uses it without a broker. Sections 1-6 are the
 * engine's, which sees nothing else; 16-21 are the broker's.
 */
#ifndef BROKER_STATE_H
#define BROKER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmchannel/types.h>

/* QEMU drops a larger one without a word. */
#define STATE_MAX          (1024u * 1024u)
#define STATE_VERSION      1u
#define STATE_HEADER_LEN   80u
#define STATE_SECTION_LEN  8u /* header of a section */
#define STATE_SECTIONS_MAX 16u
#define STATE_ID_LEN       16u

enum state_kind {
	STATE_NOTHING, /* there was no session; the header is all */
	STATE_MOVE,    /* to another host, to a file, or back */
	STATE_UPGRADE, /* to the process that takes over */
	STATE_KIND_NUM
};

/* The broker's sections; those below are the engine's. */
enum state_section_type {
	STATE_BROKER = 16,
	STATE_EARLY = 17,
	STATE_DESCRIPTORS = 18,
	STATE_CHANNELS = 19,
	STATE_RECORDS = 20,
	STATE_LOADED = 21,
	STATE_SECTION_LAST = STATE_LOADED,
};

#define STATE_SECTION_MUST 1u /* flag: refuse the state if it is unknown */

/* What became of a state. */
enum state_result {
	STATE_OK,
	STATE_NONE,   /* it is NOTHING */
	STATE_BAD,    /* malformed, damaged or inconsistent */
	STATE_FUTURE, /* a newer program is needed to read it */
	STATE_LIMIT,  /* it holds more than our tables */
	STATE_CLONED, /* it is of a VM with another UUID */
	STATE_BUSY,   /* there are streams here already */
	STATE_RESULT_NUM
};

/* state_result_name() - for logs */
const char *state_result_name(enum state_result r);

struct state_header {
	enum state_kind kind;
	uint32_t n_sections;
	size_t len; /* of the whole state */
	uint8_t save_id[STATE_ID_LEN];
	uint8_t uuid[STATE_ID_LEN]; /* of the VM; zeros: unknown */
	uint64_t time_us; /* CLOCK_REALTIME of the Save; for the log */
};

struct state_section {
	uint16_t type, flags;
	uint32_t len;
	const uint8_t *data; /* borrowed */
};

struct state {
	struct state_header header;
	const uint8_t *engine; /* sections below 16 as they are; borrowed */
	size_t engine_len;
	struct state_section sections[STATE_SECTIONS_MAX];
};

/* state_nothing() - the state without a session: a constant, never empty,
 * since QEMU takes an empty one for a failure */
void state_nothing(uint8_t ret[STATE_HEADER_LEN]);

/**
 * state_put_header() - write the header in front of sections that are there
 * @buf: @h->len bytes, of which those from STATE_HEADER_LEN on are written
 */
void state_put_header(uint8_t *buf, const struct state_header *h);

/**
 * state_get_header() - the header alone
 * @blob: foreign bytes; the hash is not looked at
 *
 * Return: OK, NONE (it is NOTHING; @ret is valid), BAD, FUTURE.
 */
enum state_result state_get_header(struct state_header *ret,
				   const uint8_t *blob, size_t len);

/**
 * state_parse() - check header, hash and table of sections
 * @ret: borrows from @blob, which is foreign
 *
 * Return: OK, NONE, BAD, FUTURE.
 */
enum state_result state_parse(struct state *ret, const uint8_t *blob,
			      size_t len);

/* state_section() - of that type, or NULL */
const struct state_section *state_section(const struct state *s,
					  unsigned int type);

/* state_parse_uuid() - text to bytes; zeros and false if it is not one */
bool state_parse_uuid(const char *text, uint8_t ret[STATE_ID_LEN]);

/* ---- a broker's ----------------------------------------------------------
 */

struct broker;

/* What a descriptor that goes to the next process is. */
enum state_fd_kind {
	STATE_FD_STREAM = 1, /* a program's; cookie: the stream's */
	STATE_FD_LISTEN,     /* a Listen call; cookie: channel's row */
	STATE_FD_CONTROL,    /* a control connection between two calls */
	STATE_FD_CONNECT,    /* a connect connection without its line */
	STATE_FD_UPGRADE,    /* a call of Upgrade that waits for its answer */
	STATE_FD_KIND_END
};

struct state_fd {
	uint32_t kind;
	int fd;
	uint64_t cookie;
};

#define STATE_FDS_MAX 4096u /* more than a process may have by default */

/**
 * broker_freeze() - nothing moves between programs and peer any more
 *
 * What was read of the link is delivered, then the session is frozen and its
 * events are drained. Calls that would change streams wait. Ends with
 * broker_thaw(), a handshake begun later (ops.peer_up), or broker_moved().
 * Idempotent.
 */
void broker_freeze(struct broker *b);

/* broker_thaw() - as if it had not been frozen. Return: 0, or -EBUSY: a
 * handshake was begun meanwhile, which thaws when it is done. */
int broker_thaw(struct broker *b);

/* broker_is_frozen() - it is, and neither thaw nor handshake ended it */
bool broker_is_frozen(const struct broker *b);

/**
 * broker_save() - the state of a frozen broker
 * @kind:    MOVE or UPGRADE
 * @buf:     @size bytes, STATE_MAX are always enough
 * @fds:     UPGRADE: room for STATE_FDS_MAX, filled in the order of section
 *           18; the descriptors stay the broker's. NULL for MOVE
 * @n_fds:   how many were filled in; NULL for MOVE
 *
 * Writes NOTHING if there is no session to be saved (only MOVE; an UPGRADE
 * always has descriptors).
 *
 * Return: bytes written; -EINVAL (not frozen), -ENOSPC.
 */
long broker_save(struct broker *b, enum state_kind kind,
		 const uint8_t save_id[STATE_ID_LEN], uint8_t *buf, size_t size,
		 struct state_fd *fds, size_t *n_fds);

/**
 * broker_load() - go on where another broker stopped
 * @blob: foreign bytes
 * @fds:  UPGRADE: what came along, as broker_save() gave it; consumed always
 *
 * Before a handshake was completed, with or without a link; with one, it is
 * greeted anew. Whatever is wrong ends in an empty session that works, and
 * the guest is told why its streams end.
 */
enum state_result broker_load(struct broker *b, const uint8_t *blob, size_t len,
			      const struct state_fd *fds, size_t n_fds);

/* broker_explain() - why the guest's streams end should the next handshake
 * find no common session: CLONED, MIGRATED or DAEMON_LOST of enum vmc_reason */
void broker_explain(struct broker *b, unsigned int reason);

/**
 * broker_moved() - the VM runs elsewhere: all streams end (MIGRATED), the
 * session is forgotten
 * @destination: where, for people; NULL: as ops.moved said, or unknown
 *
 * A link that is there is greeted with a new session.
 */
void broker_moved(struct broker *b, const char *destination);

/**
 * broker_adopt_fd() - what a predecessor that died had for a stream
 * @number: as ops.keep said
 * @fd: consumed on success
 *
 * Return: is there such a stream without one?
 */
bool broker_adopt_fd(struct broker *b, uint64_t number, int fd);
/* broker_adopt_done() - that was all; streams without one end */
void broker_adopt_done(struct broker *b);

/* broker_has_loaded() - a state was loaded here, also by one that died */
bool broker_has_loaded(const struct broker *b);

/* broker_resync_now() - begin a new handshake on the present link, if any */
void broker_resync_now(struct broker *b);

/* How long after broker_moved() programs may ask how their streams ended. */
#define LINGER_MS 2000u

/* broker_linger_ms() - of LINGER_MS what is left; 0: nobody moved */
unsigned int broker_linger_ms(const struct broker *b);

#endif /* BROKER_STATE_H */
