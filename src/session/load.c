/* SPDX-License-Identifier: MIT */
/*
 * load.c - a session out of saved bytes
 *
 * They are foreign: whoever can reach the migration stream can write what
 * they want. So each field is checked by itself when it is read, then against
 * the others where they meet, and in the end the whole session by
 * vmc_session_check(). What fails is forgotten as a whole.
 */
#include <string.h>

#include "base/bytes.h"
#include "session/internal.h"
#include "session/load.h"
#include "session/saved.h"

#define PADDING_LEFT(len) (-(len) & (SAVED_ALIGN - 1u))

/* The bytes of each section; nothing for one that is missing. */
struct sections {
	struct rd at[SAVED_END];
	uint32_t present; /* bit per type */
};

static bool rd_zeros(struct rd *r, size_t n)
{
	uint8_t any = 0;

	while (n--)
		any |= rd_u8(r);
	return !any && !r->bad;
}

/* One section; @last: type of the one before. */
static int get_section(struct rd *r, struct sections *ret, uint32_t *last)
{
	uint32_t type = rd_u16(r);
	uint32_t flags = rd_u16(r);
	uint32_t len = rd_u32(r);
	const uint8_t *p = rd_bytes(r, len);

	if (!p || !rd_zeros(r, PADDING_LEFT(len)) || type <= *last ||
	    (flags & ~SAVED_MUST))
		return VMC_ERR_BLOB;
	*last = type;
	if (type >= SAVED_FOREIGN)
		return 0;
	if (type >= SAVED_END)
		return flags & SAVED_MUST ? VMC_ERR_FUTURE : 0;
	ret->at[type] = rd_init(p, len);
	ret->present |= 1u << type;
	/* One that holds nothing is not written. */
	return len ? 0 : VMC_ERR_BLOB;
}

static int get_sections(struct rd r, struct sections *ret)
{
	uint32_t last = 0;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	while (r.left && !err)
		err = get_section(&r, ret, &last);
	return err;
}

/* ---- the session itself -------------------------------------------------- */

static bool ids_valid(const struct vmc_session *s)
{
	bool host = s->cfg.role == VMC_ROLE_HOST;
	uint32_t ours = host ? 2 : 1;

	return s->next_id >= ours && (s->next_id & 1) == (ours & 1) &&
	       s->next_id <= ID_MAX + 2 && s->peer_last_id <= ID_MAX &&
	       (!s->peer_last_id || (s->peer_last_id & 1) != (ours & 1));
}

static bool numbers_valid(const struct vmc_session *s)
{
	return s->tx_first <= s->tx_next && s->tx_next <= LOAD_NUMBER_MAX &&
	       s->rx_next <= LOAD_NUMBER_MAX;
}

static bool peer_valid(const struct vmc_session *s)
{
	return s->peer_window <= VMC_MAX_WINDOW && s->peer_streams >= 1 &&
	       s->ack_bytes_max >= 1 && s->ack_bytes_max <= VMC_MAX_INFLIGHT;
}

/* Legal, but beyond what we can do? */
static int session_fits(const struct vmc_session *s)
{
	if (s->version > s->cfg.version_max ||
	    (s->features & ~s->cfg.features_offered))
		return VMC_ERR_FUTURE;
	if (s->version < s->cfg.version_min ||
	    s->max_frame > s->cfg.max_frame ||
	    s->tx_next - s->tx_first > s->at.n_frames ||
	    !window_fits(&s->cfg, s->cfg.initial_window))
		return VMC_ERR_LIMIT;
	return 0;
}

