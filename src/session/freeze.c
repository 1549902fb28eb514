/* SPDX-License-Identifier: MIT */
/*
 * freeze.c - a session that stands still, so that a copy of it can leave
 *
 *	       freeze            attach, resync
 *	moving ------> asleep -------------------> awake
 *	   ^              | thaw                     | UP: a handshake that
 *	   +--------------+--------------------------+ began after the freeze
 *
 * Asleep, nothing at all is read or written: thawed, it goes on where it was.
 * Awake, there is a handshake and nothing else. Its nonce was drawn after the
 * copy was made, so whoever echoes it is with this copy and not with the
 * other. Nothing else proves that: what a stopped virtual machine had
 * written may arrive much later.
 */
#include "session/internal.h"

void session_raise_readable(struct vmc_session *s)
{
	for (uint32_t i = 0; i < s->cfg.max_streams; i++) {
		struct slot *sl = slot_at(s, i);
		bool asked = (sl->bits & (SL_PEER | SL_ACCEPTED)) == SL_PEER;

		if (!(sl->bits & SL_USED) || asked ||
		    (sl->bits & (SL_ENDED | SL_RX_STOP)))
			continue;
		if (sl->q_len || (sl->bits & SL_RX_FIN))
			slot_event(s, sl, EVB_READABLE);
	}
}

void session_unfreeze(struct vmc_session *s)
{
	if (!s->frozen)
		return;
	s->frozen = s->asleep = s->may_thaw = false;
	session_raise_readable(s);
}

void vmc_session_freeze(struct vmc_session *s, uint64_t now)
{
	(void)now;
	rx_settle(s);
	if (!s->frozen)
		s->may_thaw = true;
	s->frozen = s->asleep = true;
}

int vmc_session_thaw(struct vmc_session *s, uint64_t now)
{
	if (!s->frozen || !s->may_thaw)
		return VMC_ERR_STATE;
	session_unfreeze(s);
	/* The peer did not fall silent, it was not heard. */
	if (s->partial_since != NEVER)
		s->partial_since = now;
	s->progress_at = now;
	/* Whoever took this event while frozen did not act on it. */
	if (s->state == VMC_SESSION_SYNC && !s->have_nonce &&
	    s->resync_at == NEVER)
		s->ev_entropy = true;
	return 0;
}
