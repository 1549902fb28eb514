/* SPDX-License-Identifier: MIT */
/*
 * test_state.c - a session that is saved and loaded goes on exactly
 *
 * A script of random steps runs between two engines; at one of its steps the
 * host is frozen and goes on as a copy, by a new handshake, or by thaw. That
 * is done for every step of the script.
 */
#include "pair.h"

#define HOST  VMC_ROLE_HOST
#define GUEST VMC_ROLE_GUEST

#define STEPS      120
#define APPS       24
#define STATE_ROOM (256u << 10)

/* A stream, seen by the programs at its two ends. */
struct app {
	vmc_stream h[2];
	uint64_t sent[2], got[2]; /* by end */
	bool has[2], fin[2], ended[2];
	bool disturbed; /* somebody stopped or reset it, or it was refused */
	unsigned int reason[2];
};

struct play {
	struct pair p;
	uint64_t rng;
	struct app apps[APPS];
	uint32_t n_apps;
	bool offered[2]; /* each end has one name that comes and goes */
	unsigned int resumes;
};

enum way {
	WAY_COPY,   /* save, load, attach the copy */
	WAY_MOVE,   /* the same, and what was in the pipes is lost */
	WAY_REPLAY, /* the same, and the guest's bytes are read once more */
	WAY_PROBE,  /* the copy is not used: resync */
	WAY_THAW,
	WAY_ADOPT,  /* another process maps the block elsewhere, nothing frozen
		     */
	WAY_FENCED, /* the same while a probe is out */
	WAY_NUM
};

static uint32_t pick(struct play *w, uint32_t n)
{
	w->rng = w->rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(w->rng >> 33) % n;
}

/* One that was opened, mostly. */
static uint32_t pick_app(struct play *w)
{
	return pick(w, w->n_apps ? w->n_apps : 1);
}

static struct vmc_session *session(const struct play *w, int i)
{
	return w->p.end[i].s;
}

static uint8_t pattern(uint32_t app, int from, uint64_t off)
{
	return (uint8_t)((off * 131 + off / 251) ^ (app * 7 + (uint32_t)from));
}

static void config(struct vmc_session_config *c, enum vmc_role role)
{
	vmc_session_config_default(c, role);
	c->instance = 40 + (uint64_t)role;
	c->max_streams = 12;
	c->max_names = 4;
	c->max_frame = VMC_MIN_FRAME;
	c->rx_pool = 12 * 512 + 20000;
	c->initial_window = 512;
	c->max_window = 8192;
	c->inflight_bytes = 12000;
	c->inflight_charge = 60000;
	c->inflight_writes = 40;
}

/* ---- the programs ------------------------------------------------------- */

static void name_of(char ret[16], uint32_t app)
{
	snprintf(ret, 16, "s.%u", app);
}

static void step_open(struct play *w)
{
	static const struct vmc_principal who = {.kind = VMC_PRINCIPAL_HOST};
	int i = (int)pick(w, 2);
	struct app *a;
	char name[16];

	if (w->n_apps == APPS)
		return;
	a = &w->apps[w->n_apps];
	name_of(name, w->n_apps);
	if (vmc_stream_open(session(w, i), &a->h[i], name, pick(w, 2), &who,
			    pick(w, 3), 1 + pick(w, 16), w->p.now))
		return;
	assert_int_equal(
		vmc_stream_set_cookie(session(w, i), a->h[i], w->n_apps + 1),
		0);
	a->has[i] = true;
	w->n_apps++;
}

static void step_write(struct play *w)
{
	int i = (int)pick(w, 2);
	struct app *a = &w->apps[pick_app(w)];
	unsigned int flags = pick(w, 4) ? 0 : VMC_PULL_MORE;
	struct vmc_pull pull;
	uint32_t n, id;

	if (a->has[i] && !a->fin[i])
		vmc_stream_ready(session(w, i), a->h[i]);
	if (!vmc_session_pull(session(w, i), &pull, w->p.now))
		return;
	id = (uint32_t)pull.cookie - 1;
	a = &w->apps[id];
	assert_true(a->has[i] && !a->fin[i]);
	n = 1 + pick(w, (uint32_t)pull.len);
	for (uint32_t k = 0; k < n; k++)
		pull.buf[k] = pattern(id, i, a->sent[i] + k);
	a->sent[i] += n;
	if (!pick(w, 12)) {
		flags = VMC_PULL_FINISH;
		a->fin[i] = true;
	}
	vmc_session_pull_done(session(w, i), n, flags, w->p.now);
}

