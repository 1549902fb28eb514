/* SPDX-License-Identifier: MIT */
/*
 * vmchannel.pml - one stream through cuts, migration, snapshots, upgrade and
 * death, as docs/continuity.md section 2 has it
 *
 * Two host daemons (0: source, 1: destination, or the successor in an
 * upgrade), a VM that can run at either place or (after a cancelled
 * migration) at both, one application at the host that follows the stream.
 * Each frame carries one byte. What the model leaves out: lengths, checksums
 * (a frame of another attach, or one that was torn, fails its check: that is
 * what seeds and hashes are for), credit, names, the clock. A digest is the
 * history itself.
 *
 * How much may happen is set from outside (tests/model/run): NG, NH bytes from
 * guest and host, and budgets CUTS, LOSSES, REPLAYS, MOVES, SAVES, LOADS,
 * UPGRADES, DEATHS, TORNS, REBOOTS. M_... choose a wrong design.
 */
#ifndef NG
#define NG 1
#endif
#ifndef NH
#define NH 1
#endif
#ifndef CUTS
#define CUTS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#ifndef REPLAYS
#define REPLAYS 0
#endif
#ifndef MOVES
#define MOVES 0
#endif
#ifndef DOUBLES /* a move may leave both running */
#define DOUBLES 0
#endif
#ifndef SAVES
#define SAVES 0
#endif
#ifndef LOADS
#define LOADS 0
#endif
#ifndef UPGRADES
#define UPGRADES 0
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef TORNS
#define TORNS 0
#endif
#ifndef REBOOTS
#define REBOOTS 0
#endif

/* enum life and enum life_event of src/host/life.h, all of them and no more
 * (check-table) */
mtype:life = { SERVING, INCOMING, FENCED, AWAY, HELD, LOST };
mtype:event = { ATTACH, CUT, SAVE, PROBE, PROVED, GONE, LOAD, LOAD_BAD, UP,
		HOLD, ADOPTED, REFUSED, DEATH, TORN, RENEWED, END, ROLLBACK };

mtype:kind = { HELLO, HELLO_ACK, DATA, ACK };
#define RESUME   1
#define UNKNOWN  2
#define VROLLBACK 3

/* What an end knows: a session with one stream, and an attach. */
typedef engine {
	bit up;      /* UP, else SYNC */
	byte me;     /* nonce */
	byte peer;   /* the peer's, once UP */
	byte acked;  /* the peer's nonce that was answered, 0: none */
	byte verdict; /* what the answer said */
	bit hello;   /* due: HELLO */
	bit pre;     /* ... with a preamble */
	bit hack;    /* due: HELLO_ACK */
	bit ack;     /* due: ACK */
	bit torn;    /* the parser is within a frame whose rest is lost */
	short sid;   /* session, 0: none */
	bit alive;   /* it has the stream */
	byte rx;     /* next frame expected */
	byte rxh;    /* ... and what came: the digest */
	byte dl;     /* of these, given to the application */
	byte txf;    /* oldest frame retained */
	byte txn;    /* next number */
	byte txh;    /* what was sent */
	byte tw;     /* next frame to be written */
	bit frozen;
};

/* 0, 1: hosts; 2, 3: guests at place 0 and 1 */
engine e[4];
/* 2l: link l to the guest; 2l+1: from the guest
 * kind, nonce, echo, sid, rx, txf, txn, history, verdict/value/preamble */
#define CAP 3
chan c[4] = [CAP] of { mtype:kind, byte, byte, short, byte, byte, byte, byte,
		       byte };

mtype:life life[2];
bit here[2];      /* the daemon's process exists */
bit linked[2];
bit probe[2];     /* due: PROBE */
bit runs[2];       /* the VM executes at this place */
byte branch[2];   /* what its applications write: differs between histories */
bit doubled;      /* both places ran after one Save */
bit awaited;      /* daemon 1 waits for a follower to show its token */
engine blob;      /* the saved state */
bit have_blob;
engine snap;      /* the VM's image */
byte drawn[4];    /* nonces: the ends never draw the same one */

/* The host's application */
bit a_at;         /* the daemon that it is connected with */
byte a_r, a_h;    /* received: how many, which */
byte a_s;         /* sent */
bit a_end;        /* its stream ended with a reason */
bit a_gone;       /* it is at daemon 1, and daemon 0 has not heard of it */
bit a_left;       /* daemon 0 said migrated: go where the VM went */

