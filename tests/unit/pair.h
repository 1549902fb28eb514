/* SPDX-License-Identifier: MIT */
/*
 * pair.h - two engines in one process, joined by byte strings
 *
 * For unit tests: a clock that stands still until a test moves it, entropy
 * from a counter, links that hold what was written until the test moves it.
 */
#ifndef TESTS_UNIT_PAIR_H
#define TESTS_UNIT_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Needs the ones above. */
#include <cmocka.h>

#include <vmchannel/session.h>

#define PIPE_SIZE (4u << 20)

struct end {
	struct vmc_session *s;
	void *mem;
	uint8_t *pipe; /* what this end has written and nobody read */
	size_t pipe_len;
};

struct pair {
	struct end end[2]; /* enum vmc_role */
	uint64_t now, entropy;
};

static inline void pair_entropy(struct pair *p, uint8_t ret[VMC_ENTROPY_LEN])
{
	for (unsigned int i = 0; i < VMC_ENTROPY_LEN; i++) {
		p->entropy = p->entropy * 6364136223846793005u +
			     1442695040888963407u;
		ret[i] = (uint8_t)(p->entropy >> 56);
	}
}

static inline void end_init(struct end *e, const struct vmc_session_config *cfg)
{
	size_t size = vmc_session_size(cfg);

	assert_true(size > 0);
	e->mem = aligned_alloc(64, (size + 63) & ~(size_t)63);
	assert_non_null(e->mem);
	memset(e->mem, 0xa5, size);
	assert_int_equal(vmc_session_init(&e->s, e->mem, size, cfg), 0);
	e->pipe = malloc(PIPE_SIZE);
	assert_non_null(e->pipe);
	e->pipe_len = 0;
}

static inline void pair_init(struct pair *p, const struct vmc_session_config *h,
			     const struct vmc_session_config *g)
{
	struct vmc_session_config def[2];

	memset(p, 0, sizeof(*p));
	p->now = 1000000;
	for (int i = 0; i < 2; i++) {
		const struct vmc_session_config *c = i ? g : h;

		vmc_session_config_default(&def[i], (enum vmc_role)i);
		def[i].instance = 100 + (uint64_t)i;
		end_init(&p->end[i], c ? c : &def[i]);
	}
}

static inline void pair_free(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		free(p->end[i].mem);
		free(p->end[i].pipe);
	}
}

static inline void pair_attach(struct pair *p, int i)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	pair_entropy(p, entropy);
	vmc_session_attach(p->end[i].s, entropy, p->now);
}

/* Everything that @i wants to write goes to its pipe. */
static inline size_t pair_write(struct pair *p, int i)
{
	struct end *e = &p->end[i];
	const uint8_t *buf;
	size_t n, total = 0;

	while ((n = vmc_session_output(e->s, &buf, p->now))) {
		assert_true(n <= VMC_MAX_FRAME);
		assert_true(e->pipe_len + n <= PIPE_SIZE);
		memcpy(e->pipe + e->pipe_len, buf, n);
		e->pipe_len += n;
		total += n;
		vmc_session_output_done(e->s, n, p->now);
	}
	assert_null(vmc_session_check(e->s));
	return total;
}

/* @i reads up to @max bytes of what the other end wrote. */
static inline size_t pair_read(struct pair *p, int i, size_t max)
{
	struct end *from = &p->end[!i];
	uint8_t *buf;
	size_t room = vmc_session_input(p->end[i].s, &buf);
	size_t n = from->pipe_len < room ? from->pipe_len : room;

	if (n > max)
		n = max;
	if (!n)
		return 0;
	memcpy(buf, from->pipe, n);
	memmove(from->pipe, from->pipe + n, from->pipe_len - n);
	from->pipe_len -= n;
	vmc_session_input_done(p->end[i].s, n, p->now);
	return n;
}

static inline bool pair_event(struct pair *p, int i, struct vmc_event *ev)
{
	bool got = vmc_session_next_event(p->end[i].s, ev, p->now);

	assert_null(vmc_session_check(p->end[i].s));
	return got;
}

/* The next event of @i must be this one. */
static inline struct vmc_event pair_expect(struct pair *p, int i,
					   enum vmc_event_type type)
{
	struct vmc_event ev;

	assert_true(pair_event(p, i, &ev));
	assert_int_equal(ev.type, type);
	return ev;
}

static inline void pair_up(struct pair *p)
{
	struct vmc_event ev[2] = {{0}, {0}};

	pair_attach(p, 0);
	pair_attach(p, 1);
	for (int n = 0;
	     n < 20 && (ev[0].type != VMC_EV_UP || ev[1].type != VMC_EV_UP);
	     n++) {
		for (int i = 0; i < 2; i++) {
			pair_write(p, i);
			pair_read(p, !i, SIZE_MAX);
			if (ev[!i].type != VMC_EV_UP)
				pair_event(p, !i, &ev[!i]);
		}
	}
	assert_int_equal(ev[0].type, VMC_EV_UP);
	assert_int_equal(ev[1].type, VMC_EV_UP);
}

#endif /* TESTS_UNIT_PAIR_H */
