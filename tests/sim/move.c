/* SPDX-License-Identifier: MIT */
/* move.c - an engine is frozen, saved, and goes on here or elsewhere */
#include "move.h"

#include <stdlib.h>
#include <string.h>

#include "apps.h"
#include "end.h"
#include "plant.h"

static const struct budget everything = {UINT32_MAX, UINT32_MAX, UINT32_MAX,
					 UINT32_MAX};

static bool may_move(const struct world *w, int e)
{
	const struct end *end = &w->end[e];

	return !end->frozen && !end->bye && end->paused_until <= w->now;
}

static void freeze(struct world *w, int e)
{
	struct end *end = &w->end[e];
	struct vmc_session_stats st;

	vmc_session_freeze(end->s, end_now(w, e));
	end->frozen = end->deaf = true;
	vmc_session_get_stats(end->s, &st);
	end->frozen_at = st.frames_in;
	end_events(w, e);
}

bool move_hold(struct world *w, int e)
{
	struct end *end = &w->end[e];

	if (!may_move(w, e))
		return false;
	world_note(w, "end %d is held", e);
	freeze(w, e);
	/* What comes meanwhile must wait. */
	end_run(w, e, everything);
	if (world_failed(w))
		return true;
	/* A handshake that was due has begun: UP thaws. */
	if (!end->deaf)
		return true;
	if (vmc_session_thaw(end->s, end_now(w, e)))
		world_fail(w, "end %d: thaw refused", e);
	end->frozen = end->deaf = false;
	end->wake = true;
	return true;
}

/* Frozen already. The caller frees it; *ret_len is 0 without a session. */
static uint8_t *save(struct world *w, int e, size_t *ret_len)
{
	struct end *end = &w->end[e];
	size_t size = vmc_session_save_max(&end->cfg);
	uint8_t *blob = malloc(size ? size : 1);
	long n;

	if (!blob)
		abort();
	n = vmc_session_save(end->s, blob, size);
	if (n < 0)
		world_fail(w, "end %d: save: %ld", e, n);
	*ret_len = n < 0 ? 0 : (size_t)n;
	return blob;
}

static uint32_t count_streams(const struct vmc_session *s)
{
	uint32_t pos = 0, n = 0;
	uint64_t cookie;
	vmc_stream h;

	while (vmc_stream_next(s, &pos, &h, &cookie))
		n++;
	return n;
}

/* ---- a copy that is not used ------------------------------------------ */

/* A destination that took the state and says HELLO, but gets no machine. */
static void try_elsewhere(struct world *w, int e, const uint8_t *blob,
			  size_t len)
{
	struct end *end = &w->end[e];
	void *mem = end_alloc(w, end->size);
	uint8_t entropy[VMC_ENTROPY_LEN];
	struct vmc_session *s;
	const char *broken;
	const uint8_t *out;
	size_t n;

	prng_fill(&w->rng, entropy, sizeof(entropy));
	if (vmc_session_load(&s, mem, end->size, &end->cfg, blob, len,
			     end_now(w, e)))
		world_fail(w, "end %d: its copy was refused", e);
	else if (count_streams(s) != count_streams(end->s))
		world_fail(w, "end %d: its copy has other streams", e);
	vmc_session_attach(s, entropy, end_now(w, e));
	while ((n = vmc_session_output(s, &out, end_now(w, e))))
		vmc_session_output_done(s, n, end_now(w, e));
	broken = vmc_session_check(s);
	if (broken)
		world_fail(w, "end %d: its copy: %s", e, broken);
	free(mem);
}

bool move_fence(struct world *w, int e)
{
	uint8_t *blob;
	size_t len;

	if (!may_move(w, e) || !w->end[e].attached)
		return false;
	world_note(w, "end %d is saved and stays", e);
	freeze(w, e);
	if (world_failed(w))
		return true;
	blob = save(w, e, &len);
	if (w->profile.successors && !world_failed(w))
		try_elsewhere(w, e, blob, len);
	free(blob);
	/* What the stopped machine's ring still pushes out. */
	if (!world_failed(w))
		end_run(w, e, everything);
	if (!world_failed(w))
		end_resync(w, e);
	return true;
}

/* ---- what stays on the old host --------------------------------------- */

/* The engine in @end's memory, which was frozen, is somebody else's now. */
static void leave(struct world *w, int e)
{
	struct left *left = &w->left[e];
	const struct link *in = &w->link[1 - e];
	struct end *end = &w->end[e];
	struct vmc_session_stats st;

	free(left->mem);
	left->mem = left->s = end->mem;
	left->ahead = end->ahead;
	left->probed = false;
	left->ring_at = 0;
	left->ring_len = in->len;
	if (left->ring_room < in->len) {
		left->ring_room = in->len;
		left->ring = realloc(left->ring, in->len);
		if (!left->ring)
			abort();
	}
	if (in->len)
		memcpy(left->ring, in->buf + in->head, in->len);
	vmc_session_get_stats(left->s, &st);
	left->frames_in = st.frames_in;
	if (world_mutates(w, MUTATE_UNFENCED))
		plant_unfence(left->s);
}

/* Told to a broker that has nothing to do but wait. */
static void left_events(struct world *w, int e)
{
	struct left *left = &w->left[e];
	uint64_t now = w->now + left->ahead;
	uint8_t entropy[VMC_ENTROPY_LEN];
	struct vmc_event ev;

	while (vmc_session_next_event(left->s, &ev, now)) {
		if (ev.type == VMC_EV_NEED_ENTROPY) {
			prng_fill(&w->rng, entropy, sizeof(entropy));
			vmc_session_resync(left->s, entropy, now);
		} else if (ev.type != VMC_EV_DOWN) {
			world_fail(w, "end %d: what moved away says event %d",
				   e, (int)ev.type);
			return;
		}
	}
}

