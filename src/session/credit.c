/* SPDX-License-Identifier: MIT */
/*
 * credit.c - how much each stream of the peer may send
 *
 * A stream's grant is what the peer may still have outstanding: rx_limit -
 * rx_read, bytes that wait in the pool included. The sum of all grants never
 * exceeds the pool: no promise is made that cannot be kept. The initial
 * window is set aside for every slot, used or not; what is granted beyond is
 * lent.
 *
 * A window doubles each time that it was used up and taken by the
 * application, up to a share of what is free. Shares are given as the
 * scheduler gives turns: first to owners, then to an owner's streams, so that
 * opening many streams gains no credit either. Who has more than a share
 * shrinks, by not being granted again.
 */
#include "session/internal.h"

/*
 * An owner's loans are at most OWNER_NUM / OWNER_DEN of what is free plus its
 * own, so that n owners get 2 / (2n + 1) of the pool each and whoever comes
 * later finds something. One bulk stream of a default host gets 128 KiB, which
 * is what the guest may have in flight. Of several streams of an owner, each
 * has at most STREAM_NUM / STREAM_DEN of what the others leave.
 */
#define OWNER_NUM  2u
#define OWNER_DEN  3u
#define STREAM_NUM 7u
#define STREAM_DEN 8u
/* CREDIT is due when this part of the window was taken: two full frames of the
 * four that a host's window holds, which are a little less than its half. */
#define CREDIT_NUM 3u
#define CREDIT_DEN 8u

uint32_t credit_charge(const struct vmc_session *s, const struct slot *sl)
{
	uint32_t grant = (uint32_t)(sl->rx_limit - sl->rx_read);

	return max_u32(grant, s->cfg.initial_window);
}

void credit_open(struct vmc_session *s, struct slot *sl)
{
	sl->window = s->cfg.initial_window;
	sl->rx_limit = s->cfg.initial_window;
}

/* What the streams of an owner have on loan, all together. */
uint32_t *credit_loans(const struct vmc_session *s, uint16_t owner)
{
	return (uint32_t *)session_at(s, s->at.loans) + owner;
}

void credit_account(struct vmc_session *s, const struct slot *sl,
		    uint32_t before)
{
	uint32_t change = credit_charge(s, sl) - before;
	uint16_t owner = sched_owner(session_sched(s), slot_index(s, sl));

	s->pool_granted += change;
	if (owner != SCHED_NONE)
		*credit_loans(s, owner) += change;
}

void credit_close(struct vmc_session *s, struct slot *sl)
{
	uint32_t before = credit_charge(s, sl);

	sl->rx_limit = sl->rx_read;
	credit_account(s, sl, before);
}

/* What the stream may have granted in all, as things are. */
static uint32_t share(const struct vmc_session *s, const struct slot *sl)
{
	uint16_t owner = sched_owner(session_sched(s), slot_index(s, sl));
	uint32_t own = credit_charge(s, sl) - s->cfg.initial_window;
	uint64_t loans, most, others;

	if (owner == SCHED_NONE)
		return s->cfg.initial_window;
	loans = *credit_loans(s, owner);
	others = loans - own;
	most = (s->cfg.rx_pool - s->pool_granted + loans) * OWNER_NUM /
	       OWNER_DEN;
	most = most > others ? most - others : 0;
	if (sched_owner_streams(session_sched(s), owner) > 1)
		most = most * STREAM_NUM / STREAM_DEN;
	most += s->cfg.initial_window;
	return max_u32((uint32_t)min_u64(sl->window, most),
		       s->cfg.initial_window);
}

/* The peer's end is known, or nobody wants its bytes: no more credit. */
static bool is_over(const struct slot *sl)
{
	return sl->bits & (SL_RX_FIN | SL_RX_STOP | SL_ENDED);
}

void credit_consumed(struct vmc_session *s, struct slot *sl, uint32_t n)
{
	uint32_t before, window;
	uint64_t limit;

	before = credit_charge(s, sl);
	sl->rx_read += n;
	credit_account(s, sl, before);
	if (is_over(sl))
		return;
	if (sl->rx_read == sl->rx_off &&
	    sl->rx_read - sl->grow_from >= sl->window) {
		sl->window = min_u32(2 * sl->window, s->cfg.max_window);
		sl->grow_from = sl->rx_read;
	}
	window = share(s, sl);
	limit = sl->rx_read + window;
	if (limit > sl->rx_limit &&
	    limit - sl->rx_limit >=
		    (window * CREDIT_NUM + CREDIT_DEN - 1) / CREDIT_DEN)
		slot_want(s, sl, WANT_CREDIT);
}

uint64_t credit_grant(struct vmc_session *s, struct slot *sl)
{
	uint32_t before;
	uint64_t limit;

	if (is_over(sl))
		return 0;
	limit = sl->rx_read + share(s, sl);
	if (limit <= sl->rx_limit)
		return 0;
	before = credit_charge(s, sl);
	sl->rx_limit = limit;
	credit_account(s, sl, before);
	return limit;
}