static void consume(struct play *w, int i, uint32_t id, uint32_t max)
{
	struct app *a = &w->apps[id];
	struct iovec iov[8];
	uint32_t n = 0;
	long r;

	if (!a->has[i] || a->ended[i])
		return;
	r = vmc_stream_peek(session(w, i), a->h[i], iov, 8);
	if (r <= 0)
		return;
	for (int v = 0; v < 8 && n < r && n < max; v++) {
		const uint8_t *p = iov[v].iov_base;

		for (size_t k = 0; k < iov[v].iov_len && n < max; k++, n++)
			assert_int_equal(p[k], pattern(id, !i, a->got[i] + n));
	}
	a->got[i] += n;
	assert_int_equal(vmc_stream_consume(session(w, i), a->h[i], n), 0);
}

static void step_consume(struct play *w)
{
	int i = (int)pick(w, 2);

	consume(w, i, pick_app(w), 1 + pick(w, pick(w, 2) ? 100 : 3000));
}

static void step_disturb(struct play *w)
{
	int i = (int)pick(w, 2);
	struct app *a = &w->apps[pick_app(w)];
	unsigned int what = pick(w, 6);

	if (!a->has[i] || a->ended[i])
		return;
	if (what == 0) {
		a->disturbed = true;
		vmc_stream_reset(session(w, i), a->h[i], VMC_REASON_APP_ABORT);
	} else if (what == 1) {
		a->disturbed = true;
		vmc_stream_stop(session(w, i), a->h[i], VMC_REASON_APP_GONE);
	} else if (!vmc_stream_finish(session(w, i), a->h[i])) {
		a->fin[i] = true;
	}
}

static void step_names(struct play *w)
{
	int i = (int)pick(w, 2);
	int err = w->offered[i] ? vmc_name_withdraw(session(w, i), "n.a")
				: vmc_name_advertise(session(w, i), "n.a",
						     pick(w, 2));

	assert_int_equal(err, 0);
	w->offered[i] = !w->offered[i];
}

/* ---- events and bytes ------------------------------------------------------
 */

static void on_open(struct play *w, int i, const struct vmc_event *ev)
{
	uint32_t id = (uint32_t)atoi(ev->name + 2);
	struct app *a = &w->apps[id];

	assert_true(id < w->n_apps && !a->has[i]);
	if (id % 7 == 3) {
		a->disturbed = true;
		assert_int_equal(vmc_stream_reject(session(w, i), ev->stream,
						   VMC_REASON_DENIED),
				 0);
		return;
	}
	a->h[i] = ev->stream;
	a->has[i] = true;
	assert_int_equal(
		vmc_stream_set_cookie(session(w, i), ev->stream, id + 1), 0);
	assert_int_equal(vmc_stream_accept(session(w, i), ev->stream, id % 3,
					   1 + id % 16),
			 0);
}

static void on_end(struct play *w, int i, const struct vmc_event *ev)
{
	uint32_t id = (uint32_t)ev->cookie - 1;
	struct app *a = &w->apps[id];

	assert_true(a->has[i] && !a->ended[i]);
	a->ended[i] = true;
	a->reason[i] = ev->reason;
	if (ev->reason != VMC_REASON_OK) {
		assert_true(a->disturbed);
		assert_true(ev->reason == VMC_REASON_APP_ABORT ||
			    ev->reason == VMC_REASON_DENIED);
		return;
	}
	assert_int_equal(ev->bytes_out, a->sent[i]);
	if (!a->disturbed) {
		assert_int_equal(a->got[i], a->sent[!i]);
		assert_int_equal(ev->bytes_in, a->got[i]);
	}
}

static void resync(struct play *w, int i)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	pair_entropy(&w->p, entropy);
	vmc_session_resync(session(w, i), entropy, w->p.now);
}

static void take_events(struct play *w, int i)
{
	struct vmc_event ev;

	while (pair_event(&w->p, i, &ev)) {
		if (ev.type == VMC_EV_NEED_ENTROPY)
			resync(w, i);
		else if (ev.type == VMC_EV_OPEN)
			on_open(w, i, &ev);
		else if (ev.type == VMC_EV_STOP)
			w->apps[ev.cookie - 1].fin[i] = true;
		else if (ev.type == VMC_EV_END)
			on_end(w, i, &ev);
		else if (ev.type == VMC_EV_UP)
			w->resumes += ev.resumed;
	}
}

