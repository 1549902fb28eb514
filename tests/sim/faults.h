/* SPDX-License-Identifier: MIT */
/*
 * faults.h - what a link and the processes at its ends do wrong
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdint.h>
#include <stdio.h>

struct world;

/*
 * Injected events, in classes of those who must not mind, or may lose
 * sessions: see the table in faults.c.
 */
#define SIM_FAULTS(X)                                                  \
	X(CUT, "cut", "the link is cut, who notices differs")          \
	X(SUFFIX, "suffix", "the last bytes are lost, nobody is told") \
	X(MIDDLE, "middle", "bytes in the middle are lost")            \
	X(REPLAY, "replay", "bytes that were read come again")         \
	X(FLIP, "flip", "a bit changes")                               \
	X(STALL, "stall", "a direction stands still")                  \
	X(PAUSE, "pause", "an end stands still")                       \
	X(CLOCK, "clock", "an end's clock jumps")                      \
	X(ATTACH, "attach", "an end attaches again")                   \
	X(RESYNC, "resync", "an end begins a new handshake")           \
	X(REMAP, "remap", "an engine's memory is mapped elsewhere")    \
	X(HOLD, "hold", "frozen and thawed: an upgrade that failed")   \
	X(FENCE, "fence", "frozen, saved and proved: savevm")          \
	X(MOVE, "move", "saved and loaded: a migration, an upgrade")   \
	X(FORGE, "forge", "an application sends recorded link bytes")  \
	X(ADOPT, "adopt", "a daemon dies, the next takes its memory")  \
	X(STATELESS, "stateless", "a new daemon says: *migrated*")     \
	X(REFUSED, "refused", "a new daemon says: *cloned*")           \
	X(RESTART, "restart", "a daemon dies, all it knew is lost")    \
	X(BYE, "bye", "an end says goodbye")                           \
	X(ROLLBACK, "rollback", "an end goes back to a snapshot")      \
	X(CLONE, "clone", "an end is put aside, a copy takes its place")

enum fault {
#define X(name, word, text) FAULT_##name,
	SIM_FAULTS(X)
#undef X
	FAULT_NUM
};

/* faults_weather() - delay, rate, stalls: what every link does */
void faults_weather(struct world *w);

/* faults_strike() - one random fault that the profile allows */
void faults_strike(struct world *w);

/* faults_storm() - the same for a run in which faults are the rule */
void faults_storm(struct world *w);

/* faults_print() - "N faults: N cut, N suffix, ..." */
void faults_print(const uint64_t count[FAULT_NUM], FILE *out);

#endif /* SIM_FAULTS_H */
