/* SPDX-License-Identifier: MIT */
/*
 * state_save.c - a frozen broker as bytes
 *
 * MOVE holds the streams whose programs can follow; UPGRADE holds all that
 * has a descriptor, and the Listen calls.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "broker/control.h"
#include "broker/internal.h"
#include "broker/log.h"
#include "broker/state_rec.h"

struct save {
	struct broker *b;
	enum state_kind kind;
	uint8_t *buf;
	size_t len, size;
	uint32_t n_sections;
	bool full;
	size_t early; /* bytes of the EARLY section so far */
	struct state_fd *fds;
	size_t n_fds;
};

/* A section's bytes come next, behind room for its header. */
static struct wr begin(const struct save *s)
{
	struct wr w = wr_init(s->buf + s->len, s->size - s->len);

	wr_room(&w, STATE_SECTION_LEN);
	return w;
}

/* Header and padding of a section whose bytes are there. */
static void end_as(struct save *s, struct wr w, unsigned int type,
		   unsigned int flags)
{
	size_t len = s->size - s->len - w.left - STATE_SECTION_LEN;
	struct wr head = wr_init(s->buf + s->len, s->size - s->len);

	while (!w.bad && (s->size - s->len - w.left) % 8 != 0)
		wr_u8(&w, 0);
	if (w.bad) {
		s->full = true;
		return;
	}
	wr_u16(&head, (uint16_t)type);
	wr_u16(&head, (uint16_t)flags);
	wr_u32(&head, (uint32_t)len);
	s->len = s->size - w.left;
	s->n_sections++;
}

static void end(struct save *s, struct wr w, unsigned int type)
{
	end_as(s, w, type, STATE_SECTION_MUST);
}

static void put_name(struct wr *w, const char *name, size_t len)
{
	wr_bytes(w, name, len);
	for (; len % 8; len++)
		wr_u8(w, 0);
}

/* ---- streams
 * ---------------------------------------------------------------- */

static bool is_saved(const struct save *s, const struct stream *st)
{
	if (st->state == STREAM_FREE)
		return false;
	if (s->kind == STATE_MOVE)
		return st->follow && (st->state == STREAM_OPEN ||
				      st->state == STREAM_AWAITED);
	/* The other end of a builtin's socket is one of ours. */
	return strcmp(st->name, CHANNEL_BUILTIN_NAME) != 0 || st->outgoing;
}

static size_t early_left(const struct stream *st)
{
	return st->early ? st->early_len - st->early_off : 0;
}

static uint8_t rec_flags(const struct stream *st, bool lost)
{
	return (uint8_t)((st->outgoing ? STATE_REC_OUTGOING : 0) |
			 (st->messages ? STATE_REC_MESSAGES : 0) |
			 (st->follow ? STATE_REC_FOLLOW : 0) |
			 (st->rx_done ? STATE_REC_RX_DONE : 0) |
			 (st->tx_done ? STATE_REC_TX_DONE : 0) |
			 (st->tx_stopped ? STATE_REC_TX_STOPPED : 0) |
			 (lost ? STATE_REC_LOST : 0));
}

static void put_caller(struct wr *w, const struct vmc_principal *who)
{
	wr_u32(w, who->kind);
	wr_u32(w, who->uid);
	wr_u32(w, who->gid);
}

static void put_stream(struct save *s, struct wr *w, const struct stream *st)
{
	size_t early = early_left(st), name_len = strlen(st->name);
	bool lost = early > STATE_EARLY_MAX - s->early;

	s->early += lost ? 0 : early;
	wr_u64(w, stream_ref(s->b, st));
	wr_u64(w, st->number);
	wr_u8(w, rec_flags(st, lost));
	wr_u8(w, (uint8_t)name_len);
	wr_u16(w, st->cut);
	wr_u32(w, st->local_uid);
	put_caller(w, &st->caller);
	wr_u8(w, (uint8_t)st->state);
	/* Once it is open nothing depends on it, and a version that does not
	 * know it reads the state, too. */
	wr_u8(w, st->answer == STREAM_ANSWER_CALL && st->state != STREAM_OPENING
			 ? STREAM_ANSWER_VARLINK
			 : (uint8_t)st->answer);
	wr_u16(w, (uint16_t)st->weight);
	wr_u64(w, st->delivered);
	wr_bytes(w, st->token, TOKEN_LEN);
	wr_u32(w, st->check.body);
	wr_u32(w, st->check.partial | (uint32_t)st->check.n_partial << 24);
	wr_u32(w, lost ? 0 : (uint32_t)early);
	wr_u32(w, 0);
	put_name(w, st->name, name_len);
}

