/* SPDX-License-Identifier: MIT */
/*
 * world.h - the simulated world: two engines, two links, many applications
 *
 * Theory of operation
 *
 * A world is a pure function of its seed. It has one virtual clock, two ends
 * (an engine and the broker around it, reduced to the loop of session.h), one
 * link for each direction, and conversations: pairs of scripted applications
 * that share a stream.
 *
 * A run alternates between chaos and calm. In chaos any part may act at any
 * moment, for no reason, or stay away although it has work; links stall, are
 * cut and lie. In calm the links work and an end runs only when a real broker
 * would be woken: bytes on the link, room on a link that was full, a call by
 * an application, or the engine's own deadline. What the engine forgot to ask
 * for does not happen then, so that a lost wake-up shows as a stream that
 * never finishes.
 *
 * After every step the oracle compares what the applications saw and what the
 * engines say with what is allowed (oracle.h).
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmchannel/session.h>

#include "faults.h"
#include "history.h"
#include "link.h"
#include "plant.h"
#include "prng.h"

#define SIM_MEM_ALIGN 64u
#define SIM_NEVER     UINT64_MAX
#define SIM_NAMES     12u
#define SIM_OWNERS    5u
#define SIM_CONVS_MAX 4096u
/* Snapshots that are kept of each end. */
#define SIM_SNAPS      4u
#define SIM_ALIVE_MAX  (2 * VMC_MAX_STREAMS)
#define SIM_TRACE      96u
#define SIM_TRACE_LINE 160u

/* Why a session may be gone. */
enum cause {
	CAUSE_RESTART,
	CAUSE_BYE,
	CAUSE_GRACE,
	CAUSE_JUMP,      /* an end went to a snapshot */
	CAUSE_STATELESS, /* a new daemon, without the state of the old one */
	CAUSE_REFUSED,   /* a new daemon that refused a state */
	CAUSE_NUM
};

/* One side of a conversation. */
enum half_state {
	HALF_NONE,  /* the peer's OPEN has not come */
	HALF_ASKED, /* it came and waits for an answer */
	HALF_OPEN,  /* opened by us, or accepted */
	HALF_ENDED, /* END came, or we rejected, or this end was restarted */
};

enum half_reader {
	READER_FAST,
	READER_SLOW,  /* a little, every few milliseconds */
	READER_NEVER, /* holds its stream open without reading */
};

/* How an application gives up, if it does. */
enum half_plan {
	PLAN_ORDERLY,
	PLAN_RESET,
	PLAN_STOP,
	PLAN_NUM
};

struct half {
	enum half_state state;
	vmc_stream handle;
	enum half_reader reader;
	enum half_plan plan;
	uint64_t plan_at; /* bytes moved before the plan is carried out */
	bool fin_late;    /* ends with finish(), not with the last pull */

	/* sending */
	uint64_t want;    /* bytes it will send */
	uint64_t made;    /* of them: exist already */
	uint64_t pulled;  /* of them: taken by the engine */
	bool ready;       /* the engine was told */
	bool fin;         /* the engine was told the end */
	bool peer_stops;  /* STOP came */
	uint64_t make_at; /* a slow writer's next bytes */

	/* receiving */
	uint64_t consumed;
	uint32_t sent, taken; /* pieces of the history; 0: none yet */
	bool readable;        /* READABLE came since we last drained it */
	bool at_end;          /* we saw the peer's end */
	bool stopped;         /* we stopped it */
	uint64_t read_at;

	/* how it ended */
	bool reset, rejected;
	bool restarted; /* its end forgot it */
	uint32_t reason;
	uint64_t ended_at;

	/* scheduling measurements */
	uint64_t read_us; /* of the newest byte consumed */
};

struct conv {
	uint32_t id;
	int opener; /* which end */
	uint32_t flags;
	unsigned int name;
	uint64_t owner[2];
	unsigned int weight[2];
	uint32_t given_reason; /* reset, stop or reject by an application */
	bool left_behind;      /* a program that did not follow its VM */
	uint32_t root[2];      /* pieces of the history */
	uint32_t causes[CAUSE_NUM]; /* world's counts when it was opened */
	struct half half[2];        /* by end */
};

/* What one end has been told of the other's names. */
struct names {
	bool mine[SIM_NAMES], seen[SIM_NAMES];
	uint32_t my_flags[SIM_NAMES], seen_flags[SIM_NAMES];
};

struct end {
	struct vmc_session_config cfg;
	struct vmc_session *s;
	void *mem;
	size_t size;
	bool frozen;        /* between _freeze() and UP or _thaw() */
	bool deaf;          /* frozen, and no handshake was begun since */
	uint64_t frozen_at; /* frames that it had taken by then */
	bool attached;      /* the broker has a pipe to this end of the link */
	bool up;            /* as the events say */
	bool bye;           /* it said goodbye; only an attach brings it back */
	bool doubt[CAUSE_NUM]; /* its session may be lost for this, it does
				* not know yet */
	bool wake;             /* a call was made: the broker runs its loop */
	bool blocked;          /* the link took less than was offered */
	size_t blocked_by;
	size_t unit_done; /* bytes of the present unit that the link took */
	uint64_t attach_at;
	uint64_t watch_at; /* of the watchdog; 0: it sleeps */
	struct names names;
	uint64_t ahead;        /* its clock before the world's, modulo 2^64 */
	uint64_t paused_until; /* its machine stands still */
	uint64_t slept;        /* so long did its clock, once it goes on */
	struct moment at, seen;
	uint8_t session_id[16]; /* that .seen belongs to */
	uint64_t ticks, idle_ticks;
	uint64_t stalls;
};

