/* SPDX-License-Identifier: MIT */
/*
 * state_load.c - a broker from bytes: foreign ones
 *
 * All of ours is read and checked by itself first, then the engine takes its
 * part, then both must agree about the streams. Only then anything is
 * changed, but for the session, which is made anew if they do not agree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "broker/control.h"
#include "broker/internal.h"
#include "broker/log.h"
#include "broker/state_rec.h"

struct rec {
	uint64_t cookie;
	struct stream st; /* without slot, handle and descriptor */
	uint8_t flags;
	uint32_t early_len;
	const uint8_t *early;
	int fd;
};

struct chan_row {
	bool messages;
	uid_t uid;
	char name[VMC_NAME_MAX + 1];
};

struct load {
	struct broker *b;
	struct state s;
	char id_text[STATE_ID_TEXT + 1], instance_text[STATE_ID_TEXT + 1];
	uint64_t last_number, last_seq;
	bool greeted; /* the session that was there did no more */
	struct rec *recs;
	uint32_t n_recs;
	struct chan_row *chans;
	uint32_t n_chans;
	const struct state_fd *fds;
	size_t n_fds;
	uint8_t loaded_id[STATE_ID_LEN]; /* of the Save that brought it here */
};

/* ---- reading
 * ------------------------------------------------------------------ */

static bool read_text(struct rd *r, char ret[STATE_ID_TEXT + 1])
{
	const uint8_t *p = rd_bytes(r, STATE_ID_TEXT);

	if (!p)
		return false;
	memcpy(ret, p, STATE_ID_TEXT);
	ret[STATE_ID_TEXT] = '\0';
	return strspn(ret, "0123456789abcdef") == STATE_ID_TEXT;
}

static bool read_name(struct rd *r, size_t len, char ret[VMC_NAME_MAX + 1])
{
	size_t padded = (len + 7u) & ~(size_t)7u;
	const uint8_t *p;

	if (len > VMC_NAME_MAX)
		return false;
	p = rd_bytes(r, padded);
	if (!p || !vmc_name_valid((const char *)p, len))
		return false;
	for (size_t i = len; i < padded; i++) {
		if (p[i] != 0)
			return false;
	}
	memcpy(ret, p, len);
	ret[len] = '\0';
	return true;
}

static void read_caller(struct rd *r, struct vmc_principal *ret)
{
	ret->kind = rd_u32(r);
	ret->uid = rd_u32(r);
	ret->gid = rd_u32(r);
}

static void read_check(struct rd *r, struct msgcheck *ret)
{
	uint32_t partial;

	ret->body = rd_u32(r);
	partial = rd_u32(r);
	ret->partial = partial & 0xffffffu;
	ret->n_partial = (uint8_t)(partial >> 24);
}

/* Return: false if bytes are missing, or the name is none. */
static bool read_rec(struct rd *r, struct rec *ret)
{
	struct stream *st = &ret->st;
	const uint8_t *token;
	uint32_t reserved;
	uint8_t name_len;

	ret->cookie = rd_u64(r);
	st->number = rd_u64(r);
	ret->flags = rd_u8(r);
	name_len = rd_u8(r);
	st->cut = rd_u16(r);
	st->local_uid = rd_u32(r);
	read_caller(r, &st->caller);
	st->state = (enum stream_state)rd_u8(r);
	st->answer = (enum stream_answer)rd_u8(r);
	st->weight = rd_u16(r);
	st->delivered = rd_u64(r);
	token = rd_bytes(r, TOKEN_LEN);
	read_check(r, &st->check);
	ret->early_len = rd_u32(r);
	reserved = rd_u32(r);
	if (!token || r->bad || reserved != 0)
		return false;
	memcpy(st->token, token, TOKEN_LEN);
	st->outgoing = ret->flags & STATE_REC_OUTGOING;
	st->messages = ret->flags & STATE_REC_MESSAGES;
	st->follow = ret->flags & STATE_REC_FOLLOW;
	st->rx_done = ret->flags & STATE_REC_RX_DONE;
	st->tx_done = ret->flags & STATE_REC_TX_DONE;
	st->tx_stopped = ret->flags & STATE_REC_TX_STOPPED;
	return read_name(r, name_len, st->name);
}