/* What has happened that may end a stream: of place 0, 1, the application */
bit cause[3];
#define APP 2
/* Violations */
bit lost, dup, cross;
bit quiet; /* the VM's manager has done all it will do */

#if UPGRADES
#define LINK(i)  0
#else
#define LINK(i)  (i)
#endif
#define H2G(l)   (2 * (l))
#define G2H(l)   (2 * (l) + 1)
#define POW(n)   ((n) == 0 -> 1 : ((n) == 1 -> 10 : 100))
#define PRE(h, n) ((h) % POW(n))
#define DIGIT(h, k) (((h) / POW(k)) % 10)
/* What the application knew when it wrote: 1 nothing; 2, 3 one byte ... */
#define KNEW ((a_r == 0) -> 1 : ((a_r == 1) -> 1 + a_h : \
	      4 + 2 * (DIGIT(a_h, 0) - 1) + DIGIT(a_h, 1) - 1))
/* Is that a part of what guest @x has sent? */
#define KNOWN(v, x) ((v) == 1 || \
	((v) <= 3 && e[x].txn >= 1 && DIGIT(e[x].txh, 0) == (v) - 1) || \
	((v) >= 4 && e[x].txn >= 2 && DIGIT(e[x].txh, 0) == 1 + ((v) - 4) / 2 \
	 && DIGIT(e[x].txh, 1) == 1 + ((v) - 4) % 2))

#define live(i) (here[i] && e[i].alive && e[i].up && !e[i].frozen && \
		 !(i == 0 && a_gone))
#define two_owners (live(0) && live(1) && \
		    !(doubled && awaited && !UPGRADES))
#define at LINK(a_at)
#define complete (!a_end && a_r == NG && a_s == NH && e[a_at].txf == NH && \
	e[2 + at].txf == NG && e[2 + at].rx == NH && e[2 + at].alive && \
	runs[at] && (!runs[1 - at] || !e[3 - at].alive))
#define ended (a_end && (!runs[0] || !e[2].alive) && (!runs[1] || !e[3].alive))

ltl NoLoss { [] !lost }
ltl NoDuplicate { [] !dup }
ltl NoCrossHistory { [] !cross }
ltl OneOwner { [] !two_owners }
ltl Progress { <> [] (complete || ended) }

/* Which rows of the table were taken is told once each; no part of a state. */
c_decl {
	static unsigned char row_seen[64];
	static void row_taken(int n)
	{
		if (!row_seen[n])
			printf("row %d\n", n);
		row_seen[n] = 1;
	}
};
/* A row of the table: in state @from, @ev leads to @to. */
#define ROW(n, from, ev, to, i) \
	assert(life[i] == from); life[i] = to; c_code { row_taken(n); }
#define ROW_ANY(n, ev, i) \
	c_code { row_taken(n); }

/* ---- the engine ------------------------------------------------------- */

inline fresh(x, p)
{
	drawn[x]++;
	e[x].me = 4 * drawn[x] + x;
	e[x].up = 0;
	e[x].peer = 0;
	e[x].acked = 0;
	e[x].verdict = 0;
	e[x].hello = 1;
	e[x].pre = p;
	e[x].hack = 0;
	e[x].ack = 0;
	e[x].torn = 0 /* input is scanned from now on */
}

/* The host puts a preamble first; the guest's own writes tear nothing. */
inline resync(x)
{
#ifdef M_NO_PREAMBLE
	fresh(x, 0)
#else
	fresh(x, (x < 2))
#endif
}

inline forget(x)
{
	e[x].sid = 0;
	e[x].alive = 0;
	e[x].rx = 0;
	e[x].rxh = 0;
	e[x].dl = 0;
	e[x].txf = 0;
	e[x].txn = 0;
	e[x].txh = 0;
	e[x].tw = 0
}

/* The stream of @x ends with a reason. */
inline end_stream(x)
{
	if
	:: e[x].alive ->
		e[x].alive = 0;
		if
		:: x >= 2 -> lost = lost || !cause[x - 2]
		:: x < 2 && a_at == x && !a_end ->
			a_end = 1;
			lost = lost || !cause[APP]
		:: else
		fi
	:: else
	fi
}

#define FITS(x) (sid != 0 && sid == e[x].sid)
#ifdef M_NO_DIGEST
#define DIGEST(x) 1
#else
#define DIGEST(x) (h == PRE(e[x].txh, rx))
#endif
#define VERDICT(x) (!FITS(x) -> UNKNOWN : \
	((rx >= e[x].txf && rx <= e[x].txn && e[x].rx >= txf && \
	  e[x].rx <= txn && DIGEST(x)) -> RESUME : VROLLBACK))

