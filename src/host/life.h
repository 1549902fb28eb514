/* SPDX-License-Identifier: MIT */
/*
 * life.h - who owns the session: docs/continuity.md section 2 as a table
 *
 * Pure: an event goes in, the next state and a set of actions come out. The
 * caller performs the actions in the order of the bits, lowest first. The
 * model (tests/model/) has exactly these states and events.
 */
#ifndef HOST_LIFE_H
#define HOST_LIFE_H

#include <stdbool.h>

enum life {
	LIFE_SERVING,  /* the session is ours */
	LIFE_INCOMING, /* no handshake was ever completed: takes a Load */
	LIFE_FENCED,   /* a copy left in a Save; frozen; a probe is out */
	LIFE_AWAY,     /* the VM is elsewhere; the session is forgotten */
	LIFE_HELD,     /* frozen for an upgrade; a copy is with the successor */
	LIFE_LOST,     /* died within a turn; nothing of it is believed */
	LIFE_NUM
};

enum life_event {
	LIFE_EV_ATTACH,   /* row 1: a link is there */
	LIFE_EV_CUT,      /* 2: link gone, sync lost, replay */
	LIFE_EV_SAVE,     /* 3, 4, 7, 21: the bus process asks */
	LIFE_EV_PROBE,    /* 5: the answer to SAVE is out */
	LIFE_EV_PROVED,   /* 6: HELLO_ACK of a nonce drawn after the Save */
	LIFE_EV_GONE,     /* 8: end of the link, QEMU's exit, postmigrate */
	LIFE_EV_LOAD,     /* 10, 13: a valid state came */
	LIFE_EV_LOAD_BAD, /* 11: NOTHING, or not to be believed */
	LIFE_EV_UP,       /* 9, 12: a handshake was completed */
	LIFE_EV_HOLD,     /* 14: upgrade */
	LIFE_EV_ADOPTED,  /* 15: the successor has loaded */
	LIFE_EV_REFUSED,  /* 16: it did not, or took too long */
	LIFE_EV_DEATH,    /* 17: between turns */
	LIFE_EV_TORN,     /* 18: death within a turn */
	LIFE_EV_RENEWED,  /* 18: the new session after that stands */
	LIFE_EV_END,      /* 19: BYE, or another instance of the agent */
	LIFE_EV_ROLLBACK, /* 20: the ends hold different histories */
	LIFE_EV_NUM
};

/* In the order of doing. */
enum life_action {
	LIFE_DO_ATTACH = 1u << 0,  /* tell the session, preamble, HELLO */
	LIFE_DO_DETACH = 1u << 1,  /* keep the state for grace */
	LIFE_DO_FREEZE = 1u << 2,  /* and take the events that are due */
	LIFE_DO_SAVE = 1u << 3,    /* write the state, answer with it */
	LIFE_DO_NOTHING = 1u << 4, /* answer with NOTHING */
	LIFE_DO_LOAD = 1u << 5,    /* the state replaces the session */
	LIFE_DO_REFUSE = 1u << 6,  /* answer busy; nothing has changed */
	LIFE_DO_EXPLAIN = 1u << 7, /* no session: say migrated in HELLO */
	LIFE_DO_MOVED = 1u << 8,   /* end streams, forget the session */
	LIFE_DO_THAW = 1u << 9,    /* as if never frozen */
	LIFE_DO_RENEW = 1u << 10,  /* session of a new instance */
	LIFE_DO_ADOPT = 1u << 11,  /* the arena as it is */
	LIFE_DO_RESYNC = 1u << 12, /* fresh entropy, preamble, HELLO */
	LIFE_DO_EXIT = 1u << 13,   /* without BYE */
};

struct life_step {
	enum life next;
	unsigned int actions; /* enum life_action */
};

/**
 * life_step() - what @ev means in state @now
 * @has_session: a handshake was completed since the session began; matters
 *               for SAVE in INCOMING only
 * @ret: written only on success
 *
 * Return: false if @ev cannot happen in @now; the caller ignores it.
 */
bool life_step(struct life_step *ret, enum life now, enum life_event ev,
	       bool has_session);

/* life_name() - "serving" ..., for the log, events and GetInfo */
const char *life_name(enum life l);
/* life_event_name() - "SAVE" ..., as in the table */
const char *life_event_name(enum life_event ev);

#endif /* HOST_LIFE_H */