static void put_broker(struct save *s)
{
	const struct broker *b = s->b;
	struct wr w = begin(s);
	uint8_t *count;
	uint32_t n = 0;

	wr_bytes(&w, b->id_text, STATE_ID_TEXT);
	wr_bytes(&w, b->instance_text, STATE_ID_TEXT);
	wr_u64(&w, b->last_number);
	wr_u64(&w, b->events.last_seq);
	count = wr_room(&w, sizeof(n));
	wr_u32(&w, 0);
	for (uint32_t i = 0; i < b->n_slots; i++) {
		if (!is_saved(s, &b->streams[i]))
			continue;
		put_stream(s, &w, &b->streams[i]);
		n++;
	}
	if (count)
		le32_put(count, n);
	end(s, w, STATE_BROKER);
}

static void put_early(struct save *s)
{
	const struct broker *b = s->b;
	struct wr w = begin(s);
	size_t total = 0;

	if (s->early == 0)
		return;
	/* The same walk, so the same streams fit. */
	for (uint32_t i = 0; i < b->n_slots; i++) {
		const struct stream *st = &b->streams[i];
		size_t early = early_left(st);

		if (!is_saved(s, st) || early == 0 ||
		    early > STATE_EARLY_MAX - total)
			continue;
		wr_bytes(&w, st->early + st->early_off, early);
		total += early;
	}
	end(s, w, STATE_EARLY);
}

/* ---- what only goes to a successor
 * -------------------------------------------------------- */

static void give(struct save *s, struct wr *w, enum state_fd_kind kind, int fd,
		 uint64_t cookie)
{
	if (s->n_fds == STATE_FDS_MAX)
		return; /* its end is closed with us */
	s->fds[s->n_fds++] = (struct state_fd){kind, fd, cookie};
	wr_u32(w, kind);
	wr_u32(w, 0);
	wr_u64(w, cookie);
}

static void give_streams(struct save *s, struct wr *w)
{
	for (uint32_t i = 0; i < s->b->n_slots; i++) {
		const struct stream *st = &s->b->streams[i];

		if (is_saved(s, st) && st->fd >= 0)
			give(s, w, STATE_FD_STREAM, st->fd,
			     stream_ref(s->b, st));
	}
}

static void give_callers(struct save *s, struct wr *w)
{
	const struct broker *b = s->b;
	uint64_t row = 0;

	for (struct control_conn *c = b->control.list; c; c = c->next) {
		if (c->mode == CONTROL_LISTENING && control_flush(c))
			give(s, w, STATE_FD_LISTEN, c->fd, row++);
		else if (c->mode == CONTROL_UPGRADING && control_flush(c))
			give(s, w, STATE_FD_UPGRADE, c->fd, 0);
		else if (control_is_idle(c))
			give(s, w, STATE_FD_CONTROL, c->fd, 0);
	}
}

static void put_descriptors(struct save *s)
{
	struct wr w = begin(s);
	uint32_t pos = 0;
	int fd;

	give_streams(s, &w);
	give_callers(s, &w);
	while ((fd = connect_server_give(s->b, &pos)) >= 0)
		give(s, &w, STATE_FD_CONNECT, fd, 0);
	end(s, w, STATE_DESCRIPTORS);
}

/* In the order of their descriptors. */
static void put_channels(struct save *s)
{
	struct wr w = begin(s);

	for (size_t i = 0; i < s->n_fds; i++) {
		const struct control_conn *c = s->b->control.list;
		size_t name_len;

		if (s->fds[i].kind != STATE_FD_LISTEN)
			continue;
		while (c && c->fd != s->fds[i].fd)
			c = c->next;
		if (!c)
			continue;
		name_len = strlen(c->channel->name);
		wr_u8(&w, c->channel->messages);
		wr_u8(&w, (uint8_t)name_len);
		wr_u16(&w, 0);
		wr_u32(&w, c->channel->uid);
		put_name(&w, c->channel->name, name_len);
	}
	end(s, w, STATE_CHANNELS);
}

static size_t ended_size(const struct stream_record *r)
{
	return STATE_ENDED_LEN + ((strlen(r->channel) + 7u) & ~(size_t)7u);
}