/* ---- each record by itself
 * ---------------------------------------------------- */

static bool is_check_valid(const struct stream *st)
{
	const struct msgcheck *c = &st->check;

	if (!st->messages)
		return c->body == 0 && c->partial == 0 && c->n_partial == 0;
	if (c->n_partial > 3 || c->partial >> (8u * c->n_partial) != 0)
		return false;
	return c->body <= VMC_MSG_MAX && (c->body == 0 || c->n_partial == 0);
}

static bool is_state_valid(const struct load *l, const struct stream *st)
{
	bool moving = l->s.header.kind == STATE_MOVE;

	switch ((unsigned int)st->state) {
	case STREAM_OPEN:
		return !moving || st->follow;
	case STREAM_AWAITED:
		return st->follow;
	case STREAM_OPENING:
		return !moving && st->outgoing;
	case STREAM_WAITING:
	case STREAM_STARTING:
		return !moving && !st->outgoing && st->weight >= 1;
	default:
		return false;
	}
}

static bool is_rec_valid(const struct load *l, const struct rec *r)
{
	const struct broker *b = l->b;
	const struct stream *st = &r->st;
	enum vmc_principal_kind side = st->outgoing ? b->side : b->peer_side;

	return (uint32_t)r->cookie < b->n_slots && r->cookie >> 32 != 0 &&
	       st->number >= 1 && st->number <= l->last_number &&
	       (r->flags & ~STATE_REC_FLAGS) == 0 &&
	       (!(r->flags & STATE_REC_LOST) || r->early_len == 0) &&
	       st->tx_stopped <= st->tx_done && st->caller.kind == side &&
	       st->weight <= 16 && st->answer <= STREAM_ANSWER_CALL &&
	       is_check_valid(st) && is_state_valid(l, st);
}

/* Slots and numbers are each used once. */
static bool is_unique(const struct load *l, uint32_t n)
{
	const struct rec *r = &l->recs[n];

	for (uint32_t i = 0; i < n; i++) {
		if ((uint32_t)l->recs[i].cookie == (uint32_t)r->cookie ||
		    l->recs[i].st.number == r->st.number)
			return false;
	}
	return true;
}

static bool read_recs(struct load *l, struct rd *r)
{
	for (uint32_t i = 0; i < l->n_recs; i++) {
		l->recs[i].fd = -1;
		if (!read_rec(r, &l->recs[i]) ||
		    !is_rec_valid(l, &l->recs[i]) || !is_unique(l, i))
			return false;
	}
	return rd_done(r);
}

static enum state_result read_broker(struct load *l)
{
	const struct state_section *sec = state_section(&l->s, STATE_BROKER);
	struct rd r;

	if (!sec)
		return STATE_BAD;
	r = rd_init(sec->data, sec->len);
	if (!read_text(&r, l->id_text) || !read_text(&r, l->instance_text))
		return STATE_BAD;
	l->last_number = rd_u64(&r);
	l->last_seq = rd_u64(&r);
	l->n_recs = rd_u32(&r);
	if (rd_u32(&r) != 0 || r.bad || l->last_number >> 63 ||
	    l->last_seq >> 63 || l->n_recs > sec->len / STATE_REC_LEN)
		return STATE_BAD;
	if (l->n_recs > l->b->n_slots)
		return STATE_LIMIT;
	l->recs = calloc(l->n_recs + 1, sizeof(*l->recs));
	if (!l->recs)
		return STATE_LIMIT;
	return read_recs(l, &r) ? STATE_OK : STATE_BAD;
}

