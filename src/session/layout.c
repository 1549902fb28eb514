/* SPDX-License-Identifier: MIT */
/* layout.c - limits of a role, and where the arrays lie */
#include "session/internal.h"

#include <string.h>

#include "session/saved.h"

/* In the ring, of a frame without DATA: a header and a small payload. */
#define FRAME_ROOM (WIRE_HEADER + 8u)
/* What a broker adds to the saved state: docs/continuity.md, section 3.1. */
#define BROKER_SHARE (144u * 1024u)

#define HOST_STREAMS 256u
/* 36 KiB of the state; each name that comes is looked for in all of them. */
#define HOST_NAMES    256u
#define HOST_POOL     (448u * 1024u)
#define HOST_INFLIGHT (192u * 1024u)
/* Set aside for every stream that could be: half a KiB holds a call, and
 * leaves most of the host's pool to those that move much. */
#define HOST_WINDOW  512u
#define GUEST_WINDOW 4096u
#define HOST_FRAMES  2048u /* frames_for(HOST_INFLIGHT) */

#define HOST_RING                                                 \
	(HOST_INFLIGHT + FRESH_BYTES + HOST_FRAMES * FRAME_ROOM + \
	 2 * VMC_MAX_FRAME)

_Static_assert(SAVED_MAX(HOST_STREAMS, HOST_POOL, HOST_RING, HOST_NAMES) +
			       BROKER_SHARE <=
		       VMC_STATE_MAX,
	       "all state of a host's session fits what QEMU carries");

void vmc_session_config_default(struct vmc_session_config *ret_cfg,
				enum vmc_role role)
{
	bool host = role == VMC_ROLE_HOST;

	*ret_cfg = (struct vmc_session_config){
		.role = (uint32_t)role,
		.max_streams = HOST_STREAMS,
		.max_names = HOST_NAMES,
		.max_frame = VMC_MAX_FRAME,
		.rx_pool = host ? HOST_POOL : 4u * 1024u * 1024u,
		.initial_window = host ? HOST_WINDOW : GUEST_WINDOW,
		.max_window = 256u * 1024u,
		.inflight_bytes = host ? HOST_INFLIGHT : 128u * 1024u,
		/* The guest's must leave room for the HELLOs of some agents
		 * below 212,992, what QEMU's socket takes; the host has a
		 * socket of its own that may fill. */
		.inflight_charge = host ? 512u * 1024u : 160u * 1024u,
		.inflight_writes = host ? 1024 : 240,
		.ack_delay_us = 10000,
		.hello_retry_us = 50000,
		.hello_retry_max_us = 2000000,
		.partial_us = 1000000,
		.stall_us = 5000000,
		.grace_us = 300000000,
		.opens_per_s = 2000,
		.control_per_s = 20000,
		.version_min = WIRE_VERSION,
		.version_max = WIRE_VERSION,
		.grease = 1,
	};
}

static bool within(uint64_t v, uint64_t min, uint64_t max)
{
	return v >= min && v <= max;
}

bool window_fits(const struct vmc_session_config *c, uint32_t initial)
{
	return within(initial, 1, c->max_window) &&
	       (uint64_t)c->max_streams * initial <= c->rx_pool;
}

bool config_valid(const struct vmc_session_config *c)
{
	return c->role <= VMC_ROLE_GUEST &&
	       within(c->max_streams, 1, VMC_MAX_STREAMS) &&
	       within(c->max_names, 1, VMC_MAX_NAMES) &&
	       within(c->max_frame, VMC_MIN_FRAME, VMC_MAX_FRAME) &&
	       within(c->rx_pool, 1, VMC_MAX_POOL) &&
	       within(c->max_window, 1, VMC_MAX_WINDOW) &&
	       window_fits(c, c->initial_window) &&
	       within(c->inflight_bytes, 1, VMC_MAX_INFLIGHT) &&
	       within(c->inflight_charge,
		      tx_charge(c->max_frame) + CONTROL_CHARGE +
			      STAGE_MIN * STAGE_CHARGE,
		      2 * VMC_MAX_INFLIGHT) &&
	       within(c->inflight_writes, 2 * CONTROL_WRITES, 4096) &&
	       c->hello_retry_us >= 1 &&
	       c->hello_retry_max_us >= c->hello_retry_us &&
	       c->version_min >= 1 && c->version_min <= c->version_max &&
	       !(c->features_required & ~c->features_offered);
}

static uint32_t pow2_at_least(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max)
{
	return v < min ? min : v > max ? max : v;
}

/* Un-acked frames: mean payload of 96 bytes before this limit bites. */
static uint32_t frames_for(uint32_t inflight_bytes)
{
	return pow2_at_least(clamp(inflight_bytes / 96, 64, 2048));
}

/* A pool is cut so that its tail waste (two chunks per stream) stays small. */
static uint32_t chunk_for(uint32_t pool)
{
	uint32_t c = 64;

	while (c < 4096 && c * 2 * 448 <= pool)
		c *= 2;
	return c;
}

static uint32_t place(uint32_t *total, uint64_t n, uint64_t size)
{
	uint32_t at = *total;

	*total = (uint32_t)((at + n * size + 63) & ~UINT64_C(63));
	return at;
}

void layout_compute(struct layout *ret, const struct vmc_session_config *cfg)
{
	struct layout *l = ret;
	const struct vmc_session_config *c = cfg;
	uint32_t t = 0;

	memset(l, 0, sizeof(*l));
	l->n_hash = pow2_at_least(2 * c->max_streams);
	l->n_frames = frames_for(c->inflight_bytes);
	l->n_units = pow2_at_least(c->inflight_writes);
	l->n_rejects = pow2_at_least(c->max_streams);
	l->chunk_size = chunk_for(c->rx_pool);
	/* A queue of q bytes holds at most q / chunk + 2 chunks. */
	l->n_chunks = c->rx_pool / l->chunk_size + 2 * c->max_streams;
	/* Payload, headers, and what is lost at the end when it wraps. */
	l->ring_size = c->inflight_bytes + FRESH_BYTES +
		       l->n_frames * FRAME_ROOM + 2 * c->max_frame;
	l->input_size = 4 * c->max_frame;

	place(&t, 1, sizeof(struct vmc_session));
	l->slots = place(&t, c->max_streams, sizeof(struct slot));
	l->hash = place(&t, l->n_hash, sizeof(uint16_t));
	l->ctl = place(&t, c->max_streams, sizeof(struct link));
	l->evl = place(&t, c->max_streams, sizeof(struct link));
	l->sched = place(&t, 1, sched_size(c->max_streams));
	l->accounts = place(&t, c->max_streams, sizeof(struct account));
	l->names_local = place(&t, c->max_names, sizeof(struct name_entry));
	l->names_peer = place(&t, c->max_names, sizeof(struct name_entry));
	l->rejects = place(&t, l->n_rejects, sizeof(struct reject));
	l->frames = place(&t, l->n_frames, sizeof(struct frame_meta));
	l->units = place(&t, l->n_units, sizeof(struct unit));
	l->chunk_next = place(&t, l->n_chunks, sizeof(uint16_t));
	l->ring = place(&t, l->ring_size, 1);
	l->input = place(&t, l->input_size, 1);
	l->chunks = place(&t, l->n_chunks, l->chunk_size);
	l->total = t;
}

size_t vmc_session_size(const struct vmc_session_config *cfg)
{
	struct layout l;

	if (!config_valid(cfg))
		return 0;
	layout_compute(&l, cfg);
	return l.total;
}
