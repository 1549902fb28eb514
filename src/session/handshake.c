/* SPDX-License-Identifier: MIT */
/*
 * handshake.c - from a byte pipe to state UP, and back
 *
 *	CLOSED --attach--> SYNC --HELLO_ACK with my nonce--> UP
 *	UP --lost sync, peer's new HELLO--> SYNC       (new nonce)
 *	UP --detach--> DETACHED --attach--> SYNC, --grace--> CLOSED
 *	UP --BYE either way--> REFUSED --HELLO--> SYNC
 *
 * Nothing of the peer is believed before it has echoed my nonce, which is
 * fresh in each handshake; a HELLO may have been made by an application's
 * bytes. Both sides say in HELLO_ACK whether they can go on, and only if both
 * can is the session resumed; so they never disagree about it.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "session/internal.h"

/*
 * What I say of myself stays the same for a whole handshake, or an answer
 * that is sent again would tell the peer something else than the first.
 */
static void snapshot(struct vmc_session *s)
{
	s->mine = (struct hello){
		.role = (uint8_t)s->cfg.role,
		.version_min = s->cfg.version_min,
		.version_max = s->cfg.version_max,
		.nonce = s->nonce,
		.epoch = s->epoch,
		.attach_no = s->attach_no,
		.instance = s->cfg.instance,
		.features_offered = s->cfg.features_offered,
		.features_required = s->cfg.features_required,
		.max_frame = s->cfg.max_frame,
		.initial_window = s->cfg.initial_window,
		.max_streams = s->cfg.max_streams,
		.max_names = s->cfg.max_names,
		.inflight_bytes = s->cfg.inflight_bytes,
		.explain = s->explain,
	};
	s->explained = true;
	if (s->cfg.grease) {
		s->mine.grease_type =
			(uint16_t)(0x7000 | (s->entropy[0] & 0xfff));
		s->mine.grease = s->entropy[1];
	}
	if (!s->has_session)
		return;
	memcpy(s->mine.session_id, s->session_id, sizeof(s->session_id));
	s->mine.rx_next = s->rx_next;
	s->mine.tx_first = s->tx_first;
	s->mine.tx_next = s->tx_next;
	s->mine.rx_digest = s->rx_digest;
}

void hello_make(const struct vmc_session *s, struct hello *ret, uint8_t kind)
{
	*ret = s->mine;
	ret->kind = kind;
	if (kind != HELLO_KIND_ACK)
		return;
	ret->verdict = s->verdict;
	ret->echo = s->peer.nonce;
}

/* ---- going down ------------------------------------------------------------
 */

/* UP is left. The application hears of it only if it heard of UP. */
void session_down(struct vmc_session *s, unsigned int reason, uint64_t now)
{
	if (s->state != VMC_SESSION_UP)
		return;
	rx_settle(s);
	s->down_since = now;
	s->stalled = s->ev_stalled = s->ev_unstalled = false;
	if (s->ev_up && !s->reported_up) {
		s->ev_up = false;
		return;
	}
	s->ev_down = true;
	s->ev_up = false;
	s->down_reason = (uint16_t)reason;
}

/* The session's state is given up: streams end, names are gone. */
void session_forget(struct vmc_session *s, unsigned int reason)
{
	s->down_since = NEVER;
	session_unfreeze(s);
	if (!s->has_session)
		return;
	s->has_session = false;
	s->known_pipe = false;
	slots_end_all(s, reason);
	names_restart(s);
	tx_reset(s);
	/* A BYE still carries the last ack, or the peer would not take it. */
	if (!s->want_bye)
		s->rx_next = 0;
}

static void want_entropy(struct vmc_session *s, uint64_t now)
{
	s->resync_at = NEVER;
	if (bucket_take(&s->resync_bucket, RESYNC_PER_S, RESYNC_BURST, now)) {
		s->resync_wait = 0;
		s->ev_entropy = true;
		return;
	}
	s->st.resync_backoff++;
	s->resync_wait = s->resync_wait ? 2 * s->resync_wait : RESYNC_BACKOFF;
	s->resync_wait = min_u64(s->resync_wait, RESYNC_BACKOFF_MAX);
	s->resync_at = now + s->resync_wait;
}