static enum state_result read_early(struct load *l)
{
	const struct state_section *sec = state_section(&l->s, STATE_EARLY);
	struct rd r = sec ? rd_init(sec->data, sec->len) : rd_init(NULL, 0);

	if (r.left > STATE_EARLY_MAX)
		return STATE_BAD;
	for (uint32_t i = 0; i < l->n_recs; i++)
		l->recs[i].early = rd_bytes(&r, l->recs[i].early_len);
	return rd_done(&r) ? STATE_OK : STATE_BAD;
}

static enum state_result read_channels(struct load *l)
{
	const struct state_section *sec = state_section(&l->s, STATE_CHANNELS);
	struct rd r = sec ? rd_init(sec->data, sec->len) : rd_init(NULL, 0);

	if (r.left > 0 && l->s.header.kind == STATE_MOVE)
		return STATE_BAD;
	l->chans = calloc(CHANNELS_MAX, sizeof(*l->chans));
	if (!l->chans)
		return STATE_LIMIT;
	while (r.left > 0 && l->n_chans < CHANNELS_MAX) {
		struct chan_row *row = &l->chans[l->n_chans++];
		uint8_t messages = rd_u8(&r), len = rd_u8(&r);
		uint16_t reserved = rd_u16(&r);

		row->messages = messages;
		row->uid = rd_u32(&r);
		if (messages > 1 || reserved != 0 ||
		    !read_name(&r, len, row->name))
			return STATE_BAD;
	}
	return rd_done(&r) ? STATE_OK : STATE_BAD;
}

/* ---- how streams ended
 * -------------------------------------------------------- */

static bool read_ended(struct rd *r, struct stream_record *ret)
{
	const uint8_t *token;
	uint8_t flags, name_len;
	uint32_t reserved;

	*ret = (struct stream_record){.state = RECORD_ENDED};
	ret->number = rd_u64(r);
	ret->bytes_in = rd_u64(r);
	ret->bytes_out = rd_u64(r);
	read_caller(r, &ret->caller);
	ret->local_uid = rd_u32(r);
	ret->reason = rd_u16(r);
	flags = rd_u8(r);
	name_len = rd_u8(r);
	reserved = rd_u32(r);
	token = rd_bytes(r, TOKEN_LEN);
	if (!token || r->bad || reserved != 0 || flags & ~STATE_ENDED_FLAGS)
		return false;
	memcpy(ret->token, token, TOKEN_LEN);
	ret->outgoing = flags & STATE_ENDED_OUTGOING;
	ret->follow = flags & STATE_ENDED_FOLLOW;
	return read_name(r, name_len, ret->channel);
}

static struct rd records_of(const struct load *l)
{
	const struct state_section *sec = state_section(&l->s, STATE_RECORDS);

	return sec ? rd_init(sec->data, sec->len) : rd_init(NULL, 0);
}

static enum state_result read_records(struct load *l)
{
	struct rd r = records_of(l);

	if (r.left > 0 && l->s.header.kind == STATE_MOVE)
		return STATE_BAD;
	for (unsigned int n = 0; r.left > 0; n++) {
		struct stream_record rec;

		if (n == STATUS_MAX || !read_ended(&r, &rec) ||
		    rec.number == 0 || rec.number > l->last_number)
			return STATE_BAD;
	}
	return STATE_OK;
}

/* They have been looked at. */
static void take_records(struct load *l)
{
	struct rd r = records_of(l);
	struct stream_record rec;

	while (r.left > 0 && read_ended(&r, &rec))
		status_add(l->b->status, &rec);
}

/* ---- which Save it came with
 * -------------------------------------------------------- */

/* A successor's predecessor may be a program that does not say; then it is
 * none that anybody asks for. */
static enum state_result read_loaded(struct load *l)
{
	const struct state_section *sec = state_section(&l->s, STATE_LOADED);
	bool moving = l->s.header.kind == STATE_MOVE;

