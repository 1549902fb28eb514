/* SPDX-License-Identifier: MIT */
/* test_sched.c - shares, weights, owners, and the sparse before the bulk */
#include "pair.h"

#include "session/sched.h"

#define N       64u
#define QUANTUM 1000u

static struct sched *make(void)
{
	struct sched *sc = malloc(sched_size(N));

	assert_non_null(sc);
	sched_init(sc, N, QUANTUM);
	return sc;
}

/* @turns frames of @len bytes; adds what each stream got to @got. */
static void serve(struct sched *sc, uint32_t turns, uint32_t len,
		  uint64_t got[N])
{
	while (turns--) {
		uint16_t i = sched_pick(sc);

		assert_int_not_equal(i, SCHED_NONE);
		got[i] += len;
		sched_charge(sc, i, len);
		assert_null(sched_check(sc));
	}
}

static void nobody_is_picked_when_nobody_is_backlogged(void **state)
{
	struct sched *sc = make();

	(void)state;
	assert_int_equal(sched_pick(sc), SCHED_NONE);
	sched_add(sc, 3, 1, 1);
	assert_int_equal(sched_pick(sc), SCHED_NONE);
	sched_set(sc, 3, true);
	assert_int_equal(sched_pick(sc), 3);
	sched_set(sc, 3, false);
	assert_int_equal(sched_pick(sc), SCHED_NONE);
	sched_set(sc, 9, true); /* was never added */
	assert_int_equal(sched_pick(sc), SCHED_NONE);
	sched_remove(sc, 3);
	sched_remove(sc, 3);
	assert_null(sched_check(sc));
	free(sc);
}

static void sixteen_streams_get_the_same(void **state)
{
	struct sched *sc = make();
	uint64_t got[N] = {0};

	(void)state;
	for (uint16_t i = 0; i < 16; i++) {
		sched_add(sc, i, 1, 1);
		sched_set(sc, i, true);
	}
	serve(sc, 16 * 100, QUANTUM, got);
	for (int i = 0; i < 16; i++)
		assert_in_range(got[i], 99 * QUANTUM, 101 * QUANTUM);
	free(sc);
}

static void frame_size_does_not_change_shares(void **state)
{
	struct sched *sc = make();
	uint64_t got[N] = {0};

	(void)state;
	sched_add(sc, 0, 1, 1);
	sched_add(sc, 1, 2, 1);
	sched_set(sc, 0, true);
	sched_set(sc, 1, true);
	for (int n = 0; n < 20000; n++) {
		uint16_t i = sched_pick(sc);
		uint32_t len = i ? 100 : QUANTUM;

		got[i] += len;
		sched_charge(sc, i, len);
	}
	assert_in_range(got[0], got[1] - 3 * QUANTUM, got[1] + 3 * QUANTUM);
	free(sc);
}

static void weight_is_a_share_within_the_owner(void **state)
{
	struct sched *sc = make();
	uint64_t got[N] = {0};

	(void)state;
	sched_add(sc, 0, 1, 1);
	sched_add(sc, 1, 1, 4);
	sched_add(sc, 2, 2, 1);
	for (uint16_t i = 0; i < 3; i++)
		sched_set(sc, i, true);
	serve(sc, 10000, QUANTUM, got);
	assert_in_range(got[1], 39 * got[0] / 10, 41 * got[0] / 10);
	assert_in_range(got[2], 9 * (got[0] + got[1]) / 10,
			11 * (got[0] + got[1]) / 10);
	free(sc);
}

static void many_streams_win_nothing_for_their_owner(void **state)
{
	struct sched *sc = make();
	uint64_t got[N] = {0}, many = 0;

	(void)state;
	for (uint16_t i = 0; i < 40; i++) {
		sched_add(sc, i, i ? 1 : 2, 1);
		sched_set(sc, i, true);
	}
	serve(sc, 4000, QUANTUM, got);
	for (int i = 1; i < 40; i++)
		many += got[i];
	assert_in_range(got[0], many - 2 * QUANTUM, many + 2 * QUANTUM);
	free(sc);
}

static void sparse_goes_before_bulk(void **state)
{
	struct sched *sc = make();
	uint64_t got[N] = {0};

	(void)state;
	for (uint16_t i = 0; i < 8; i++) {
		sched_add(sc, i, i, 1);
		sched_set(sc, i, i > 0);
	}
	serve(sc, 100, QUANTUM, got);
	for (int n = 0; n < 10; n++) {
		sched_set(sc, 0, true);
		assert_true(sched_is_fresh(sc, 0));
		assert_int_equal(sched_pick(sc), 0);
		sched_charge(sc, 0, 10);
		sched_set(sc, 0, false);
		serve(sc, 20, QUANTUM, got); /* a round: its place is gone */
	}
	free(sc);
}

/* One frame each time that it wakes up: no more than those that always have. */
static void emptying_and_refilling_wins_nothing(void **state)
{
	struct sched *sc = make();
	uint64_t got[N] = {0};

	(void)state;
	for (uint16_t i = 0; i < 4; i++) {
		sched_add(sc, i, 1, 1);
		sched_set(sc, i, true);
	}
	for (int n = 0; n < 4000; n++) {
		uint16_t i = sched_pick(sc);

		got[i] += QUANTUM;
		sched_charge(sc, i, QUANTUM);
		if (i == 0) {
			sched_set(sc, 0, false);
			sched_set(sc, 0, true);
		}
	}
	assert_in_range(got[0], 9 * got[1] / 10, 11 * got[1] / 10);
	free(sc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_picked_when_nobody_is_backlogged),
		cmocka_unit_test(sixteen_streams_get_the_same),
		cmocka_unit_test(frame_size_does_not_change_shares),
		cmocka_unit_test(weight_is_a_share_within_the_owner),
		cmocka_unit_test(many_streams_win_nothing_for_their_owner),
		cmocka_unit_test(sparse_goes_before_bulk),
		cmocka_unit_test(emptying_and_refilling_wins_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