static bool step_link(struct play *w, uint32_t max)
{
	bool moved = false;

	for (int i = 0; i < 2; i++) {
		moved |= pair_write(&w->p, i) > 0;
		moved |= pair_read(&w->p, !i, max) > 0;
		take_events(w, !i);
		take_events(w, i);
	}
	return moved;
}

static void step_time(struct play *w)
{
	w->p.now += 20000;
	for (int i = 0; i < 2; i++) {
		vmc_session_tick(session(w, i), w->p.now);
		take_events(w, i);
	}
}

static void step(struct play *w)
{
	static void (*const steps[])(struct play * w) = {
		step_open,    step_write, step_write, step_write,
		step_consume, step_time,  step_names, step_disturb,
	};
	uint32_t n = pick(w, 14);

	if (n < sizeof(steps) / sizeof(steps[0]))
		steps[n](w);
	else
		step_link(w, 1 + pick(w, 6000));
}

/* ---- going on as another --------------------------------------------------
 */

static size_t save(const struct vmc_session *s, uint8_t *ret)
{
	long n = vmc_session_save(s, ret, STATE_ROOM);

	assert_true(n > 0 && n % 8 == 0);
	return (size_t)n;
}

/* The copy in memory of its own; it must be the same when saved again. */
static void replace(struct play *w)
{
	static uint8_t blob[STATE_ROOM], again[STATE_ROOM];
	struct end *e = &w->p.end[HOST];
	struct vmc_session_config c;
	size_t len = save(e->s, blob), size;
	uint32_t pos = 0;
	vmc_stream h;
	uint64_t cookie;

	config(&c, HOST);
	c.instance = 99;
	assert_true(len <= vmc_session_save_max(&c));
	size = vmc_session_size(&c);
	free(e->mem);
	e->mem = aligned_alloc(64, (size + 63) & ~(size_t)63);
	assert_non_null(e->mem);
	memset(e->mem, 0x5a, size);
	assert_int_equal(
		vmc_session_load(&e->s, e->mem, size, &c, blob, len, w->p.now),
		0);
	assert_null(vmc_session_check(e->s));
	while (vmc_stream_next(e->s, &pos, &h, &cookie))
		w->apps[cookie - 1].h[HOST] = h;
	vmc_session_freeze(e->s, w->p.now);
	take_events(w, HOST);
	assert_int_equal(save(e->s, again), len);
	assert_memory_equal(blob, again, len);
	assert_int_equal(vmc_session_thaw(e->s, w->p.now), 0);
	if (w->offered[HOST])
		assert_int_equal(vmc_name_advertise(e->s, "n.a", 0), 0);
}

/* The process is gone, its memory is not. */
static void adopt(struct play *w)
{
	struct end *e = &w->p.end[HOST];
	struct vmc_session_stats st;
	struct vmc_session_config c;
	void *mem;
	size_t size;

	config(&c, HOST);
	c.instance = 99;
	size = (vmc_session_size(&c) + 63) & ~(size_t)63;
	mem = aligned_alloc(64, size);
	assert_non_null(mem);
	memcpy(mem, e->mem, vmc_session_size(&c));
	free(e->mem);
	e->mem = mem;
	assert_int_equal(vmc_session_adopt(&e->s, mem, size, &c, w->p.now), 0);
	assert_null(vmc_session_check(e->s));
	assert_ptr_equal(e->s, mem);
	vmc_session_get_stats(e->s, &st);
	assert_true(st.state == VMC_SESSION_DETACHED ||
		    st.state == VMC_SESSION_CLOSED);
	take_events(w, HOST);
}

static void lose_bytes(struct play *w, int i)
{
	struct end *e = &w->p.end[i];

	e->pipe_len -= pick(w, (uint32_t)e->pipe_len + 1);
}

/* Up to here the guest's bytes were read; the copy reads some again. */
static void replay(struct play *w)
{
	struct end *e = &w->p.end[GUEST];
	size_t n = pick(w, 500);

	if (n > e->pipe_len)
		n = e->pipe_len;
	memmove(e->pipe + n, e->pipe, e->pipe_len);
	e->pipe_len += n;
}

