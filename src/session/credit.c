/* SPDX-License-Identifier: MIT */
/*
 * credit.c - how much each stream of the peer may send
 *
 * What the peer may still have outstanding on a stream is rx_limit - rx_read,
 * bytes that wait in the pool included. The stream holds that, and what it gave
 * back since its last CREDIT: until the next one is due nobody else may take
 * it, or whoever asks more often would have more. The sum of all that is held
 * never exceeds the pool: no promise is made that cannot be kept. The initial
 * window is set aside for every slot, used or not; what is held beyond is
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
 * What an owner's streams have granted, their initial windows included, is at
 * most LIMIT_NUM / LIMIT_DEN of that plus what is free, so that whoever comes
 * later finds something. Of that limit, SHARE_NUM / SHARE_DEN are for what
 * moves: the owner's share, the same for a lone stream and for many. The rest
 * is there because bytes that wait for a reader that stopped cannot be taken
 * back: they count against the limit, not against the share, and the owner's
 * next stream gets SHARE_NUM / SHARE_DEN of what is left of the limit, a window
 * worth its name. One bulk stream of a default host gets 142 KiB, more than the
 * guest may have in flight. Of several streams of an owner, each has at most
 * STREAM_NUM / STREAM_DEN of what the others leave of the share.
 */
#define LIMIT_NUM  2u
#define LIMIT_DEN  3u
#define SHARE_NUM  2u
#define SHARE_DEN  3u
#define STREAM_NUM 7u
#define STREAM_DEN 8u
/* CREDIT is due when this part of the window was taken. */
#define CREDIT_NUM 3u
#define CREDIT_DEN 8u
/* Where an ack goes anyway, this part is enough: one write and one wake-up of
 * the peer for both. */
#define CREDIT_WITH_ACK_DEN 8u

uint32_t credit_charge(const struct vmc_session *s, const struct slot *sl)
{
	return max_u32(sl->held, s->cfg.initial_window);
}

void credit_open(struct vmc_session *s, struct slot *sl)
{
	sl->window = s->cfg.initial_window;
	sl->rx_limit = s->cfg.initial_window;
	sl->held = s->cfg.initial_window;
}

struct account *credit_account(const struct vmc_session *s, uint16_t owner)
{
	return (struct account *)session_at(s, s->at.accounts) + owner;
}

static struct account *account_of(const struct vmc_session *s,
				  const struct slot *sl)
{
	uint16_t owner = sched_owner(session_sched(s), slot_index(s, sl));

	return owner == SCHED_NONE ? NULL : credit_account(s, owner);
}

void credit_waits(struct vmc_session *s, const struct slot *sl, uint32_t n)
{
	struct account *a = account_of(s, sl);

	if (a)
		a->waiting += n;
}

void credit_taken(struct vmc_session *s, const struct slot *sl, uint32_t n)
{
	struct account *a = account_of(s, sl);

	if (a)
		a->waiting -= n;
}

static void set_held(struct vmc_session *s, struct slot *sl, uint32_t held)
{
	struct account *a = account_of(s, sl);
	uint32_t change = credit_charge(s, sl);

	sl->held = held;
	change = credit_charge(s, sl) - change;
	s->pool_granted += change;
	if (a)
		a->loans += change;
}

void credit_close(struct vmc_session *s, struct slot *sl)
{
	sl->rx_limit = sl->rx_read;
	set_held(s, sl, 0);
}

bool credit_restore(struct vmc_session *s, struct slot *sl, uint32_t window)
{
	uint16_t owner = sched_owner(session_sched(s), slot_index(s, sl));
	uint32_t out = (uint32_t)(sl->rx_limit - sl->rx_read);
	uint32_t most = s->cfg.initial_window;

	/* Lent is only to an owner. */
	if (owner != SCHED_NONE)
		most += s->cfg.rx_pool - s->pool_granted;
	if (out > most)
		return false;
	sl->window = min_u32(max_u32(window, s->cfg.initial_window),
			     s->cfg.max_window);
	set_held(s, sl, out);
	return true;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What the stream may have granted in all, as things are. */
static uint32_t share(const struct vmc_session *s, const struct slot *sl)
{
	uint16_t owner = sched_owner(session_sched(s), slot_index(s, sl));
	uint64_t all, others, moving, limit, most;
	const struct account *a;
	uint32_t n;

	if (owner == SCHED_NONE)
		return s->cfg.initial_window;
	a = credit_account(s, owner);
	n = sched_owner_streams(session_sched(s), owner);
	all = a->loans + (uint64_t)n * s->cfg.initial_window;
	others = all - credit_charge(s, sl);
	moving = less(others, a->waiting - sl->q_len);
	limit = (s->cfg.rx_pool - s->pool_granted + all) * LIMIT_NUM /
		LIMIT_DEN;
	most = less(limit * SHARE_NUM / SHARE_DEN, moving);
	if (n > 1)
		most = most * STREAM_NUM / STREAM_DEN;
	most = min_u64(most, less(limit, others) * SHARE_NUM / SHARE_DEN);
	return max_u32((uint32_t)min_u64(sl->window, most),
		       s->cfg.initial_window);
}

/* The peer's end is known, or nobody wants its bytes: no more credit. */
static bool is_over(const struct slot *sl)
{
	return sl->bits & (SL_RX_FIN | SL_RX_STOP | SL_ENDED);
}

static uint32_t due_from(const struct vmc_session *s, uint32_t window)
{
	if (s->ack_frames && s->ack_bytes >= s->ack_bytes_max)
		return window / CREDIT_WITH_ACK_DEN;
	return (window * CREDIT_NUM + CREDIT_DEN - 1) / CREDIT_DEN;
}

/*
 * The limit that goes with @window. The peer's frames are as large as it lets
 * them be, so it ends where one of them does: each frame costs both sides
 * some system calls, whatever its size.
 */
static uint64_t limit_of(const struct vmc_session *s, const struct slot *sl,
			 uint32_t window)
{
	uint32_t frame = s->max_frame - WIRE_HEADER;
	uint64_t limit = sl->rx_read + window;
	uint64_t ahead = less(limit, sl->rx_off);

	if (frame == 0 || ahead < frame)
		return limit;
	return limit - ahead % frame;
}

void credit_consumed(struct vmc_session *s, struct slot *sl, uint32_t n)
{
	uint32_t window, out;
	uint64_t limit;

	sl->rx_read += n;
	out = (uint32_t)(sl->rx_limit - sl->rx_read);
	if (is_over(sl)) {
		set_held(s, sl, out);
		return;
	}
	if (sl->rx_read == sl->rx_off &&
	    sl->rx_read - sl->grow_from >= sl->window) {
		sl->window = min_u32(2 * sl->window, s->cfg.max_window);
		sl->grow_from = sl->rx_read;
	}
	window = share(s, sl);
	if (sl->held > window)
		set_held(s, sl, max_u32(window, out));
	limit = limit_of(s, sl, window);
	if (limit > sl->rx_limit && limit - sl->rx_limit >= due_from(s, window))
		slot_want(s, sl, WANT_CREDIT);
}

uint64_t credit_due(const struct vmc_session *s, const struct slot *sl)
{
	uint64_t limit = limit_of(s, sl, share(s, sl));

	return is_over(sl) || limit <= sl->rx_limit ? 0 : limit;
}

void credit_grant(struct vmc_session *s, struct slot *sl, uint64_t limit)
{
	sl->rx_limit = limit;
	set_held(s, sl, (uint32_t)(limit - sl->rx_read));
}
