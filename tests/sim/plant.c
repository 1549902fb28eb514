/* SPDX-License-Identifier: MIT */
/* plant.c - mistakes that are put into an engine's state */
#include "plant.h"

#include <string.h>

#include "session/internal.h"

/* A frame that nobody has acked is dropped. */
static bool drop_retained(struct vmc_session *s, struct vmc_session *peer)
{
	if (s->tx_first == s->tx_sent || peer->rx_next > s->tx_first)
		return false;
	tx_acked_to(s, s->tx_first + 1);
	return true;
}

/* A frame that was taken is asked for once more; history and all. */
static bool take_twice(struct vmc_session *s, struct vmc_session *peer)
{
	const struct frame_meta *m;

	if (!s->rx_next || s->rx_next < peer->tx_first + 2 ||
	    s->rx_next > peer->tx_next)
		return false;
	m = frame_at(peer, s->rx_next - 1);
	if (!m->len)
		return false;
	s->rx_next--;
	s->rx_digest = frame_at(peer, s->rx_next - 1)->digest;
	return true;
}

/* Both ends believe that they have the same past. */
static bool believe_anything(struct vmc_session *s, struct vmc_session *peer)
{
	if (!s->has_session || !peer->has_session ||
	    s->rx_next >= peer->tx_next || !s->n_streams)
		return false;
	s->rx_next = peer->tx_next;
	s->rx_digest = peer->tx_digest;
	peer->rx_next = s->tx_next;
	peer->rx_digest = s->tx_digest;
	return true;
}

static bool promise_too_much(struct vmc_session *s, struct vmc_session *peer)
{
	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		struct slot *sl = slot_at(s, i);

		if (!(sl->bits & SL_USED) || (sl->bits & SL_ENDED) ||
		    (sl->bits & SL_TX_END))
			continue;
		sl->tx_limit += VMC_MAX_WINDOW;
		return true;
	}
	return false;
}

static bool lose_chunk(struct vmc_session *s, struct vmc_session *peer)
{
	s->chunks_used++;
	return true;
}

/* The session is given up, and nobody said why. */
static bool forget_session(struct vmc_session *s, struct vmc_session *peer)
{
	if (!s->n_streams)
		return false;
	session_forget(s, VMC_REASON_SESSION_LOST);
	return true;
}

bool plant_put(enum plant plant, struct vmc_session *s,
	       struct vmc_session *peer)
{
	static bool (*const all[PLANT_NUM])(struct vmc_session *,
					    struct vmc_session *) = {
		[PLANT_DROP_FRAME] = drop_retained,
		[PLANT_TAKE_TWICE] = take_twice,
		[PLANT_NO_DIGEST] = believe_anything,
		[PLANT_PROMISE] = promise_too_much,
		[PLANT_LEAK] = lose_chunk,
		[PLANT_FORGET] = forget_session,
	};

	return all[plant](s, peer);
}

void plant_unfence(struct vmc_session *s)
{
	session_unfreeze(s);
}