static void left_input(struct world *w, int e)
{
	struct left *left = &w->left[e];
	size_t n = prng_size(&w->rng, left->ring_len - left->ring_at), room;
	uint8_t *buf;

	room = vmc_session_input(left->s, &buf);
	n = n < room ? n : room;
	if (n)
		memcpy(buf, left->ring + left->ring_at, n);
	left->ring_at += n;
	vmc_session_input_done(left->s, n, w->now + left->ahead);
}

/* Whatever an application asks of it, it must say that it cannot. */
static void left_check(struct world *w, int e)
{
	struct left *left = &w->left[e];
	uint64_t now = w->now + left->ahead, cookie;
	const char *broken = vmc_session_check(left->s);
	struct vmc_session_stats st;
	struct vmc_pull pull;
	struct iovec iov[2];
	uint32_t pos = 0;
	vmc_stream h;

	vmc_session_get_stats(left->s, &st);
	if (broken)
		world_fail(w, "end %d: what moved away: %s", e, broken);
	if (!st.frozen || st.frames_in != left->frames_in)
		world_fail(w, "end %d: what moved away goes on", e);
	if (vmc_session_pull(left->s, &pull, now))
		world_fail(w, "end %d: what moved away pulls", e);
	while (vmc_stream_next(left->s, &pos, &h, &cookie))
		if (vmc_stream_peek(left->s, h, iov, 2) != VMC_ERR_STATE)
			world_fail(w, "end %d: what moved away delivers", e);
}

void move_left(struct world *w, int e)
{
	struct left *left = &w->left[e];
	uint64_t now = w->now + left->ahead;
	uint8_t entropy[VMC_ENTROPY_LEN];
	const uint8_t *out;
	size_t n;

	if (!left->mem || world_failed(w))
		return;
	if (!left->probed) {
		prng_fill(&w->rng, entropy, sizeof(entropy));
		vmc_session_resync(left->s, entropy, now);
		left->probed = true;
	}
	left_input(w, e);
	vmc_session_tick(left->s, now);
	left_events(w, e);
	/* Nobody will ever read that. */
	while ((n = vmc_session_output(left->s, &out, now)))
		vmc_session_output_done(left->s, n, now);
	left_check(w, e);
}

void move_left_done(struct world *w)
{
	for (int e = 0; e < 2; e++) {
		free(w->left[e].mem);
		free(w->left[e].ring);
		w->left[e] = (struct left){0};
	}
}

/* ---- going on --------------------------------------------------------- */

/* Another window is configured there; what the peer was told stays true. */
static void grant_otherwise(struct world *w, struct vmc_session_config *cfg)
{
	uint32_t most = cfg->rx_pool / cfg->max_streams;

	if (most > cfg->max_window)
		most = cfg->max_window;
	cfg->initial_window = (uint32_t)prng_range(&w->rng, 1, most);
}

bool move_adopt(struct world *w, int e)
{
	struct end *end = &w->end[e];
	struct vmc_session_config cfg = end->cfg;
	int err;

	if (end->bye || end->paused_until > w->now)
		return false;
	if (!end->frozen && prng_chance(&w->rng, 1, 4))
		freeze(w, e);
	if (world_failed(w))
		return true;
	world_note(w, "end %d dies%s and is adopted", e,
		   end->frozen ? " while frozen" : "");
	end_move(w, e);
	/* A process of its own, but the daemon that the peer knows. */
	cfg.instance = prng_mix(cfg.instance);
	grant_otherwise(w, &cfg);
	err = vmc_session_adopt(&end->s, end->mem, end->size, &cfg,
				end_now(w, e));
	if (err) {
		world_fail(w, "end %d: adopt: error %d", e, err);
		return true;
	}
	end_unplugged(w, e);
	apps_adopted(w, e);
	return true;
}

bool move_away(struct world *w, int e)
{
	struct end *end = &w->end[e];
	struct vmc_session_config cfg;
	struct vmc_session_stats st;
	uint8_t *blob;
	size_t len;
	void *mem;
	int err;

	if (!may_move(w, e))
		return false;
	world_note(w, "end %d moves away", e);
	freeze(w, e);
	if (world_failed(w))
		return true;
	blob = save(w, e, &len);
	mem = end_alloc(w, end->size);
	cfg = end->cfg;
	if (len && w->profile.successors)
		grant_otherwise(w, &cfg);
	err = vmc_session_load(&end->s, mem, end->size, &cfg, blob, len,
			       end_now(w, e));
	free(blob);
	if (err)
		world_fail(w, "end %d: load: error %d", e, err);
	if (w->profile.successors)
		leave(w, e);
	else
		free(end->mem);
	end->mem = mem;
	end->frozen = end->deaf = false;
	end_unplugged(w, e);
	if (!err)
		apps_moved(w, e);
	if (!err && w->profile.successors)
		apps_leave(w, e);
	/* Nothing came, so the guest must be told. */
	if (!err && !len && w->profile.successors && e == VMC_ROLE_HOST)
		end_explain(w, e, VMC_REASON_MIGRATED);
	vmc_session_get_stats(end->s, &st);
	if (len && st.state != VMC_SESSION_DETACHED)
		world_fail(w, "end %d: loaded into state %u", e, st.state);
	return true;
}