/* Due: HELLO_ACK for nonce @a, with the verdict about the HELLO just read. */
inline answer(x)
{
	e[x].hack = 1;
	e[x].acked = a;
	e[x].verdict = VERDICT(x)
}

/* What a completed handshake means for the daemon @x; see life.c. */
inline life_up(x)
{
	if
	:: life[x] == SERVING -> ROW(2, SERVING, UP, SERVING, x)
	:: life[x] == INCOMING -> ROW(12, INCOMING, UP, SERVING, x)
	:: life[x] == AWAY -> ROW(9, AWAY, UP, SERVING, x)
	:: life[x] == FENCED ->
		ROW(6, FENCED, PROVED, SERVING, x);
		probe[x] = 0
	:: else -> assert(false)
	fi;
	e[x].frozen = 0
}

/* HELLO_ACK that echoes our nonce; v is the peer's verdict. */
inline come_up(x)
{
	if
	:: e[x].acked != a -> answer(x)
	:: else
	fi;
	e[x].up = 1;
	e[x].peer = a;
	if
	:: v == RESUME && e[x].verdict == RESUME ->
		e[x].txf = rx;
		e[x].tw = rx
	:: else ->
		if
		:: x < 2 && e[x].alive && sid == 0 ->
			ROW_ANY(19, END, x)
		:: x < 2 && e[x].alive && sid != 0 &&
		   (v == VROLLBACK || e[x].verdict == VROLLBACK) ->
			ROW_ANY(20, ROLLBACK, x)
		:: else
		fi;
		end_stream(x);
		forget(x);
		/* the same at both ends: host's nonce first */
		e[x].sid = ((x < 2) -> 64 * e[x].me + a : 64 * a + e[x].me)
	fi;
	if
	:: x < 2 -> life_up(x)
	:: else
	fi
}

#define ACK_FITS(x) (rx >= e[x].txf && rx <= e[x].tw)

inline take_ack(x)
{
	if
	:: ACK_FITS(x) -> e[x].txf = rx
	:: else -> resync(x)
	fi
}

#ifdef M_NO_SEQUENCE
#define EXPECTED(x) (e[x].rx < 2)
#else
#define EXPECTED(x) (txn == e[x].rx)
#endif

/* The check of a header is seeded with what its sender had got and, if it is
 * numbered, with what it had sent before. */
#if defined(M_NO_HISTORY_SEED) || defined(M_NO_DIGEST) || \
    defined(M_LOADVM_UNNOTICED) || defined(M_NO_SEQUENCE)
#define HISTORY(x) 1
#else
#define HISTORY(x) (h == e[x].rxh && sid == PRE(e[x].txh, rx))
#endif

/* A frame of this attach; h is what its sender had sent before. */
inline take_data(x)
{
	if
	:: !EXPECTED(x) || !ACK_FITS(x) || !HISTORY(x) -> resync(x)
	:: else ->
		cross = cross || (e[x].alive && h != e[x].rxh);
		dup = dup || (e[x].alive && txn < e[x].rx);
		e[x].rxh = e[x].rxh + v * POW(e[x].rx);
		e[x].rx++;
		if
		:: x >= 2 && e[x].alive ->
			cross = cross || !KNOWN(v, x);
			e[x].dl = e[x].rx
		:: else
		fi;
		e[x].ack = 1;
		e[x].txf = rx
	fi
}

#define ECHOED(x) (b == e[x].me)
/* A frame of another attach fails its check. */
#define SEEDED(x) (a == e[x].peer && b == e[x].me)

inline parse(x)
{
	if
	:: k == HELLO && (!e[x].up || a == e[x].peer) -> answer(x)
	:: k == HELLO && e[x].up && a != e[x].peer ->
		resync(x);
		answer(x)
	:: k == HELLO_ACK && !e[x].up && ECHOED(x) -> come_up(x)
	:: k == DATA && e[x].up && SEEDED(x) -> take_data(x)
	:: k == ACK && e[x].up && SEEDED(x) -> take_ack(x)
	:: (k == DATA || k == ACK) && e[x].up && !SEEDED(x) -> resync(x)
	:: else /* skipped, or swallowed */
	fi
}

/* A frame fails its check. */
inline lapse(x)
{
	if
	:: e[x].up -> resync(x)
	:: else
	fi
}

