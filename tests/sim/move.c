/* SPDX-License-Identifier: MIT */
/* move.c - an engine is frozen, saved, and goes on here or elsewhere */
#include "move.h"

#include <stdlib.h>
#include <string.h>

#include "apps.h"
#include "end.h"

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

bool move_fence(struct world *w, int e)
{
	size_t len;

	if (!may_move(w, e) || !w->end[e].attached)
		return false;
	world_note(w, "end %d is saved and stays", e);
	freeze(w, e);
	if (!world_failed(w))
		free(save(w, e, &len));
	/* What the stopped machine's ring still pushes out. */
	if (!world_failed(w))
		end_run(w, e, everything);
	if (!world_failed(w))
		end_resync(w, e);
	return true;
}

bool move_away(struct world *w, int e)
{
	struct end *end = &w->end[e];
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
	err = vmc_session_load(&end->s, mem, end->size, &end->cfg, blob, len,
			       end_now(w, e));
	free(blob);
	if (err)
		world_fail(w, "end %d: load: error %d", e, err);
	free(end->mem);
	end->mem = mem;
	end->attached = end->up = end->frozen = end->deaf = false;
	end->blocked = false;
	end->unit_done = 0;
	end->watch_at = 0;
	end->wake = true;
	end->attach_at = w->now + prng_size(&w->rng, 1000000);
	if (end->cfg.grace_us != UINT64_MAX)
		world_loses(w, CAUSE_GRACE);
	if (!err)
		apps_moved(w, e);
	vmc_session_get_stats(end->s, &st);
	if (len && st.state != VMC_SESSION_DETACHED)
		world_fail(w, "end %d: loaded into state %u", e, st.state);
	return true;
}