	if (sec && (moving || sec->len != STATE_ID_LEN))
		return STATE_BAD;
	if (moving)
		memcpy(l->loaded_id, l->s.header.save_id, STATE_ID_LEN);
	else if (sec)
		memcpy(l->loaded_id, sec->data, STATE_ID_LEN);
	return STATE_OK;
}

/* ---- descriptors
 * ------------------------------------------------------------- */

static struct rec *find_rec(const struct load *l, uint64_t cookie)
{
	for (uint32_t i = 0; i < l->n_recs; i++) {
		if (l->recs[i].cookie == cookie)
			return &l->recs[i];
	}
	return NULL;
}

static bool is_fd_valid(const struct load *l, uint32_t kind, uint64_t cookie,
			uint64_t *listeners)
{
	struct rec *r;

	switch (kind) {
	case STATE_FD_STREAM:
		r = find_rec(l, cookie);
		if (!r || r->fd >= 0 || r->st.state == STREAM_AWAITED)
			return false;
		return true;
	case STATE_FD_LISTEN:
		return cookie == (*listeners)++;
	case STATE_FD_CONTROL:
	case STATE_FD_CONNECT:
	case STATE_FD_UPGRADE:
		return cookie == 0;
	default:
		return false;
	}
}

/* What came must be what was written, one by one. */
static enum state_result read_descriptors(struct load *l)
{
	const struct state_section *sec =
		state_section(&l->s, STATE_DESCRIPTORS);
	struct rd r = sec ? rd_init(sec->data, sec->len) : rd_init(NULL, 0);
	uint64_t listeners = 0;

	if (r.left != l->n_fds * STATE_FD_LEN)
		return STATE_BAD;
	for (size_t i = 0; i < l->n_fds; i++) {
		const struct state_fd *fd = &l->fds[i];
		uint32_t kind = rd_u32(&r), reserved = rd_u32(&r);
		uint64_t cookie = rd_u64(&r);

		if (reserved != 0 || kind != fd->kind || cookie != fd->cookie ||
		    !is_fd_valid(l, kind, cookie, &listeners))
			return STATE_BAD;
		if (kind == STATE_FD_STREAM)
			find_rec(l, cookie)->fd = fd->fd;
	}
	return listeners == l->n_chans ? STATE_OK : STATE_BAD;
}

/* Has it as many descriptors as its state asks for? */
static bool is_owned(const struct rec *r)
{
	switch ((unsigned int)r->st.state) {
	case STREAM_OPEN:
		/* One that has nothing left to do may have gone. */
		return r->fd >= 0 || (r->st.rx_done && r->st.tx_done);
	case STREAM_OPENING:
		return r->fd >= 0;
	default:
		return r->fd < 0;
	}
}

static enum state_result check_owned(const struct load *l)
{
	for (uint32_t i = 0; i < l->n_recs; i++) {
		if (l->s.header.kind == STATE_UPGRADE && !is_owned(&l->recs[i]))
			return STATE_BAD;
	}
	return STATE_OK;
}

/* ---- with the engine
 * ------------------------------------------------------------ */

static enum state_result load_session(struct load *l)
{
	struct broker *b = l->b;

	switch (vmc_session_load(&b->session, b->session_mem, b->session_size,
				 &b->session_cfg, l->s.engine, l->s.engine_len,
				 broker_now_us())) {
	case 0:
		return STATE_OK;
	case VMC_ERR_FUTURE:
		return STATE_FUTURE;
	case VMC_ERR_LIMIT:
		return STATE_LIMIT;
	default:
		return STATE_BAD;
	}
}

/* What both say of a stream must agree. */
static bool is_matching(const struct load *l, const struct rec *r)
{
	struct vmc_stream_info info;
	const struct stream *st = &r->st;

	if (vmc_stream_get_info(l->b->session, st->h, &info) < 0)
		return false;
	if (info.opened_by_peer == st->outgoing ||
	    (st->state == STREAM_OPEN && !info.accepted) ||
	    st->delivered > info.bytes_in)
		return false;
	return st->rx_done || st->delivered == info.bytes_in;
}