/* One unit of what lies in link @in */
inline receive(x, in)
{
	c[in]?k, a, b, sid, rx, txf, txn, h, v;
	if
	:: !e[x].torn -> true
	:: e[x].torn && k == HELLO && v -> /* the preamble completes it */
		e[x].torn = 0;
		lapse(x)
	:: e[x].torn && !(k == HELLO && v) -> /* swallowed: a long frame */
		k = 0
	:: e[x].torn && !(k == HELLO && v) -> /* ... a short one */
		e[x].torn = 0;
		lapse(x);
		k = 0
	fi;
	parse(x);
	k = 0; a = 0; b = 0; sid = 0; rx = 0; txf = 0; txn = 0; h = 0; v = 0
}

#define says(x) e[x].sid, e[x].rx, e[x].txf, e[x].txn, e[x].rxh
#define WRITES(x) (e[x].hello || e[x].hack || \
		   (e[x].up && (e[x].ack || e[x].tw < e[x].txn)))

/* The next unit that is due, the handshake first */
inline transmit(x, out)
{
	if
	:: e[x].hello ->
		c[out]!HELLO, e[x].me, 0, says(x), e[x].pre;
		e[x].hello = 0;
		e[x].pre = 0
	:: !e[x].hello && e[x].hack ->
		c[out]!HELLO_ACK, e[x].me, e[x].acked, says(x), e[x].verdict;
		e[x].hack = 0
	:: !e[x].hello && !e[x].hack && e[x].tw < e[x].txn ->
		c[out]!DATA, e[x].me, e[x].peer, e[x].rxh, e[x].rx, 0, e[x].tw,
			PRE(e[x].txh, e[x].tw), DIGIT(e[x].txh, e[x].tw);
		e[x].tw++;
		e[x].ack = 0
	:: !e[x].hello && !e[x].hack && e[x].tw == e[x].txn && e[x].ack ->
		c[out]!ACK, e[x].me, e[x].peer, 0, e[x].rx, 0, 0, 0, 0;
		e[x].ack = 0
	fi
}

#define IDLE(l) (empty(c[H2G(l)]) && empty(c[G2H(l)]))
/* The peer has read all and said all: PONG would have come by now. */
#define HEARD(x, y) (e[x].up && e[x].tw == e[x].txn && e[x].txf < e[x].txn \
	&& e[y].up && !WRITES(y) && !WRITES(x))
/* HELLO is repeated when the peer had time to answer; the pauses are soon
 * longer than the second after which the peer gives up a torn frame, if it
 * does (LOSSES). */
#define REPEATS(x, y) (!e[x].up && !WRITES(x) && !(LOSSES && e[y].torn))

/* ---- daemons ---------------------------------------------------------- */

#ifdef M_DELIVER_FROZEN
#define MELTED(i) 1
#else
#define MELTED(i) (!e[i].frozen)
#endif

/* A byte to the application. It must be the next one of its own history. */
inline deliver(i)
{
	dup = dup || e[i].dl < a_r;
	lost = lost || e[i].dl > a_r;
	cross = cross || PRE(e[i].rxh, e[i].dl) != a_h;
	a_h = a_h + DIGIT(e[i].rxh, e[i].dl) * POW(a_r);
	a_r++;
	e[i].dl++
}

/* The application of daemon 0 shows its token to daemon 1. */
inline follow()
{
	if
	:: e[1].dl == a_r && e[1].txn <= a_s ->
		awaited = 0;
		a_at = 1;
		a_gone = 1;
		a_s = e[1].txn
	:: else -> /* session-lost */
		awaited = 0;
		a_end = 1;
		lost = lost || !cause[APP];
		reset_from(1)
	fi
}

/* RESET is a frame like others; here it arrives at once. */
inline reset_from(i)
{
	e[i].alive = 0;
	if
	:: e[2 + LINK(i)].sid == e[i].sid -> end_stream(2 + LINK(i))
	:: else
	fi
}

/* The application looks for its stream as soon as daemon 0 is fenced, and has
 * it where the VM turns out to run. */
#ifdef M_FOLLOW_EARLY
#define LEFT (a_left || life[0] == FENCED)
#else
#define LEFT (a_left || (life[0] == FENCED && e[1].up && !e[1].frozen))
#endif
/* Nothing is parsed while frozen before the probe, or while HELD. */
#define READS(i) (here[i] && linked[i] && !(e[i].frozen && e[i].up) && \
		  life[i] != HELD && life[i] != LOST && !probe[i])
