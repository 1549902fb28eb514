/* SPDX-License-Identifier: MIT */
/*
 * credit.c - how much each stream of the peer may send
 *
 * A stream's grant is what the peer may still have outstanding: rx_limit -
 * rx_read, bytes that wait in the pool included. The sum of all grants never
 * exceeds the pool: no promise is made that cannot be kept. The initial
 * window is set aside for every slot, used or not.
 *
 * A window doubles each time that it was used up and taken by the
 * application, up to a share of what is free: at most GROW_NUM / GROW_DEN of
 * free pool plus own grant, so that whoever comes later finds something.
 * Above that share a window shrinks, by not being granted again.
 */
#include "session/internal.h"

/*
 * Two thirds: one bulk stream of a default host gets 128 KiB, which is what
 * the guest may have in flight; with a half (96 KiB) credit would be the
 * bottleneck and not the pipe. n streams get 2 / (2n + 1) each.
 */
#define GROW_NUM 2u
#define GROW_DEN 3u
/* CREDIT is due when this part of the window was taken. */
#define CREDIT_PART 2u

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

void credit_close(struct vmc_session *s, struct slot *sl)
{
	s->pool_granted -= credit_charge(s, sl) - s->cfg.initial_window;
	sl->rx_limit = sl->rx_read;
}

/* What the stream may have granted in all, as things are. */
static uint32_t share(const struct vmc_session *s, const struct slot *sl)
{
	uint64_t mine = s->cfg.rx_pool - s->pool_granted + credit_charge(s, sl);
	uint32_t most = (uint32_t)(mine * GROW_NUM / GROW_DEN);

	return max_u32(min_u32(sl->window, most), s->cfg.initial_window);
}

/* The peer's end is known, or nobody wants its bytes: no more credit. */
static bool is_over(const struct slot *sl)
{
	return sl->bits & (SL_RX_FIN | SL_RX_STOP | SL_ENDED);
}

void credit_consumed(struct vmc_session *s, struct slot *sl, uint32_t n)
{
	uint32_t window;
	uint64_t limit;

	s->pool_granted -= credit_charge(s, sl);
	sl->rx_read += n;
	s->pool_granted += credit_charge(s, sl);
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
	    limit - sl->rx_limit >= (window + CREDIT_PART - 1) / CREDIT_PART)
		slot_want(s, sl, WANT_CREDIT);
}

uint64_t credit_grant(struct vmc_session *s, struct slot *sl)
{
	uint64_t limit;

	if (is_over(sl))
		return 0;
	limit = sl->rx_read + share(s, sl);
	if (limit <= sl->rx_limit)
		return 0;
	s->pool_granted -= credit_charge(s, sl);
	sl->rx_limit = limit;
	s->pool_granted += credit_charge(s, sl);
	return limit;
}