static void stand_still(struct play *w, enum way way)
{
	if (way == WAY_ADOPT) {
		adopt(w);
		pair_attach(&w->p, HOST);
		return;
	}
	vmc_session_freeze(session(w, HOST), w->p.now);
	take_events(w, HOST);
	assert_null(vmc_session_check(session(w, HOST)));
	if (way == WAY_THAW && !vmc_session_thaw(session(w, HOST), w->p.now))
		return;
	/* Or it was frozen before, and the last probe is not answered. */
	if (way == WAY_PROBE || way == WAY_THAW) {
		resync(w, HOST);
		return;
	}
	if (way == WAY_FENCED) {
		resync(w, HOST);
		step_link(w, 1000);
		adopt(w);
		pair_attach(&w->p, HOST);
		return;
	}
	replace(w);
	if (way == WAY_MOVE) {
		lose_bytes(w, HOST);
		lose_bytes(w, GUEST);
	}
	if (way == WAY_REPLAY)
		replay(w);
	pair_attach(&w->p, HOST);
}

/* ---- a whole play ----------------------------------------------------------
 */

static bool all_ended(const struct play *w)
{
	for (uint32_t id = 0; id < w->n_apps; id++) {
		for (int i = 0; i < 2; i++) {
			if (w->apps[id].has[i] && !w->apps[id].ended[i])
				return false;
		}
	}
	return true;
}

static void finish_all(struct play *w)
{
	for (uint32_t id = 0; id < w->n_apps; id++) {
		struct app *a = &w->apps[id];

		for (int i = 0; i < 2; i++) {
			consume(w, i, id, UINT32_MAX);
			if (!a->has[i] || a->ended[i] || a->fin[i])
				continue;
			if (!vmc_stream_finish(session(w, i), a->h[i]))
				a->fin[i] = true;
		}
	}
}

static void start(struct play *w, uint64_t seed)
{
	struct vmc_session_config c[2];

	memset(w, 0, sizeof(*w));
	w->rng = seed;
	config(&c[HOST], HOST);
	config(&c[GUEST], GUEST);
	pair_init(&w->p, &c[HOST], &c[GUEST]);
	w->p.entropy = seed * 77;
	pair_attach(&w->p, HOST);
	pair_attach(&w->p, GUEST);
	while (step_link(w, UINT32_MAX))
		;
}

static void end(struct play *w)
{
	for (int round = 0; round < 2000 && !all_ended(w); round++) {
		finish_all(w);
		step_link(w, UINT32_MAX);
		step_time(w);
	}
	assert_true(all_ended(w));
	for (uint32_t id = 0; id < w->n_apps; id++) {
		const struct app *a = &w->apps[id];

		if (a->disturbed)
			continue;
		assert_true(a->has[0] && a->has[1]);
		assert_int_equal(a->reason[0], VMC_REASON_OK);
		assert_int_equal(a->reason[1], VMC_REASON_OK);
	}
}

/* Both ends know of each other's name what is true. */
static void names_agree(struct play *w)
{
	for (int round = 0; round < 300; round++) {
		step_link(w, UINT32_MAX);
		w->p.now += 200000;
		step_time(w);
	}
	for (int i = 0; i < 2; i++) {
		const char *name;
		uint32_t pos = 0, flags;

		assert_int_equal(
			vmc_name_next(session(w, i), &pos, &name, &flags),
			w->offered[!i]);
	}
}

static void go_on_from(uint64_t seed, int at, enum way way)
{
	struct play w;

	start(&w, seed);
	for (int k = 0; k < STEPS; k++) {
		if (k == at)
			stand_still(&w, way);
		step(&w);
	}
	end(&w);
	names_agree(&w);
	/* It was never anything but a resume. */
	if (at >= 0 && way != WAY_THAW)
		assert_true(w.resumes >= 2);
	pair_free(&w.p);
}

static void every_step(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		for (unsigned int k = 0; k < STEPS; k++)
			go_on_from(seed, (int)k,
				   (enum way)((k + seed) % WAY_NUM));
	}
}

/* Moved again and again, never quite arrived. */
static void chain_of_moves(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 160; seed++) {
		struct play w;

		start(&w, seed);
		for (int k = 0; k < 2 * STEPS; k++) {
			if (!pick(&w, 6))
				stand_still(&w, (enum way)pick(&w, WAY_NUM));
			step(&w);
		}
		end(&w);
		names_agree(&w);
		pair_free(&w.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step),
		cmocka_unit_test(chain_of_moves),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