#define SAYS(i)  (here[i] && linked[i] && life[i] != HELD && \
		  life[i] != LOST && !(e[i].frozen && e[i].up) && !probe[i])

proctype host(byte i)
{
	mtype:kind k;
	byte a, b, rx, txf, txn, h, v;
	short sid;

	do
	:: atomic { here[i] && !linked[i] && life[i] != HELD ->
		ROW_ANY(1, ATTACH, i);
		linked[i] = 1;
		e[i].torn = 0;
		probe[i] = 0;
		resync(i) }
	:: atomic { here[i] && probe[i] && life[i] == FENCED && linked[i] ->
		ROW(5, FENCED, PROBE, FENCED, i);
		probe[i] = 0;
#if !defined(M_UNFENCE_ON_DATA) && !defined(M_UNFENCE_BY_TIMER)
		resync(i);
#endif
	   }
	:: atomic { READS(i) && nempty(c[G2H(LINK(i))]) ->
		receive(i, G2H(LINK(i)));
		do
		:: SAYS(i) && WRITES(i) && len(c[H2G(LINK(i))]) < CAP ->
			transmit(i, H2G(LINK(i)))
		:: else -> break
		od }
	:: atomic { SAYS(i) && WRITES(i) && nfull(c[H2G(LINK(i))]) ->
		transmit(i, H2G(LINK(i))) }
#ifdef M_UNFENCE_ON_DATA
	:: atomic { here[i] && life[i] == FENCED && !probe[i] && e[i].up &&
		    c[G2H(LINK(i))]?[DATA, _, _, _, _, _, _, _, _] ->
		ROW(6, FENCED, PROVED, SERVING, i);
		e[i].frozen = 0 }
#endif
#ifdef M_UNFENCE_BY_TIMER
	:: atomic { here[i] && life[i] == FENCED && !probe[i] ->
		ROW(6, FENCED, PROVED, SERVING, i);
		e[i].frozen = 0 }
#endif
	:: atomic { SAYS(i) && READS(i) && IDLE(LINK(i)) &&
		    REPEATS(i, 2 + LINK(i)) &&
		    !(runs[LINK(i)] && WRITES(2 + LINK(i))) -> e[i].hello = 1 }
	:: atomic { READS(i) && IDLE(LINK(i)) && HEARD(i, 2 + LINK(i)) ->
		resync(i) }
	:: atomic { READS(i) && e[i].torn && empty(c[G2H(LINK(i))]) ->
		e[i].torn = 0;
		resync(i) }
	:: atomic { life[i] == LOST ->
		ROW(18, LOST, RENEWED, SERVING, i);
		resync(i) }
	/* the application */
	:: atomic { here[i] && a_at == i && !a_end && e[i].alive && MELTED(i) &&
		    e[i].dl < e[i].rx -> deliver(i) }
	:: atomic { here[i] && a_at == i && !a_end && e[i].alive && e[i].up &&
		    MELTED(i) && e[i].txn < NH ->
		e[i].txh = e[i].txh + KNEW * POW(e[i].txn);
		e[i].txn++;
		a_s++ }
	:: atomic { i == 1 && MOVES && awaited && a_at == 0 && !a_end && LEFT &&
		    e[1].alive -> follow() }
	/* it has hung up here: rightly so only if the VM runs there, too */
	:: atomic { i == 0 && MOVES && a_gone && e[0].alive && MELTED(0) ->
		cause[0] = cause[0] || runs[1];
		reset_from(0) }
	:: atomic { i == 1 && MOVES && quiet && a_at == 0 && !a_end &&
		    a_left && !e[1].alive ->
		a_end = 1;
		lost = lost || !cause[APP] }
	/* nobody shows a token */
	:: atomic { i == 1 && doubled && awaited && e[1].alive && e[1].up &&
		    quiet && (a_end || !a_left) ->
		awaited = 0;
		reset_from(1) }
	od
}

/* ---- the guest -------------------------------------------------------- */

#if UPGRADES
#define OWNER(p) (here[0] -> 0 : 1)
#else
#define OWNER(p) (p)
#endif