void lose_sync(struct vmc_session *s, uint64_t now)
{
	session_down(s, VMC_REASON_NO_PEER, now);
	s->state = VMC_SESSION_SYNC;
	s->have_nonce = s->have_peer = false;
	s->stage_kind = STAGE_NONE;
	s->unit_done = 0;
	s->st.resyncs++;
	want_entropy(s, now);
}

void vmc_session_detach(struct vmc_session *s, uint64_t now)
{
	if (!s->attached)
		return;
	session_down(s, VMC_REASON_NO_PEER, now);
	s->attached = false;
	s->have_nonce = s->have_peer = s->peer_seeks = false;
	s->want_bye = false;
	s->ev_entropy = false;
	s->resync_at = NEVER;
	s->unit_done = 0;
	stage_reset(s);
	rx_clear(s);
	s->state = s->has_session ? VMC_SESSION_DETACHED : VMC_SESSION_CLOSED;
}

/* ---- going up ---------------------------------------------------------------
 */

/*
 * The host's link is a socket of its own, new at each attach; it may fill. The
 * guest's is a port that must not be throttled, and what lies in it stays until
 * the host reads, whoever wrote it: an agent that was killed, a link that was
 * given up. So after an attach the guest takes it for full.
 */
bool pipe_has_room(const struct vmc_session *s)
{
	uint32_t used = tx_charge_total(s);

	if (s->cfg.role == VMC_ROLE_GUEST)
		return s->known_pipe && used + tx_charge(VMC_MAX_FRAME) <=
						s->cfg.inflight_charge;
	if (!s->known_pipe)
		used -= s->inflight_charge;
	return used < s->cfg.inflight_charge - CONTROL_CHARGE;
}

static uint64_t hello_wait_min(const struct vmc_session *s)
{
	if (pipe_has_room(s) || s->cfg.hello_retry_us > HELLO_WARY)
		return s->cfg.hello_retry_us;
	return HELLO_WARY;
}

/* My nonce and all that is to be random in this handshake. */
static void take_entropy(struct vmc_session *s,
			 const uint8_t entropy[VMC_ENTROPY_LEN])
{
	s->nonce = le64_get(entropy);
	if (!s->nonce)
		s->nonce = 1;
	for (int i = 0; i < 3; i++)
		s->entropy[i] = le64_get(entropy + 8 + 8 * i);
	s->have_nonce = true;
	s->asleep = s->may_thaw = false;
	s->answered = false;
	s->want_hello = true;
	s->want_answer = s->have_peer;
	s->hello_tries = 0;
	s->hello_wait = hello_wait_min(s);
	s->hello_due = NEVER;
	snapshot(s);
}

void vmc_session_attach(struct vmc_session *s,
			const uint8_t entropy[VMC_ENTROPY_LEN], uint64_t now)
{
	vmc_session_detach(s, now);
	s->attached = true;
	s->state = VMC_SESSION_SYNC;
	s->attach_no++;
	s->st.attaches++;
	s->want_preamble = true;
	s->known_pipe = false;
	s->resync_wait = 0;
	bucket_init(&s->hello_bucket, HELLO_ANSWERS_BURST, now);
	take_entropy(s, entropy);
}

bool vmc_session_is_greeting(const struct vmc_session *s)
{
	return s->cfg.role == VMC_ROLE_HOST && s->state == VMC_SESSION_SYNC &&
	       !s->want_preamble && !s->dirty_pipe &&
	       s->stage_kind == STAGE_NONE;
}

void vmc_session_attach_greeted(struct vmc_session *s,
				const uint8_t entropy[VMC_ENTROPY_LEN],
				uint64_t now)
{
	vmc_session_attach(s, entropy, now);
	s->want_preamble = false;
}

void vmc_session_resync(struct vmc_session *s,
			const uint8_t entropy[VMC_ENTROPY_LEN], uint64_t now)
{
	if (!s->attached)
		return;
	session_down(s, VMC_REASON_NO_PEER, now);
	s->state = VMC_SESSION_SYNC;
	s->ev_entropy = false;
	s->resync_at = NEVER;
	s->unit_done = 0;
	s->stage_kind = STAGE_NONE;
	s->attach_no++;
	/* A torn frame is completed once; HELLOs alone tear nothing. */
	s->want_preamble = s->want_preamble || s->dirty_pipe;
	take_entropy(s, entropy);
}

