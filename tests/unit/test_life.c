/* SPDX-License-Identifier: MIT */
/* Who owns the session: each row of docs/continuity.md section 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/life.h"

#define NO        0u
#define NEVER     LIFE_NUM
#define COPY      (LIFE_DO_FREEZE | LIFE_DO_SAVE)
#define LEAVE     (LIFE_DO_DETACH | LIFE_DO_MOVED)
#define TAKE      (LIFE_DO_LOAD | LIFE_DO_RESYNC)
#define TELL      (LIFE_DO_EXPLAIN | LIFE_DO_RESYNC)
#define SUCCEED   (LIFE_DO_ADOPT | LIFE_DO_RESYNC)
#define S(state)  LIFE_##state
#define EV(event) LIFE_EV_##event

/* Row, where, what, next (NEVER: cannot happen), actions. */
static const struct {
	enum life in;
	enum life_event ev;
	enum life next;
	unsigned int actions;
} expected[] = {
	{S(SERVING), EV(ATTACH), S(SERVING), LIFE_DO_ATTACH},
	{S(INCOMING), EV(ATTACH), S(INCOMING), LIFE_DO_ATTACH},
	{S(FENCED), EV(ATTACH), S(FENCED), LIFE_DO_ATTACH},
	{S(AWAY), EV(ATTACH), S(AWAY), LIFE_DO_ATTACH},
	{S(HELD), EV(ATTACH), NEVER, NO},
	{S(SERVING), EV(CUT), S(SERVING), LIFE_DO_DETACH},
	{S(INCOMING), EV(CUT), S(INCOMING), LIFE_DO_DETACH},
	{S(FENCED), EV(CUT), S(AWAY), LEAVE},
	{S(AWAY), EV(CUT), S(AWAY), LIFE_DO_DETACH},
	{S(HELD), EV(CUT), NEVER, NO},
	{S(SERVING), EV(SAVE), S(FENCED), COPY},
	{S(INCOMING), EV(SAVE), S(FENCED), COPY},
	{S(FENCED), EV(SAVE), S(FENCED), COPY},
	{S(AWAY), EV(SAVE), S(AWAY), LIFE_DO_NOTHING},
	/* It waits for the successor, or for the roll-back. */
	{S(HELD), EV(SAVE), NEVER, NO},
	{S(SERVING), EV(PROBE), NEVER, NO},
	{S(INCOMING), EV(PROBE), NEVER, NO},
	{S(FENCED), EV(PROBE), S(FENCED), LIFE_DO_RESYNC},
	{S(HELD), EV(PROBE), NEVER, NO},
	{S(SERVING), EV(PROVED), NEVER, NO},
	{S(FENCED), EV(PROVED), S(SERVING), NO},
	{S(AWAY), EV(PROVED), NEVER, NO},
	{S(HELD), EV(PROVED), NEVER, NO},
	{S(SERVING), EV(GONE), S(SERVING), NO},
	{S(INCOMING), EV(GONE), NEVER, NO},
	{S(FENCED), EV(GONE), S(AWAY), LIFE_DO_MOVED},
	{S(HELD), EV(GONE), NEVER, NO},
	{S(SERVING), EV(LOAD), S(SERVING), LIFE_DO_RESYNC},
	{S(INCOMING), EV(LOAD), S(INCOMING), TAKE},
	{S(FENCED), EV(LOAD), S(FENCED), LIFE_DO_RESYNC},
	{S(AWAY), EV(LOAD), S(AWAY), LIFE_DO_RESYNC},
	{S(HELD), EV(LOAD), NEVER, NO},
	{S(SERVING), EV(LOAD_BAD), S(SERVING), LIFE_DO_RESYNC},
	{S(INCOMING), EV(LOAD_BAD), S(INCOMING), TELL},
	{S(FENCED), EV(LOAD_BAD), S(FENCED), LIFE_DO_RESYNC},
	{S(HELD), EV(LOAD_BAD), NEVER, NO},
	{S(SERVING), EV(UP), S(SERVING), NO},
	{S(INCOMING), EV(UP), S(SERVING), NO},
	{S(AWAY), EV(UP), S(SERVING), NO},
	/* Only what answers the probe lets a fenced session go on. */
	{S(FENCED), EV(UP), NEVER, NO},
	{S(HELD), EV(UP), NEVER, NO},
	{S(SERVING), EV(HOLD), S(HELD), COPY},
	{S(INCOMING), EV(HOLD), S(INCOMING), LIFE_DO_REFUSE},
	{S(FENCED), EV(HOLD), S(FENCED), LIFE_DO_REFUSE},
	{S(AWAY), EV(HOLD), S(AWAY), LIFE_DO_REFUSE},
	{S(HELD), EV(HOLD), NEVER, NO},
	{S(HELD), EV(ADOPTED), S(HELD), LIFE_DO_EXIT},
	{S(SERVING), EV(ADOPTED), NEVER, NO},
	{S(HELD), EV(REFUSED), S(SERVING), LIFE_DO_THAW},
	{S(SERVING), EV(REFUSED), NEVER, NO},
	{S(FENCED), EV(REFUSED), NEVER, NO},
	{S(SERVING), EV(DEATH), S(SERVING), SUCCEED},
	{S(INCOMING), EV(DEATH), S(INCOMING), SUCCEED},
	{S(FENCED), EV(DEATH), S(FENCED), SUCCEED},
	{S(AWAY), EV(DEATH), S(AWAY), SUCCEED},
	{S(SERVING), EV(TORN), S(LOST), LIFE_DO_RENEW},
	{S(INCOMING), EV(TORN), S(LOST), LIFE_DO_RENEW},
	{S(FENCED), EV(TORN), S(LOST), LIFE_DO_RENEW},
	{S(HELD), EV(TORN), S(LOST), LIFE_DO_RENEW},
	/* And never INCOMING: what follows must not take a Load. */
	{S(LOST), EV(RENEWED), S(SERVING), LIFE_DO_RESYNC},
	{S(SERVING), EV(RENEWED), NEVER, NO},
	{S(SERVING), EV(END), S(SERVING), NO},
	{S(FENCED), EV(END), S(FENCED), NO},
	{S(SERVING), EV(ROLLBACK), S(SERVING), NO},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct life_step got = {LIFE_NUM, ~0u};
		bool ok = life_step(&got, expected[i].in, expected[i].ev, true);

		print_message("# %s %s\n", life_name(expected[i].in),
			      life_event_name(expected[i].ev));
		assert_int_equal(ok, expected[i].next != NEVER);
		if (!ok)
			continue;
		assert_int_equal(got.next, expected[i].next);
		assert_int_equal(got.actions, expected[i].actions);
	}
}

