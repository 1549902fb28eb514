/* SPDX-License-Identifier: MIT */
/*
 * life.c - the rows of docs/continuity.md section 2
 */
#include "host/life.h"

#include <stddef.h>

#define IN(state) (1u << LIFE_##state)
#define ANY       ((1u << LIFE_NUM) - 1u)
/* Of a row that leaves the state as it is. */
#define SAME LIFE_NUM

#define FREEZE_SAVE (LIFE_DO_FREEZE | LIFE_DO_SAVE)

/* The first row that fits counts. */
static const struct row {
	unsigned int number; /* in the document */
	unsigned int in;
	enum life_event ev;
	enum life next;
	unsigned int actions;
} rows[] = {
	/* HELD: the sockets are the successor's, perhaps; the supervisor
	 * keeps what comes until it is decided. */
	{1, ANY & ~IN(HELD), LIFE_EV_ATTACH, SAME, LIFE_DO_ATTACH},
	{2, ANY & ~IN(FENCED) & ~IN(HELD), LIFE_EV_CUT, SAME, LIFE_DO_DETACH},
	{3, IN(SERVING) | IN(INCOMING), LIFE_EV_SAVE, LIFE_FENCED, FREEZE_SAVE},
	{5, IN(FENCED), LIFE_EV_PROBE, SAME, LIFE_DO_RESYNC},
	/* The engine has thawed itself: a handshake begun after the freeze
	 * is the proof. */
	{6, IN(FENCED), LIFE_EV_PROVED, LIFE_SERVING, 0},
	{7, IN(FENCED), LIFE_EV_SAVE, SAME, FREEZE_SAVE},
	{8, IN(FENCED), LIFE_EV_GONE, LIFE_AWAY, LIFE_DO_MOVED},
	{8, IN(FENCED), LIFE_EV_CUT, LIFE_AWAY, LIFE_DO_DETACH | LIFE_DO_MOVED},
	{9, IN(AWAY), LIFE_EV_UP, LIFE_SERVING, 0},
	{9, IN(AWAY), LIFE_EV_SAVE, SAME, LIFE_DO_NOTHING},
	{9, IN(AWAY), LIFE_EV_LOAD, SAME, LIFE_DO_RESYNC},
	{9, IN(AWAY), LIFE_EV_LOAD_BAD, SAME, LIFE_DO_RESYNC},
	{10, IN(INCOMING), LIFE_EV_LOAD, SAME, LIFE_DO_LOAD | LIFE_DO_RESYNC},
	{11, IN(INCOMING), LIFE_EV_LOAD_BAD, SAME,
	 LIFE_DO_EXPLAIN | LIFE_DO_RESYNC},
	{12, IN(INCOMING), LIFE_EV_UP, LIFE_SERVING, 0},
	{13, IN(SERVING) | IN(FENCED), LIFE_EV_LOAD, SAME, LIFE_DO_RESYNC},
	{13, IN(SERVING) | IN(FENCED), LIFE_EV_LOAD_BAD, SAME, LIFE_DO_RESYNC},
	{14, IN(SERVING), LIFE_EV_HOLD, LIFE_HELD, FREEZE_SAVE},
	/* Case 21: two copies at once are one too many. */
	{14, ANY & ~IN(HELD), LIFE_EV_HOLD, SAME, LIFE_DO_REFUSE},
	{15, IN(HELD), LIFE_EV_ADOPTED, SAME, LIFE_DO_EXIT},
	{16, IN(HELD), LIFE_EV_REFUSED, LIFE_SERVING, LIFE_DO_THAW},
	{17, ANY & ~IN(LOST), LIFE_EV_DEATH, SAME,
	 LIFE_DO_ADOPT | LIFE_DO_RESYNC},
	{18, ANY, LIFE_EV_TORN, LIFE_LOST, LIFE_DO_RENEW},
	{18, IN(LOST), LIFE_EV_RENEWED, LIFE_SERVING, LIFE_DO_RESYNC},
	/* What else the session says of itself changes no owner. */
	{19, ANY, LIFE_EV_END, SAME, 0},
	{20, ANY, LIFE_EV_ROLLBACK, SAME, 0},
	{2, IN(SERVING), LIFE_EV_UP, SAME, 0},
	{2, IN(SERVING), LIFE_EV_GONE, SAME, 0},
};

bool life_step(struct life_step *ret, enum life now, enum life_event ev,
	       bool has_session)
{
	if (now == LIFE_INCOMING && ev == LIFE_EV_SAVE && !has_session) {
		*ret = (struct life_step){now, LIFE_DO_NOTHING}; /* row 4 */
		return true;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];

		if (!(r->in & (1u << now)) || r->ev != ev)
			continue;
		*ret = (struct life_step){r->next == SAME ? now : r->next,
					  r->actions};
		return true;
	}
	return false;
}

const char *life_name(enum life l)
{
	static const char *const names[LIFE_NUM] = {
		[LIFE_SERVING] = "serving", [LIFE_INCOMING] = "incoming",
		[LIFE_FENCED] = "fenced",   [LIFE_AWAY] = "away",
		[LIFE_HELD] = "held",       [LIFE_LOST] = "lost",
	};

	return (unsigned int)l < LIFE_NUM ? names[l] : "?";
}

const char *life_event_name(enum life_event ev)
{
	static const char *const names[LIFE_EV_NUM] = {
		[LIFE_EV_ATTACH] = "ATTACH",
		[LIFE_EV_CUT] = "CUT",
		[LIFE_EV_SAVE] = "SAVE",
		[LIFE_EV_PROBE] = "PROBE",
		[LIFE_EV_PROVED] = "PROVED",
		[LIFE_EV_GONE] = "GONE",
		[LIFE_EV_LOAD] = "LOAD",
		[LIFE_EV_LOAD_BAD] = "LOAD_BAD",
		[LIFE_EV_UP] = "UP",
		[LIFE_EV_HOLD] = "HOLD",
		[LIFE_EV_ADOPTED] = "ADOPTED",
		[LIFE_EV_REFUSED] = "REFUSED",
		[LIFE_EV_DEATH] = "DEATH",
		[LIFE_EV_TORN] = "TORN",
		[LIFE_EV_RENEWED] = "RENEWED",
		[LIFE_EV_END] = "END",
		[LIFE_EV_ROLLBACK] = "ROLLBACK",
	};

	return (unsigned int)ev < LIFE_EV_NUM ? names[ev] : "?";
}