static bool versions_fit(const struct vmc_session *s, const struct hello *h)
{
	uint64_t both = s->cfg.features_offered & h->features_offered;

	return h->version_min <= s->cfg.version_max &&
	       s->cfg.version_min <= h->version_max && !h->tlv_refused &&
	       !(h->features_required & ~both) &&
	       !(s->cfg.features_required & ~both);
}

/* Can I go on with what this peer has? */
static uint8_t decide(const struct vmc_session *s, const struct hello *h)
{
	uint64_t digest;

	if (!versions_fit(s, h))
		return HELLO_VERDICT_REFUSED;
	if (!s->has_session || s->epoch != h->epoch ||
	    memcmp(s->session_id, h->session_id, sizeof(s->session_id)) != 0 ||
	    min_u32(s->cfg.max_frame, h->max_frame) != s->max_frame)
		return HELLO_VERDICT_UNKNOWN;
	if (h->rx_next < s->tx_first || h->rx_next > s->tx_next ||
	    s->rx_next < h->tx_first || s->rx_next > h->tx_next)
		return HELLO_VERDICT_ROLLBACK;
	digest = h->rx_next == s->tx_first
			 ? s->tx_digest_first
			 : frame_at(s, h->rx_next - 1)->digest;
	return digest == h->rx_digest ? HELLO_VERDICT_RESUME
				      : HELLO_VERDICT_ROLLBACK;
}

void vmc_session_explain(struct vmc_session *s, unsigned int reason)
{
	s->explain = (uint16_t)reason;
	s->explained = false;
}

void explain_done(struct vmc_session *s)
{
	if (s->explained)
		s->explain = 0;
}

bool explain_valid(unsigned int reason)
{
	return reason == VMC_REASON_ROLLBACK || reason == VMC_REASON_CLONED ||
	       reason == VMC_REASON_MIGRATED ||
	       reason == VMC_REASON_DAEMON_LOST;
}

/* @reason, or what the peer has to say about it. */
static unsigned int explained_by(const struct hello *peer, unsigned int reason)
{
	return explain_valid(peer->explain) ? peer->explain : reason;
}

/* Why a session that was there cannot go on. */
static unsigned int lost_reason(const struct vmc_session *s)
{
	if (s->peer.instance != s->peer_instance)
		return s->cfg.role == VMC_ROLE_HOST
			       ? VMC_REASON_AGENT_LOST
			       : explained_by(&s->peer, VMC_REASON_DAEMON_LOST);
	if (s->verdict == HELLO_VERDICT_ROLLBACK ||
	    s->peer.verdict == HELLO_VERDICT_ROLLBACK)
		return VMC_REASON_ROLLBACK;
	return explained_by(&s->peer, VMC_REASON_SESSION_LOST);
}

enum key_use {
	KEY_HOST_TO_GUEST = 1,
	KEY_GUEST_TO_HOST = 2,
	KEY_SESSION_LOW = 3,
	KEY_SESSION_HIGH = 4,
	KEY_DIGEST_HOST = 5,
	KEY_DIGEST_GUEST = 6,
};

/* Both nonces, the host's first, under a number for the use. */
static uint64_t derive(const struct vmc_session *s, enum key_use use)
{
	bool host = s->cfg.role == VMC_ROLE_HOST;
	uint8_t both[16];

	le64_put(both, host ? s->nonce : s->peer.nonce);
	le64_put(both + 8, host ? s->peer.nonce : s->nonce);
	return hash64_seed(both, sizeof(both), use);
}