/* What the self-test breaks on purpose; the oracle must notice each. */
enum mutation {
	MUTATE_NONE,
	MUTATE_FLIP,        /* a delivered byte is changed */
	MUTATE_DUP,         /* a delivery is seen twice */
	MUTATE_DROP,        /* a delivery is swallowed */
	MUTATE_LOSE_END,    /* an END event is swallowed */
	MUTATE_LOSE_NAME,   /* a name event is swallowed */
	MUTATE_FAKE_END,    /* an orderly END is reported too early */
	MUTATE_DEAF,        /* a READABLE event is swallowed */
	MUTATE_LATE_TIMER,  /* deadlines are not served */
	MUTATE_CHARGE,      /* more lies in the port than was written */
	MUTATE_CREDIT,      /* more was pulled than the engine saw */
	MUTATE_REASON,      /* a stream ends for a reason that nobody gave */
	MUTATE_UNEXPLAINED, /* a new daemon does not say why it is new */
	MUTATE_UNFENCED,    /* what a migration left goes on */
	MUTATE_REWIND,      /* an application goes back, its engine does not */
	MUTATE_PLANT,       /* the first of enum plant */
	MUTATE_NUM = MUTATE_PLANT + PLANT_NUM
};

/* A whole end at some moment, its applications included. */
struct snap {
	bool used;
	struct end end;
	struct half *half; /* of conversations 0 .. @n */
	size_t n, room;
	void *mem;
	size_t mem_room;
};

/*
 * What a migration left on the other host: the frozen engine, and bytes that
 * its machine's ring still pushes out. It must stay as it is.
 */
struct left {
	struct vmc_session *s;
	void *mem; /* NULL: there is none */
	uint64_t ahead;
	uint64_t frames_in;
	uint8_t *ring;
	size_t ring_len, ring_at, ring_room;
	bool probed;
};

struct profile {
	bool storm;      /* faults are the rule */
	bool jumps;      /* snapshots */
	bool successors; /* daemons in the place of others, on other hosts */
	uint64_t lull;   /* most rounds between two of its faults */
	/* NULL: chosen at random */
	void (*limits)(struct vmc_session_config *cfg);
	bool tiny;       /* small random limits, else the shipped ones */
	bool cuts;       /* cut, re-attach, lost and replayed bytes */
	bool corruption; /* changed bytes */
	bool losses;     /* restarts, goodbyes: sessions may be lost */
	unsigned int convs_at_once;
	uint64_t bytes_max; /* of one direction of one conversation */
	uint64_t bytes_all; /* of all of a run, roughly */
};

struct world {
	struct prng rng;
	uint64_t now;
	struct profile profile;
	struct end end[2];
	struct link link[2]; /* [i]: written by end i */
	struct conv *convs;
	size_t n_convs;
	uint32_t *alive; /* ids of conversations that can still change */
	size_t n_alive;
	uint64_t bytes_planned;
	uint32_t causes[CAUSE_NUM]; /* times that a session may be lost */
	uint32_t faults;            /* times that the link lied or was cut */
	uint64_t fault[FAULT_NUM];  /* injected, by kind */
	struct history history;
	struct snap snap[2][SIM_SNAPS + 1]; /* and a spare one */
	struct left left[2];                /* by end */
	bool calm;
	bool quit_readers; /* calm, second part: no reader holds out */
	enum mutation mutate;
	uint64_t mutate_in; /* occasions before the mutation happens */
	bool mutated;
	uint64_t steps;
	char failure[200];
	char trace[SIM_TRACE][SIM_TRACE_LINE];
	uint64_t n_trace;
	bool verbose;
	/* what a run did, for the summary */
	uint64_t delivered, opened, ended_ok, ended_other;
};

/* world_init() - ready to run; @w->rng, profile, mutate are set already */
void world_init(struct world *w);
void world_done(struct world *w);

/* world_room() - memory of the conversations, if there is none yet */
void world_room(struct world *w);

/* world_chaos() - @steps random steps */
void world_chaos(struct world *w, uint64_t steps);

/* world_calm() - let everything finish, then look at what is left */
void world_calm(struct world *w);

/* world_settle() - the links work again, everything moves until it is quiet,
 * then a new stream each way; and that is how it should be */
void world_settle(struct world *w);

/* world_next() - when anything happens by itself; SIM_NEVER: nothing does */
uint64_t world_next(const struct world *w);

/* world_fail() - the run failed; only the first failure counts */
void world_fail(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool world_failed(const struct world *w);

void world_note(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* world_mutates() - is this the occasion for mutation @m? At most once. */
bool world_mutates(struct world *w, enum mutation m);

const char *world_name(unsigned int name);

/* world_loses() - sessions may be lost from now on, for @cause */
void world_loses(struct world *w, enum cause cause);

#endif /* SIM_WORLD_H */