proctype guest(byte p)
{
	mtype:kind k;
	byte a, b, rx, txf, txn, h, v;
	short sid;
	byte x = 2 + p;

	do
	:: atomic { runs[p] && nempty(c[H2G(p)]) -> receive(x, H2G(p));
		do
		:: WRITES(x) && len(c[G2H(p)]) < CAP -> transmit(x, G2H(p))
		:: else -> break
		od }
	:: atomic { runs[p] && WRITES(x) && nfull(c[G2H(p)]) ->
		transmit(x, G2H(p)) }
	:: atomic { runs[p] && IDLE(p) && REPEATS(x, OWNER(p)) &&
		    !(SAYS(OWNER(p)) && WRITES(OWNER(p))) -> e[x].hello = 1 }
	:: atomic { runs[p] && IDLE(p) && HEARD(x, OWNER(p)) ->
		resync(x) }
	:: atomic { runs[p] && LOSSES && e[x].torn && empty(c[H2G(p)]) ->
		e[x].torn = 0;
		resync(x) }
	:: atomic { runs[p] && e[x].up && e[x].alive && e[x].txn < NG ->
		e[x].txh = e[x].txh + branch[p] * POW(e[x].txn);
		e[x].txn++ }
	od
}

/* ---- what happens to them --------------------------------------------- */

inline copy(to, from)
{
	to.up = from.up; to.me = from.me; to.peer = from.peer;
	to.acked = from.acked; to.verdict = from.verdict;
	to.hello = from.hello; to.pre = from.pre; to.hack = from.hack;
	to.ack = from.ack; to.torn = from.torn; to.sid = from.sid;
	to.alive = from.alive; to.rx = from.rx; to.rxh = from.rxh;
	to.dl = from.dl; to.txf = from.txf; to.txn = from.txn;
	to.txh = from.txh; to.tw = from.tw; to.frozen = from.frozen
}

inline save(i)
{
	copy(blob, e[i]);
	have_blob = 1;
#ifdef M_SAVE_WITHOUT_QUEUE
	blob.dl = blob.rx;
#endif
	e[i].frozen = 1
}

/* A Save at a VM that stands still */
inline save_event(i)
{
	if
	:: life[i] == SERVING ->
		ROW(3, SERVING, SAVE, FENCED, i);
		save(i);
		probe[i] = 1
	:: life[i] == FENCED ->
		ROW(7, FENCED, SAVE, FENCED, i);
		save(i);
		probe[i] = 1
	:: life[i] == INCOMING && e[i].sid == 0 ->
		ROW(4, INCOMING, SAVE, INCOMING, i);
		have_blob = 0
	:: life[i] == INCOMING && e[i].sid != 0 ->
		ROW(4, INCOMING, SAVE, FENCED, i);
		save(i);
		probe[i] = 1
	:: else
	fi
}

/* What a saved state becomes in a daemon */
inline load(i)
{
	copy(e[i], blob);
	e[i].frozen = 0;
	e[i].torn = 0;
	e[i].tw = e[i].txf;
	resync(i)
}

/* End of the link, of QEMU, or postmigrate: the VM is elsewhere */
inline gone()
{
	ROW(8, FENCED, GONE, AWAY, 0);
	a_left = e[0].alive;
	forget(0);
	e[0].frozen = 0;
	probe[0] = 0;
	resync(0)
}

/* The image of the VM at place 0 starts at place 1. What the guest had put
 * into its ring, but not yet into the socket, comes along: the last k units.
 * The source's QEMU may push the same into its own socket all the same. */
inline arrive()
{
	copy(e[3], snap);
	branch[1] = branch[0];
	k = len(c[1]);
	do
	:: k > 0 -> k--
	:: break
	od;
	/* leave out the first k by going round once */
	n = len(c[1]);
	do
	:: n > 0 ->
		c[1]?m, f0, f1, f2, f3, f4, f5, f6, f7;
		c[1]!m, f0, f1, f2, f3, f4, f5, f6, f7;
		if
		:: k > 0 -> k--
		:: else -> c[3]!m, f0, f1, f2, f3, f4, f5, f6, f7
		fi;
		n--
	:: else -> break
	od;
	/* the guest may have read half of what was on its way */
	if
	:: nempty(c[0]) -> e[3].torn = e[3].up
	:: true
	fi;
	m = 0; f0 = 0; f1 = 0; f2 = 0; f3 = 0; f4 = 0; f5 = 0; f6 = 0; f7 = 0
}

#define ALL_CAUSES cause[0] = 1; cause[1] = 1; cause[APP] = 1