static void new_session(struct vmc_session *s)
{
	bool host = s->cfg.role == VMC_ROLE_HOST;
	uint64_t host_digest = derive(s, KEY_DIGEST_HOST);
	uint64_t guest_digest = derive(s, KEY_DIGEST_GUEST);
	uint32_t epoch = max_u32(s->epoch, s->peer.epoch) + 1;
	unsigned int reason = lost_reason(s);

	session_forget(s, reason);
	/* The peer may not hear this verdict, and have nothing to judge by
	 * when it meets the new session; until it is up, too. */
	if (reason == VMC_REASON_ROLLBACK && (!s->explain || s->explained)) {
		s->explain = VMC_REASON_ROLLBACK;
		s->explained = true;
	}
	s->has_session = true;
	s->epoch = epoch;
	le64_put(s->session_id, derive(s, KEY_SESSION_LOW));
	le64_put(s->session_id + 8, derive(s, KEY_SESSION_HIGH));
	tx_reset(s);
	s->rx_next = 0;
	s->tx_digest = s->tx_digest_first = host ? host_digest : guest_digest;
	s->rx_digest = host ? guest_digest : host_digest;
	s->next_id = host ? 2 : 1;
	s->peer_last_id = 0;
	s->st.sessions++;
	names_restart(s);
}

static void resume_session(struct vmc_session *s, uint64_t now)
{
	tx_acked_to(s, s->peer.rx_next);
	tx_requeue(s, now);
	s->st.resumes++;
}

static void negotiate(struct vmc_session *s)
{
	const struct hello *h = &s->peer;
	bool host = s->cfg.role == VMC_ROLE_HOST;

	s->version = h->version_max < s->cfg.version_max ? h->version_max
							 : s->cfg.version_max;
	s->features = s->cfg.features_offered & h->features_offered;
	s->max_frame = min_u32(s->cfg.max_frame, h->max_frame);
	s->peer_window = h->initial_window;
	s->peer_streams = h->max_streams;
	s->peer_names = h->max_names;
	s->ack_bytes_max = max_u32(h->inflight_bytes / 8 * 3, 1);
	s->tx_seed = derive(s, host ? KEY_HOST_TO_GUEST : KEY_GUEST_TO_HOST);
	s->rx_seed = derive(s, host ? KEY_GUEST_TO_HOST : KEY_HOST_TO_GUEST);
	sched_set_quantum(session_sched(s), s->max_frame);
}

static void go_up(struct vmc_session *s, uint64_t now)
{
	bool resume = s->has_session && s->verdict == HELLO_VERDICT_RESUME &&
		      s->peer.verdict == HELLO_VERDICT_RESUME;

	negotiate(s);
	stage_go_up(s);
	s->ack_frames = s->ack_bytes = 0;
	s->ack_due = NEVER;
	if (resume)
		resume_session(s, now);
	else
		new_session(s);
	session_unfreeze(s);
	s->peer_seeks = false;
	s->peer_instance = s->peer.instance;
	s->down_since = NEVER;
	s->known_pipe = true;
	s->want_hello = false;
	s->hello_due = NEVER;
	s->resync_wait = 0;
	s->want_grease = s->cfg.grease;
	s->state = VMC_SESSION_UP;
	s->ev_up = true;
	s->up_resumed = resume;
}

static void refuse(struct vmc_session *s, uint64_t now)
{
	s->st.version_mismatch++;
	session_down(s, VMC_REASON_VERSION, now);
	session_forget(s, VMC_REASON_VERSION);
	s->state = VMC_SESSION_REFUSED;
	s->want_hello = false;
	s->hello_due = NEVER;
}

/* One that is not out yet answers them all: what lay in the pipe while the VM
 * stood still must not use up the answer that counts. */
static void answer(struct vmc_session *s, uint64_t now)
{
	if (s->want_answer)
		return;
	if (bucket_take(&s->hello_bucket, HELLO_ANSWERS_PER_S,
			HELLO_ANSWERS_BURST, now))
		s->want_answer = true;
	else
		s->st.hello_limited++;
}

/* A HELLO_ACK that answers my present nonce comes from the peer itself. */
static void on_answer(struct vmc_session *s, const struct hello *h,
		      uint64_t now)
{
	if (!s->have_nonce || h->echo != s->nonce) {
		s->st.bad_hello++;
		return;
	}
	if (s->state != VMC_SESSION_SYNC)
		return;
	if (!s->have_peer || s->peer.nonce != h->nonce)
		s->answered = false;
	s->peer = *h;
	s->have_peer = true;
	s->verdict = decide(s, h);
	if (!s->answered)
		s->want_answer = true;
	if (s->verdict == HELLO_VERDICT_REFUSED ||
	    h->verdict == HELLO_VERDICT_REFUSED)
		refuse(s, now);
	else
		go_up(s, now);
}