static void put_ended(struct wr *w, const struct stream_record *r)
{
	size_t name_len = strlen(r->channel);

	wr_u64(w, r->number);
	wr_u64(w, r->bytes_in);
	wr_u64(w, r->bytes_out);
	put_caller(w, &r->caller);
	wr_u32(w, r->local_uid);
	wr_u16(w, r->reason);
	wr_u8(w, (uint8_t)((r->outgoing ? STATE_ENDED_OUTGOING : 0) |
			   (r->follow ? STATE_ENDED_FOLLOW : 0)));
	wr_u8(w, (uint8_t)name_len);
	wr_u32(w, 0);
	wr_bytes(w, r->token, TOKEN_LEN);
	put_name(w, r->channel, name_len);
}

/* The newest ones, as many as there is room for; a program that does not know
 * the section can do without. @kept: room for what comes behind them. */
static void put_records(struct save *s, size_t kept)
{
	const struct status_ring *ring = s->b->status;
	struct wr w = begin(s);
	size_t room = w.left > kept ? w.left - kept : 0, n = 0, found = 0;

	for (; n < ring->n; n++) {
		const struct stream_record *r = status_newest(ring, n);

		if (!r)
			continue;
		if (ended_size(r) > room)
			break;
		room -= ended_size(r);
		found++;
	}
	if (w.bad || found == 0)
		return;
	while (n > 0) {
		const struct stream_record *r = status_newest(ring, --n);

		if (r)
			put_ended(&w, r);
	}
	end_as(s, w, STATE_RECORDS, 0);
}

/* Whose programs come later must find the Save that they ask for. */
static void put_loaded(struct save *s)
{
	struct wr w = begin(s);

	wr_bytes(&w, s->b->loaded_id, sizeof(s->b->loaded_id));
	end_as(s, w, STATE_LOADED, 0);
}

static void put_last(struct save *s)
{
	bool loaded = broker_has_loaded(s->b);

	put_records(s, loaded ? STATE_LOADED_LEN : 0);
	if (loaded)
		put_loaded(s);
}

/* ---- all of it
 * ---------------------------------------------------------------- */

static uint32_t count_sections(const uint8_t *p, size_t len)
{
	struct rd r = rd_init(p, len);
	uint32_t n = 0;

	while (r.left > 0 && !r.bad) {
		uint32_t body;

		rd_u32(&r); /* type, flags */
		body = rd_u32(&r);
		rd_bytes(&r, ((size_t)body + 7u) & ~(size_t)7u);
		n++;
	}
	return n;
}

static long put_nothing(struct save *s)
{
	state_nothing(s->buf);
	return STATE_HEADER_LEN;
}

static long put_all(struct save *s, const uint8_t save_id[STATE_ID_LEN])
{
	struct state_header h = {.kind = s->kind};
	struct timespec ts;

	s->n_sections = count_sections(s->buf + STATE_HEADER_LEN,
				       s->len - STATE_HEADER_LEN);
	put_broker(s);
	put_early(s);
	if (s->kind == STATE_UPGRADE) {
		put_descriptors(s);
		put_channels(s);
		put_last(s);
	}
	if (s->full)
		return -ENOSPC;
	clock_gettime(CLOCK_REALTIME, &ts);
	h.time_us =
		(uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
	h.n_sections = s->n_sections;
	h.len = s->len;
	memcpy(h.save_id, save_id, STATE_ID_LEN);
	state_parse_uuid(s->b->uuid, h.uuid);
	state_put_header(s->buf, &h);
	s->b->count.states_saved++;
	return (long)s->len;
}

long broker_save(struct broker *b, enum state_kind kind,
		 const uint8_t save_id[STATE_ID_LEN], uint8_t *buf, size_t size,
		 struct state_fd *fds, size_t *n_fds)
{
	struct save s = {
		.b = b,
		.kind = kind,
		.buf = buf,
		.size = size,
		.fds = fds,
	};
	long n;

	if (!b->frozen)
		return -EINVAL;
	if (size < STATE_HEADER_LEN)
		return -ENOSPC;
	n = vmc_session_save(b->session, buf + STATE_HEADER_LEN,
			     size - STATE_HEADER_LEN);
	if (n < 0)
		return n == VMC_ERR_SPACE ? -ENOSPC : -EINVAL;
	if (n == 0 && kind == STATE_MOVE)
		return put_nothing(&s);
	s.len = STATE_HEADER_LEN + (size_t)n;
	n = put_all(&s, save_id);
	if (n > 0 && kind == STATE_MOVE)
		follow_fence(b, save_id);
	if (n_fds)
		*n_fds = s.n_fds;
	return n;
}