/* The destination has got its state, or nothing. */
inline decide()
{
	if
	:: atomic { runs[1] = 1 };
		if
		:: atomic { life[0] == FENCED -> gone();
			if
			:: true
			:: DOUBLES; /* somebody says cont */
				runs[0] = 1;
				branch[0] = 2;
				cause[0] = 1;
				doubled = 1
			fi }
		:: atomic { DOUBLES; /* cancelled within Save */
			runs[0] = 1;
			branch[1] = 2;
			cause[1] = 1;
			doubled = 1 }
		:: atomic { life[0] != FENCED -> skip }
		fi
	:: atomic { runs[0] = 1; /* the destination is dead */
		cause[1] = 1 }
	fi
}

/* Whoever moves, saves and upgrades */
proctype manager()
{
	byte moves = MOVES, saves = SAVES, loads = LOADS, upgrades = UPGRADES;
	byte k, n, f0, f1, f3, f4, f5, f6, f7;
	short f2;
	mtype:kind m;

	do
	:: atomic { moves > 0 && runs[0] && (life[0] == SERVING ||
					    life[0] == FENCED) ->
		moves--;
		runs[0] = 0;
		save_event(0);
		copy(snap, e[2]) }
		if
		:: atomic { runs[0] = 1 } /* it failed */
		:: atomic { life[1] == INCOMING && life[0] == FENCED ->
			arrive();
			ROW(10, INCOMING, LOAD, INCOMING, 1);
			load(1);
			awaited = 1 }
		:: atomic { life[1] == INCOMING && life[0] == FENCED ->
			/* the state was lost on the way */
			ALL_CAUSES;
			arrive();
			ROW(11, INCOMING, LOAD_BAD, INCOMING, 1);
			resync(1) }
		:: atomic { life[0] != FENCED -> runs[0] = 1 }
		fi;
		if
		:: runs[0] -> skip
		:: else -> decide()
		fi
	:: atomic { saves > 0 && runs[0] -> saves--;
		runs[0] = 0;
		save_event(0) };
		atomic { runs[0] = 1 }
	:: atomic { saves > 0 && MOVES && runs[1] -> saves--;
		runs[1] = 0;
		save_event(1) };
		atomic { runs[1] = 1 }
	:: atomic { loads > 0 && runs[0] && (life[0] == SERVING ||
					    life[0] == FENCED) ->
		/* the image was made before all of this */
		loads--;
		ALL_CAUSES;
		copy(e[2], snap);
		branch[0] = 2;
		if
		:: life[0] == SERVING -> ROW(13, SERVING, LOAD, SERVING, 0)
		:: else -> ROW(13, FENCED, LOAD, FENCED, 0);
			probe[0] = 0
		fi;
#ifndef M_LOADVM_UNNOTICED
		resync(0)
#endif
	   }
	:: atomic { upgrades > 0 && life[0] == SERVING && linked[0] ->
		upgrades--;
		ROW(14, SERVING, HOLD, HELD, 0);
		save(0) };
		if
		:: atomic { ROW(16, HELD, REFUSED, SERVING, 0);
			e[0].frozen = 0 }
		:: atomic { ROW(15, HELD, ADOPTED, HELD, 0);
			here[0] = 0;
			here[1] = 1;
			linked[1] = 1;
			life[1] = SERVING;
			a_at = 1;
			load(1) };
			upgrades = 0;
#ifdef M_TWO_OWNERS
			atomic { ROW(16, HELD, REFUSED, SERVING, 0);
				here[0] = 1;
				e[0].frozen = 0 }
#endif
		fi
	:: break
	od;
	quiet = 1
}

inline drop_first(ch)
{
	c[ch]?m, f0, f1, f2, f3, f4, f5, f6, f7;
	m = 0; f0 = 0; f1 = 0; f2 = 0; f3 = 0; f4 = 0; f5 = 0; f6 = 0; f7 = 0
}

/* A middle is lost; a torn frame may be what is left of it. */
inline lose(ch, x)
{
	drop_first(ch);
	if
	:: e[x].torn = e[x].up
	:: true
	fi
}