static int get_session(struct vmc_session *s, struct rd r)
{
	static const uint8_t none[sizeof(s->session_id)];
	uint8_t role = rd_u8(&r);
	uint32_t reserved;
	const uint8_t *id;

	s->version = rd_u8(&r);
	s->explain = rd_u16(&r);
	s->epoch = rd_u32(&r);
	s->attach_no = rd_u32(&r);
	s->max_frame = rd_u32(&r);
	id = rd_bytes(&r, sizeof(s->session_id));
	s->features = rd_u64(&r);
	s->cfg.instance = rd_u64(&r);
	s->peer_instance = rd_u64(&r);
	s->peer_window = rd_u32(&r);
	s->peer_streams = rd_u32(&r);
	s->peer_names = rd_u32(&r);
	s->ack_bytes_max = rd_u32(&r);
	s->next_id = rd_u32(&r);
	s->peer_last_id = rd_u32(&r);
	s->rx_next = rd_u64(&r);
	s->rx_digest = rd_u64(&r);
	s->tx_first = rd_u64(&r);
	s->tx_next = rd_u64(&r);
	s->tx_digest_first = rd_u64(&r);
	s->tx_digest = rd_u64(&r);
	s->cfg.initial_window = rd_u32(&r);
	reserved = rd_u32(&r);
	if (!id || !rd_done(&r) || reserved || role != s->cfg.role ||
	    !memcmp(id, none, sizeof(none)) || !s->epoch || !s->version ||
	    s->max_frame < VMC_MIN_FRAME || s->max_frame > VMC_MAX_FRAME ||
	    !ids_valid(s) || !numbers_valid(s) || !peer_valid(s) ||
	    (s->explain && !explain_valid(s->explain)) ||
	    !s->cfg.initial_window || s->cfg.initial_window > VMC_MAX_WINDOW)
		return VMC_ERR_BLOB;
	memcpy(s->session_id, id, sizeof(s->session_id));
	/* The peer goes by the window that it was told, not by our own. */
	s->pool_granted = s->cfg.max_streams * s->cfg.initial_window;
	return session_fits(s);
}

/* ---- names and rejects --------------------------------------------------- */

static int get_name(struct vmc_session *s, struct rd *r)
{
	uint8_t side = rd_u8(r);
	uint8_t len = rd_u8(r);
	uint16_t reserved = rd_u16(r);
	uint32_t flags = rd_u32(r);
	const uint8_t *name = rd_bytes(r, len);

	if (!name || len > VMC_NAME_MAX || !rd_zeros(r, VMC_NAME_MAX - len) ||
	    !vmc_name_valid((const char *)name, len) || reserved ||
	    side >= SAVED_NAME_SIDES || (flags & ~VMC_NAME_MESSAGES))
		return VMC_ERR_BLOB;
	return names_restore(s, side == SAVED_NAME_OURS, (const char *)name,
			     len, flags);
}

static int get_reject(struct vmc_session *s, struct rd *r)
{
	uint32_t id = rd_u32(r);
	uint16_t reason = rd_u16(r);
	uint16_t reserved = rd_u16(r);

	if (r->bad || reserved || !id || (id & 1) == (s->next_id & 1) ||
	    id > s->peer_last_id)
		return VMC_ERR_BLOB;
	if (s->n_unanswered + s->reject_tail - s->reject_head >=
	    s->cfg.max_streams)
		return VMC_ERR_LIMIT;
	control_reject(s, id, reason);
	return 0;
}

static int get_all(struct vmc_session *s, struct rd r,
		   int (*get)(struct vmc_session *s, struct rd *r))
{
	int err = 0;

	while (r.left && !err)
		err = get(s, &r);
	return err;
}

static int load_all(struct vmc_session *s, const uint8_t *blob, size_t len,
		    uint64_t now)
{
	struct sections sec;
	int err = get_sections(rd_init(blob, len), &sec);

	if (err)
		return err;
	if (!sec.present)
		return 0;
	if (!(sec.present & 1u << SAVED_SESSION))
		return VMC_ERR_BLOB;
	err = get_session(s, sec.at[SAVED_SESSION]);
	if (err)
		return err;
	s->has_session = true;
	sched_set_quantum(session_sched(s), s->max_frame);
	err = load_streams(s, sec.at[SAVED_STREAMS], sec.at[SAVED_RECEIVED]);
	if (!err)
		err = load_retained(s, sec.at[SAVED_RETAINED], now);
	if (!err)
		err = get_all(s, sec.at[SAVED_NAMES], get_name);
	if (!err)
		err = get_all(s, sec.at[SAVED_REJECTS], get_reject);
	if (err)
		return err;
	s->state = VMC_SESSION_DETACHED;
	s->down_since = now;
	memset(&s->st, 0, sizeof(s->st));
	session_raise_readable(s);
	return vmc_session_check(s) ? VMC_ERR_BLOB : 0;
}

int vmc_session_load(struct vmc_session **ret, void *mem, size_t size,
		     const struct vmc_session_config *cfg, const uint8_t *blob,
		     size_t len, uint64_t now)
{
	int err = vmc_session_init(ret, mem, size, cfg);

	if (err)
		return err;
	err = load_all(*ret, blob, len, now);
	if (err)
		vmc_session_init(ret, mem, size, cfg);
	return err;
}