static enum state_result match_streams(struct load *l)
{
	uint32_t pos = 0;
	uint64_t cookie;
	vmc_stream h;

	while (vmc_stream_next(l->b->session, &pos, &h, &cookie)) {
		struct rec *r = find_rec(l, cookie);

		if (r && r->st.h)
			return STATE_BAD; /* two with one cookie */
		if (r)
			r->st.h = h;
	}
	for (uint32_t i = 0; i < l->n_recs; i++) {
		if (!l->recs[i].st.h || !is_matching(l, &l->recs[i]))
			return STATE_BAD;
	}
	return STATE_OK;
}

/* ---- taking over
 * -------------------------------------------------------------- */

static void take_listener(struct load *l, int fd, const struct chan_row *row)
{
	struct control_conn *c = control_adopt(l->b, fd);

	if (!c)
		return;
	if (channel_add(l->b, &c->channel, CHANNEL_LISTENER, row->name,
			row->messages, row->uid) < 0) {
		conn_error(c, "NameInUse",
			   json_pack("{s:s}", "channel", row->name));
		return;
	}
	c->channel->conn = c;
	c->mode = CONTROL_LISTENING;
}

static void take_fds(struct load *l)
{
	uint32_t row = 0;

	for (size_t i = 0; i < l->n_fds; i++) {
		struct control_conn *c;
		int fd = l->fds[i].fd;

		switch (l->fds[i].kind) {
		case STATE_FD_LISTEN:
			take_listener(l, fd, &l->chans[row++]);
			break;
		case STATE_FD_CONTROL:
			control_adopt(l->b, fd);
			break;
		case STATE_FD_CONNECT:
			connect_server_adopt(l->b, fd);
			break;
		case STATE_FD_UPGRADE:
			c = control_adopt(l->b, fd);
			if (c)
				c->mode = CONTROL_UPGRADING;
			break;
		default:
			break; /* a stream has it */
		}
	}
}

static void take_stream(struct load *l, const struct rec *r)
{
	struct broker *b = l->b;
	struct stream *st = &b->streams[(uint32_t)r->cookie];
	bool waits;

	*st = r->st;
	st->gen = (uint32_t)(r->cookie >> 32);
	st->fd = r->fd;
	st->owner = principal_key(&st->caller);
	st->since_ms = broker_now_us() / 1000u;
	b->n_streams++;
	/* Where the program has nothing left to do it need not come. */
	if (l->s.header.kind == STATE_MOVE && !(st->rx_done && st->tx_done))
		st->state = STREAM_AWAITED;
	if (st->state == STREAM_AWAITED)
		st->since_ms = 0; /* counts from the first handshake */
	else
		stream_join_channel(b, st);
	waits = st->state == STREAM_WAITING || st->state == STREAM_STARTING;
	if (waits && !st->channel) {
		incoming_refuse(b, st, VMC_REASON_WITHDRAWN);
		return;
	}
	if (waits)
		broker_sweep_need(b);
	if ((r->flags & STATE_REC_LOST) ||
	    !stream_keep_early(st, (const char *)r->early, r->early_len))
		stream_reset(b, st, VMC_REASON_DAEMON_LOST);
	if (st->fd < 0)
		return;
	/* What is true of the descriptor is asked anew. */
	st->writable = st->drain = true;
	if (!st->tx_done)
		vmc_stream_ready(b->session, st->h);
	if (stream_watch(b, st) < 0)
		stream_reset(b, st, VMC_REASON_LIMIT);
}

/* Nobody can follow these, or their program was one of ours. */
static void end_others(struct load *l, unsigned int reason)
{
	struct vmc_session *s = l->b->session;
	uint32_t pos = 0;
	uint64_t cookie;
	vmc_stream h;

	while (vmc_stream_next(s, &pos, &h, &cookie)) {
		if (find_rec(l, cookie))
			continue;
		if (vmc_stream_reject(s, h, reason) < 0)
			vmc_stream_reset(s, h, reason);
	}
}