/* Anybody may have made these bytes: they only cause an answer. */
static void on_greeting(struct vmc_session *s, const struct hello *h,
			uint64_t now)
{
	if (s->state == VMC_SESSION_UP) {
		/* On a frame's boundary, so it is the peer that says it. */
		if (h->nonce == s->peer.nonce) {
			answer(s, now);
			/* It was not up: has it seen my frames? */
			s->ping_out = false;
			s->want_ping = true;
			return;
		}
		lose_sync(s, now);
	} else if (s->state == VMC_SESSION_REFUSED) {
		if (decide(s, h) != HELLO_VERDICT_REFUSED)
			lose_sync(s, now);
	}
	if (!s->have_peer || s->peer.nonce != h->nonce)
		s->answered = false;
	s->peer = *h;
	s->have_peer = s->peer_seeks = true;
	s->verdict = decide(s, h);
	answer(s, now);
}

void on_hello(struct vmc_session *s, const struct hello *h, uint64_t now)
{
	s->st.unknown_ignored += h->tlvs_ignored;
	if (h->role == s->cfg.role) {
		s->st.bad_hello++;
		return;
	}
	if (h->kind == HELLO_KIND_ACK)
		on_answer(s, h, now);
	else
		on_greeting(s, h, now);
}

/* ---- time
 * ---------------------------------------------------------------------- */

static void hello_retry(struct vmc_session *s, uint64_t now)
{
	uint64_t most = s->cfg.hello_retry_max_us;
	uint64_t wait = 2 * s->hello_wait;

	if (!pipe_has_room(s)) {
		most = HELLO_SLOW;
		if (wait < HELLO_WARY)
			wait = HELLO_WARY;
	}
	s->hello_wait = min_u64(wait, most);
	s->hello_due = now + s->hello_wait;
	s->want_hello = true;
}

/*
 * The peer may have been told under this nonce that the session goes on, and
 * what was said under a nonce stays true: so the handshake begins anew.
 */
static void grace_is_over(struct vmc_session *s, uint64_t now)
{
	session_forget(s, VMC_REASON_SESSION_LOST);
	if (s->state == VMC_SESSION_DETACHED)
		s->state = VMC_SESSION_CLOSED;
	else if (s->have_nonce)
		lose_sync(s, now);
}

/* While frozen it is for the owner to say how long is too long; and a peer
 * that stands still cannot come back in time. */
static uint64_t grace_ends(const struct vmc_session *s)
{
	uint64_t grace = s->cfg.grace_us;

	if (s->down_since == NEVER || s->frozen || s->peer_stands)
		return NEVER;
	return s->down_since > NEVER - grace ? NEVER : s->down_since + grace;
}

void vmc_session_peer_stands(struct vmc_session *s, bool stands, uint64_t now)
{
	if (s->peer_stands && !stands && s->down_since != NEVER)
		s->down_since = now;
	s->peer_stands = stands;
}

void vmc_session_greet_again(struct vmc_session *s)
{
	if (s->state != VMC_SESSION_SYNC || !s->have_nonce || s->asleep)
		return;
	s->hello_wait = hello_wait_min(s);
	s->want_hello = true;
}

void handshake_tick(struct vmc_session *s, uint64_t now)
{
	if (now >= grace_ends(s))
		grace_is_over(s, now);
	if (s->resync_at <= now) {
		s->resync_at = NEVER;
		s->ev_entropy = true;
	}
	if (s->state == VMC_SESSION_SYNC && s->have_nonce &&
	    s->hello_due <= now)
		hello_retry(s, now);
}

uint64_t handshake_deadline(const struct vmc_session *s)
{
	uint64_t t = min_u64(s->resync_at, grace_ends(s));

	if (s->state == VMC_SESSION_SYNC && s->have_nonce)
		t = min_u64(t, s->hello_due);
	return t;
}