/* What comes by itself: cuts, losses, replays, deaths, reboots */
proctype weather()
{
	byte cuts = CUTS, losses = LOSSES, replays = REPLAYS, deaths = DEATHS;
	byte torns = TORNS, reboots = REBOOTS;
	byte i, f0, f1, f3, f4, f5, f6, f7;
	short f2;
	mtype:kind m;

	do
	:: atomic { cuts > 0 -> cuts--;
		if
		:: i = 0
		:: MOVES -> i = 1
		:: UPGRADES && here[1] -> i = 1
		fi;
		if
		:: !here[i] || !linked[i] || life[i] == HELD || life[i] == LOST
		:: here[i] && linked[i] && life[i] == FENCED ->
			/* nobody knows whether the VM has left */
			if
			:: i == 0 && MOVES == 0 -> ALL_CAUSES; gone()
			:: else
			fi
		:: here[i] && linked[i] && life[i] != FENCED &&
		   life[i] != HELD && life[i] != LOST ->
			ROW_ANY(2, CUT, i);
			linked[i] = 0;
			e[i].up = 0;
			e[i].hello = 0;
			e[i].hack = 0;
			/* a half-read frame, then any first part is lost */
			if
			:: nempty(c[H2G(LINK(i))]) -> e[2 + LINK(i)].torn = e[2 + LINK(i)].up
			:: true
			fi;
			do
			:: nempty(c[H2G(LINK(i))]) -> drop_first(H2G(LINK(i)))
			:: empty(c[H2G(LINK(i))]) -> break
			od;
			do
			:: nempty(c[G2H(LINK(i))]) -> drop_first(G2H(LINK(i)))
			:: break
			od
		fi;
		i = 0 }
	:: atomic { losses > 0 && nempty(c[0]) -> losses--;
		lose(0, 2) }
	:: atomic { losses > 0 && nempty(c[1]) -> losses--;
		lose(1, LINK(0)) }
	:: atomic { replays > 0 && len(c[0]) == 1 -> replays--;
		c[0]?<m, f0, f1, f2, f3, f4, f5, f6, f7>;
		c[0]!m, f0, f1, f2, f3, f4, f5, f6, f7;
		m = 0; f0 = 0; f1 = 0; f2 = 0; f3 = 0; f4 = 0; f5 = 0; f6 = 0; f7 = 0 }
	:: atomic { replays > 0 && (len(c[1]) == 1 || len(c[1]) == 2) -> replays--;
		c[1]?<m, f0, f1, f2, f3, f4, f5, f6, f7>;
		c[1]!m, f0, f1, f2, f3, f4, f5, f6, f7;
		m = 0; f0 = 0; f1 = 0; f2 = 0; f3 = 0; f4 = 0; f5 = 0; f6 = 0; f7 = 0 }
	:: atomic { deaths > 0 && here[0] && life[0] != HELD &&
		    life[0] != LOST -> deaths--;
		ROW_ANY(17, DEATH, 0);
#ifdef M_ACK_EARLY
		if
		:: e[0].rx > e[0].dl ->
			e[0].rx--;
			e[0].rxh = PRE(e[0].rxh, e[0].rx)
		:: else
		fi;
#endif
		probe[0] = 0;
		resync(0) }
	:: atomic { torns > 0 && here[0] && life[0] != LOST &&
		    life[0] != HELD -> torns--;
		ALL_CAUSES;
		ROW_ANY(18, TORN, 0);
		life[0] = LOST;
		end_stream(0);
		forget(0);
		probe[0] = 0;
		e[0].frozen = 0 }
	:: atomic { reboots > 0 && runs[0] -> reboots--;
		ALL_CAUSES;
		forget(2);
		e[2].torn = 0;
		resync(2) }
	:: break
	od
}

inline established(x, own, other)
{
	e[x].up = 1;
	e[x].me = own;
	e[x].peer = other;
	e[x].acked = other;
	e[x].verdict = RESUME;
	e[x].sid = 1;
	e[x].alive = 1
}

init {
	atomic {
		life[0] = SERVING;
		life[1] = INCOMING;
		here[0] = 1;
		here[1] = (MOVES > 0);
		linked[0] = 1;
		linked[1] = (MOVES > 0);
		runs[0] = 1;
		branch[0] = 1;
		branch[1] = 1;
		established(0, 4, 2);
		established(2, 2, 4);
		copy(snap, e[2]);
		/* early, without a session, read by nobody yet */
		if
		:: MOVES -> c[H2G(1)]!HELLO, 1, 0, 0, 0, 0, 0, 0, 1;
			e[1].me = 1
		:: else
		fi;
		run host(0);
		run guest(0);
		if
		:: MOVES -> run host(1); run guest(1)
		:: UPGRADES -> run host(1)
		:: else
		fi;
		if
		:: MOVES + SAVES + LOADS + UPGRADES > 0 -> run manager()
		:: else -> quiet = 1
		fi;
		if
		:: CUTS + LOSSES + REPLAYS + DEATHS + TORNS + REBOOTS > 0 ->
			run weather()
		:: else
		fi
	}
}
