/* SPDX-License-Identifier: MIT */
/*
 * test_session_up.c - what the simulator reaches only by luck: the moment in
 * which a handshake ends
 */
#include "pair.h"

/* @i writes no more than @max bytes of its next unit. */
static size_t write_some(struct pair *p, int i, size_t max)
{
	struct end *e = &p->end[i];
	const uint8_t *buf;
	size_t n = vmc_session_output(e->s, &buf, p->now);

	if (n > max)
		n = max;
	memcpy(e->pipe + e->pipe_len, buf, n);
	e->pipe_len += n;
	vmc_session_output_done(e->s, n, p->now);
	return n;
}

static void read_all(struct pair *p, int i)
{
	while (pair_read(p, i, SIZE_MAX) > 0) {
		struct vmc_event ev;

		while (p->end[!i].pipe_len > 0 && pair_event(p, i, &ev))
			;
	}
}

static void expect_none(struct pair *p, int i)
{
	struct vmc_event ev;

	assert_false(pair_event(p, i, &ev));
}

static bool is_up(const struct pair *p, int i)
{
	struct vmc_session_stats st;

	vmc_session_get_stats(p->end[i].s, &st);
	return st.state == VMC_SESSION_UP;
}

/*
 * The pipe takes only a part of the host's answer, and before there is room
 * for the rest the guest's own answer makes the host go up. The guest waits
 * for that rest: no time passes here, so no retry can help.
 */
static void answer_is_written_whole(void **state)
{
	static const size_t parts[] = {0, 1, 100};

	(void)state;
	for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
		struct pair p;
		const uint8_t *buf;

		pair_init(&p, NULL, NULL);
		pair_attach(&p, VMC_ROLE_HOST);
		pair_attach(&p, VMC_ROLE_GUEST);
		pair_write(&p, VMC_ROLE_HOST);
		pair_write(&p, VMC_ROLE_GUEST);
		read_all(&p, VMC_ROLE_HOST);
		expect_none(&p, VMC_ROLE_HOST);
		if (parts[k])
			assert_int_equal(
				write_some(&p, VMC_ROLE_HOST, parts[k]),
				parts[k]);
		else
			assert_true(vmc_session_output(p.end[VMC_ROLE_HOST].s,
						       &buf, p.now) > 0);
		read_all(&p, VMC_ROLE_GUEST);
		expect_none(&p, VMC_ROLE_GUEST);
		pair_write(&p, VMC_ROLE_GUEST);
		pair_read(&p, VMC_ROLE_HOST, SIZE_MAX);
		pair_expect(&p, VMC_ROLE_HOST, VMC_EV_UP);
		pair_write(&p, VMC_ROLE_HOST);
		pair_read(&p, VMC_ROLE_GUEST, SIZE_MAX);
		pair_expect(&p, VMC_ROLE_GUEST, VMC_EV_UP);
		assert_true(is_up(&p, VMC_ROLE_GUEST));
		pair_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answer_is_written_whole),
	};

	return cmocka_run_group_tests_name("session up", tests, NULL, NULL);
}