static void take_over(struct load *l)
{
	struct broker *b = l->b;
	bool upgrade = l->s.header.kind == STATE_UPGRADE;

	memcpy(b->id_text, l->id_text, sizeof(b->id_text));
	b->last_number = l->last_number;
	memcpy(b->loaded_id, l->loaded_id, sizeof(b->loaded_id));
	if (upgrade) {
		memcpy(b->instance_text, l->instance_text,
		       sizeof(b->instance_text));
		b->events.last_seq = l->last_seq;
		b->events.first_seq = l->last_seq + 1;
	}
	arena_note_texts(b);
	channels_advertise(b);
	take_records(l);
	take_fds(l);
	for (uint32_t i = 0; i < l->n_recs; i++)
		take_stream(l, &l->recs[i]);
	streams_rebuild_free(b);
	end_others(l, upgrade ? VMC_REASON_DAEMON_LOST : VMC_REASON_MIGRATED);
	if (b->link.fd >= 0)
		link_greet(b, l->greeted, broker_now_us());
	b->services_wait = b->control_again = true;
	pump_kick(b);
}

/* ---- all of it
 * ----------------------------------------------------------------- */

static bool is_other_vm(const struct load *l)
{
	static const uint8_t none[STATE_ID_LEN];
	const uint8_t *theirs = l->s.header.uuid;
	uint8_t ours[STATE_ID_LEN];

	return state_parse_uuid(l->b->uuid, ours) &&
	       memcmp(theirs, none, sizeof(none)) != 0 &&
	       memcmp(theirs, ours, sizeof(ours)) != 0;
}

static enum state_result read_ours(struct load *l)
{
	static enum state_result (*const parts[])(struct load *) = {
		read_broker,  read_early,  read_channels,
		read_records, read_loaded, read_descriptors,
	};
	enum state_result r = STATE_OK;

	for (size_t i = 0; r == STATE_OK && i < sizeof(parts) / sizeof(*parts);
	     i++)
		r = parts[i](l);
	return r == STATE_OK ? check_owned(l) : r;
}

static enum state_result load_all(struct load *l, const uint8_t *blob,
				  size_t len)
{
	struct broker *b = l->b;
	enum state_result r = state_parse(&l->s, blob, len);

	if (r != STATE_OK)
		return r;
	if (is_other_vm(l))
		return STATE_CLONED;
	r = read_ours(l);
	if (r != STATE_OK)
		return r;
	l->greeted = vmc_session_is_greeting(b->session);
	r = load_session(l);
	if (r == STATE_OK)
		r = match_streams(l);
	if (r == STATE_OK)
		take_over(l);
	else
		session_renew(b, VMC_REASON_OK);
	return r;
}

static void close_all(const struct state_fd *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i].fd);
}

enum state_result broker_load(struct broker *b, const uint8_t *blob, size_t len,
			      const struct state_fd *fds, size_t n_fds)
{
	struct load l = {.b = b, .fds = fds, .n_fds = n_fds};
	enum state_result r = STATE_BUSY;

	if (b->n_streams == 0 && !b->up && !b->frozen)
		r = load_all(&l, blob, len);
	if (r == STATE_OK) {
		b->count.states_loaded++;
		log_info("ev=state-loaded streams=%u", b->n_streams);
	} else {
		b->count.states_refused++;
		log_warning("ev=state-refused why=%s", state_result_name(r));
		close_all(fds, n_fds);
	}
	if (r != STATE_OK && r != STATE_BUSY)
		broker_explain(b, r == STATE_CLONED ? VMC_REASON_CLONED
						    : VMC_REASON_MIGRATED);
	free(l.recs);
	free(l.chans);
	return r;
}