/* Row 4: nothing to save, and no fence that nobody would take down. */
static void test_save_without_session(void **state)
{
	struct life_step got;

	(void)state;
	assert_true(life_step(&got, LIFE_INCOMING, LIFE_EV_SAVE, false));
	assert_int_equal(got.next, LIFE_INCOMING);
	assert_int_equal(got.actions, LIFE_DO_NOTHING);
}

/* A copy that left may go on by PROVED, REFUSED or DEATH, by nothing else. */
static void test_frozen_states_are_left_by_proof(void **state)
{
	static const enum life frozen[] = {LIFE_FENCED, LIFE_HELD};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (int ev = 0; ev < LIFE_EV_NUM; ev++) {
			struct life_step got;

			if (!life_step(&got, frozen[i], (enum life_event)ev,
				       true) ||
			    got.next != LIFE_SERVING)
				continue;
			assert_int_equal(ev, frozen[i] == LIFE_FENCED
						     ? LIFE_EV_PROVED
						     : LIFE_EV_REFUSED);
		}
	}
}

/* Only INCOMING takes a Load. */
static void test_load_only_incoming(void **state)
{
	(void)state;
	for (int l = 0; l < LIFE_NUM; l++) {
		struct life_step got = {LIFE_NUM, 0};

		life_step(&got, (enum life)l, LIFE_EV_LOAD, true);
		assert_int_equal((got.actions & LIFE_DO_LOAD) != 0,
				 l == LIFE_INCOMING);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (int l = 0; l < LIFE_NUM; l++)
		assert_string_not_equal(life_name((enum life)l), "?");
	for (int ev = 0; ev < LIFE_EV_NUM; ev++)
		assert_string_not_equal(life_event_name((enum life_event)ev),
					"?");
	assert_string_equal(life_name(LIFE_NUM), "?");
	assert_string_equal(life_event_name(LIFE_EV_NUM), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_save_without_session),
		cmocka_unit_test(test_frozen_states_are_left_by_proof),
		cmocka_unit_test(test_load_only_incoming),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
