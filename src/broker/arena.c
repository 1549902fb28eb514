/* SPDX-License-Identifier: MIT */
/*
 * arena.c - all that must outlive this process, in one block
 *
 * Notes, streams, channels, how streams ended, and the session. In a daemon
 * that is watched over the block is shared memory, and its successor takes it
 * as it lies there if this process died between two turns of its loop: then
 * nothing was in flight, and only what the kernel closes with us is missing.
 * Descriptors of streams and Listen calls that are older than KEEP_MS are kept
 * elsewhere (ops.keep) and come back with broker_adopt_fd().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/control.h"
#include "broker/internal.h"
#include "broker/log.h"
#include "broker/state.h"

#define ALIGN 64u

/* Of struct broker, written at the end of each turn. */
struct arena_notes {
	uint64_t instance, last_number, last_seq, moved_at_ms;
	uint32_t n_channels;
	uint32_t fence, last_fence;
	uint8_t saved_id[TOKEN_LEN], loaded_id[TOKEN_LEN];
	bool frozen, expecting;
	char instance_text[17], id_text[17];
	char destination[DESTINATION_MAX + 1];
};

struct layout {
	size_t streams, channels, records, session, all;
};

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static struct layout find_layout(const struct broker *b)
{
	struct layout l;

	l.streams = aligned(sizeof(struct arena_notes));
	l.channels = l.streams + aligned(b->n_slots * sizeof(*b->streams));
	l.records = l.channels + aligned(CHANNELS_MAX * sizeof(*b->channels));
	l.session = l.records + aligned(sizeof(*b->status));
	l.all = l.session + aligned(vmc_session_size(&b->session_cfg));
	return l;
}

/* Pages that are never touched cost nothing. */
static uint8_t *find_memory(struct broker *b, const struct broker_config *cfg,
			    size_t size)
{
	void *p;

	if (cfg->session_mem)
		return cfg->session_size < size ? NULL : cfg->session_mem;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	b->arena_size = size; /* ours to unmap */
	return p;
}

void arena_done(struct broker *b)
{
	if (b->arena_size)
		munmap(b->arena, b->arena_size);
	b->arena = NULL;
}

/* ---- what the next one needs to know ---- */

void arena_note(struct broker *b)
{
	struct arena_notes *n = b->arena;

	n->instance = b->instance;
	n->last_number = b->last_number;
	n->last_seq = b->events.last_seq;
	n->moved_at_ms = b->moved_at_ms;
	n->n_channels = b->n_channels;
	n->frozen = b->frozen;
	n->expecting = b->expecting;
	n->fence = b->fence;
	n->last_fence = b->last_fence;
	memcpy(n->saved_id, b->saved_id, sizeof(n->saved_id));
	memcpy(n->loaded_id, b->loaded_id, sizeof(n->loaded_id));
}

/* Those that change once in a life or never. */
void arena_note_texts(struct broker *b)
{
	struct arena_notes *n = b->arena;

	memcpy(n->instance_text, b->instance_text, sizeof(n->instance_text));
	memcpy(n->id_text, b->id_text, sizeof(n->id_text));
	memcpy(n->destination, b->destination, sizeof(n->destination));
}

static bool notes_fit(const struct arena_notes *n)
{
	return n->n_channels <= CHANNELS_MAX &&
	       strnlen(n->instance_text, 17) == 16 &&
	       strnlen(n->id_text, 17) == 16 &&
	       memchr(n->destination, '\0', sizeof(n->destination));
}

static void take_notes(struct broker *b)
{
	const struct arena_notes *n = b->arena;

	b->instance = b->session_cfg.instance = n->instance;
	b->last_number = n->last_number;
	b->events.last_seq = n->last_seq;
	b->events.first_seq = n->last_seq + 1;
	b->moved_at_ms = n->moved_at_ms;
	b->n_channels = n->n_channels;
	b->frozen = n->frozen;
	b->expecting = n->expecting;
	b->fence = n->fence;
	b->last_fence = n->last_fence;
	memcpy(b->saved_id, n->saved_id, sizeof(b->saved_id));
	memcpy(b->loaded_id, n->loaded_id, sizeof(b->loaded_id));
	memcpy(b->instance_text, n->instance_text, sizeof(b->instance_text));
	memcpy(b->id_text, n->id_text, sizeof(b->id_text));
	memcpy(b->destination, n->destination, sizeof(b->destination));
}

/* ---- taking it over ---- */

/* Its guest may have had the process that left it: what is used as an index,
 * a string or an enum is checked; the engine does the same with its part. */
static bool is_text(const char *s, size_t size)
{
	size_t len = strnlen(s, size);

	return len < size && vmc_name_valid(s, len);
}

static bool stream_fits(const struct stream *st)
{
	if (st->gen == 0 || (unsigned int)st->state >= STREAM_STATE_NUM)
		return false;
	return st->state == STREAM_FREE ||
	       (st->number != 0 && st->number >> 63 == 0 && st->weight <= 16 &&
		(unsigned int)st->answer <= STREAM_ANSWER_CALL &&
		st->check.n_partial <= 3 &&
		is_text(st->name, sizeof(st->name)));
}

static bool channel_fits(const struct channel *ch)
{
	return ch->kind == CHANNEL_FREE ||
	       ((unsigned int)ch->kind <= CHANNEL_BUILTIN &&
		is_text(ch->name, sizeof(ch->name)));
}

static bool ring_fits(const struct status_ring *r)
{
	return r->next < STATUS_MAX && r->n <= STATUS_MAX;
}

static bool tables_fit(const struct broker *b)
{
	const struct arena_notes *n = b->arena;
	bool fit = true;

	for (uint32_t i = 0; i < b->n_slots; i++)
		fit &= stream_fits(&b->streams[i]);
	for (uint32_t i = 0; i < n->n_channels; i++)
		fit &= channel_fits(&b->channels[i]);
	fit &= ring_fits(b->status);
	for (size_t i = 0; fit && i < b->status->n; i++) {
		const struct stream_record *r = &b->status->records[i];

		fit &= r->number == 0 ||
		       (r->state <= RECORD_ENDED &&
			is_text(r->channel, sizeof(r->channel)));
	}
	return fit;
}

/* What pointed into the dead process, and descriptors of it. */
static void forget_process(struct broker *b)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		st->fd = -1;
		st->lost = st->early != NULL;
		st->early = NULL;
		st->channel = NULL;
		st->wants_room = st->starved = st->answered = false;
		st->left = 0;
		st->writable = true;
	}
	for (uint32_t i = 0; i < b->n_channels; i++) {
		struct channel *ch = &b->channels[i];

		ch->conn = NULL;
		ch->waiting = ch->running = 0;
	}
}

static bool take_left(struct broker *b, size_t size)
{
	struct vmc_session_config cfg = b->session_cfg;

	if (!notes_fit(b->arena) || !tables_fit(b) ||
	    vmc_session_adopt(&b->session, b->session_mem, size, &cfg,
			      broker_now_us()) < 0)
		return false;
	take_notes(b);
	forget_process(b);
	streams_rebuild_free(b);
	b->adopted = true;
	return true;
}

/* ---- after a death within a turn ---- */

static bool record_fits(const struct stream_record *r)
{
	size_t len = strnlen(r->channel, sizeof(r->channel));

	return r->number != 0 && r->number >> 63 == 0 &&
	       vmc_name_valid(r->channel, len);
}

/* Its slot is free only when the record is there: a death between the two
 * leaves it to the next one. */
static void end_living(struct broker *b, struct stream *st)
{
	struct stream_record r = {
		.number = st->number,
		.caller = st->caller,
		.local_uid = st->local_uid,
		.reason = VMC_REASON_DAEMON_LOST,
		.state = RECORD_ENDED,
		.outgoing = st->outgoing,
		.bytes_in = st->delivered,
		.follow = st->follow,
	};

	memcpy(r.channel, st->name, sizeof(r.channel));
	memcpy(r.token, st->token, TOKEN_LEN);
	if (st->state != STREAM_FREE && record_fits(&r) &&
	    !status_find(b->status, r.number))
		status_add(b->status, &r);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile enum stream_state *)&st->state = STREAM_FREE;
}

/* The session may be half of one state and half of the next. What is told
 * once and then stays is kept, each by itself: who opened which stream, and
 * how those ended that did. Done in place, so that another death within loses
 * nothing either. Return: false if nothing can be kept. */
static bool keep_records(struct broker *b)
{
	const struct arena_notes *n = b->arena;
	struct status_ring *ring = b->status;

	if (!notes_fit(n) || !ring_fits(ring))
		return false;
	for (size_t i = 0; i < STATUS_MAX; i++) {
		if (!record_fits(&ring->records[i]))
			memset(&ring->records[i], 0, sizeof(ring->records[i]));
	}
	for (uint32_t i = 0; i < b->n_slots; i++)
		end_living(b, &b->streams[i]);
	b->last_number = n->last_number;
	for (size_t i = 0; i < ring->n; i++) {
		if (ring->records[i].number > b->last_number)
			b->last_number = ring->records[i].number;
	}
	/* Ids go on, so that a lost stream can be asked for by its own. */
	memcpy(b->id_text, n->id_text, sizeof(b->id_text));
	return true;
}

static void clear(struct broker *b, size_t from, size_t to)
{
	memset((uint8_t *)b->arena + from, 0, to - from);
}

static void clear_after(struct broker *b, bool torn)
{
	struct layout l = find_layout(b);
	bool kept = keep_records(b);

	if (!kept)
		clear(b, 0, l.all);
	log_error("ev=session-lost records=%zu why=%s", status_count(b->status),
		  torn ? "died-within-a-turn" : "not-consistent");
	if (!kept)
		return;
	clear(b, l.streams, l.records);
	clear(b, l.session, l.all);
}

static int begin_anew(struct broker *b, size_t size)
{
	for (uint32_t i = 0; i < b->n_slots; i++)
		b->streams[i].gen = 1; /* so that 0 refers to none */
	streams_rebuild_free(b);
	arena_note_texts(b);
	arena_note(b);
	return vmc_session_init(&b->session, b->session_mem, size,
				&b->session_cfg) < 0
		       ? -EINVAL
		       : 0;
}

int arena_init(struct broker *b, const struct broker_config *cfg)
{
	struct layout l = find_layout(b);
	size_t session_size = l.all - l.session;
	uint8_t *p = find_memory(b, cfg, l.all);

	if (!p)
		return -ENOMEM;
	b->arena = p;
	b->streams = (struct stream *)(void *)(p + l.streams);
	b->channels = (struct channel *)(void *)(p + l.channels);
	b->status = (struct status_ring *)(void *)(p + l.records);
	b->session_mem = p + l.session;
	b->session_size = session_size;
	if (cfg->session_left && take_left(b, session_size))
		return 0;
	if (cfg->session_left || cfg->session_torn)
		clear_after(b, cfg->session_torn);
	return begin_anew(b, session_size);
}

/* ---- descriptors ---- */

static struct stream *find_stream(struct broker *b, uint64_t number)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if (st->state != STREAM_FREE && st->number == number)
			return st;
	}
	return NULL;
}

static bool adopt_listener(struct broker *b, uint64_t index, int fd)
{
	struct channel *ch;
	struct control_conn *c;

	if (!b->adopted || index >= b->n_channels)
		return false;
	ch = &b->channels[index];
	/* Half a message may have gone out. */
	if (ch->kind != CHANNEL_LISTENER || ch->conn || ch->unsent)
		return false;
	c = control_adopt(b, fd);
	if (!c)
		return true; /* closed; the channel goes */
	ch->conn = c;
	c->channel = ch;
	c->mode = CONTROL_LISTENING;
	return true;
}

bool broker_adopt_fd(struct broker *b, uint64_t number, int fd)
{
	struct stream *st;

	if (number & KEEP_LISTEN)
		return adopt_listener(b, number & ~KEEP_LISTEN, fd);
	st = find_stream(b, number);
	if (!b->adopted || !st || st->state != STREAM_OPEN || st->fd >= 0 ||
	    st->lost)
		return false;
	st->fd = fd;
	if (stream_watch(b, st) < 0) {
		st->fd = -1;
		return false;
	}
	st->drain = true; /* what is true of it is asked anew */
	if (!st->tx_done)
		vmc_stream_ready(b->session, st->h);
	return true;
}

static void end_stream(struct broker *b, struct stream *st)
{
	struct vmc_stream_info info = {0};

	st->kept = false;
	if (st->state == STREAM_WAITING || st->state == STREAM_STARTING) {
		incoming_refuse(b, st, VMC_REASON_DAEMON_LOST);
		return;
	}
	if (vmc_stream_reset(b->session, st->h, VMC_REASON_DAEMON_LOST) == 0)
		return;
	/* Frozen: it is told when the session moves again. */
	vmc_stream_get_info(b->session, st->h, &info);
	stream_ended(b, st, VMC_REASON_DAEMON_LOST, st->delivered,
		     info.bytes_out);
}

static void settle_stream(struct broker *b, struct stream *st)
{
	bool waits = st->state == STREAM_WAITING;

	if (st->state == STREAM_FREE || st->state == STREAM_AWAITED)
		return;
	if (st->state == STREAM_OPEN ? st->fd >= 0 : waits)
		stream_join_channel(b, st);
	if (st->state == STREAM_OPEN ? st->fd < 0 : !(waits && st->channel))
		end_stream(b, st);
}

void broker_adopt_done(struct broker *b)
{
	uint32_t before = b->n_streams;

	if (!b->adopted)
		return;
	b->adopted = false;
	for (uint32_t i = 0; i < b->n_channels; i++) {
		struct channel *ch = &b->channels[i];

		if (ch->kind != CHANNEL_LISTENER || ch->conn)
			continue;
		channel_remove(b, ch);
	}
	for (uint32_t i = 0; i < b->n_slots; i++)
		settle_stream(b, &b->streams[i]);
	log_info("ev=adopted streams=%u", before);
	b->services_wait = b->control_again = true;
	broker_sweep_need(b);
	pump_kick(b);
}

/* ---- keeping ---- */

/* Return: is there one that is too young? */
static bool keep_streams(struct broker *b, uint64_t now_ms)
{
	bool left = false;

	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if (st->state != STREAM_OPEN || st->kept || st->fd < 0)
			continue;
		if (now_ms - st->since_ms >= KEEP_MS)
			st->kept = b->ops->keep(b->data, st->number, st->fd);
		left |= !st->kept;
	}
	return left;
}

static bool keep_listeners(struct broker *b, uint64_t now_ms)
{
	bool left = false;

	for (uint32_t i = 0; i < b->n_channels; i++) {
		struct channel *ch = &b->channels[i];

		if (ch->kind != CHANNEL_LISTENER || ch->kept || !ch->conn)
			continue;
		if (now_ms - ch->since_ms >= KEEP_MS)
			ch->kept = b->ops->keep(b->data, KEEP_LISTEN | i,
						ch->conn->fd);
		left |= !ch->kept;
	}
	return left;
}

bool keep_sweep(struct broker *b, uint64_t now_ms)
{
	bool left;

	if (!b->ops->keep)
		return false;
	left = keep_streams(b, now_ms);
	return keep_listeners(b, now_ms) || left;
}

void keep_need(struct broker *b)
{
	if (b->ops->keep)
		broker_sweep_need(b);
}

void keep_stream_end(struct broker *b, struct stream *st)
{
	if (!st->kept)
		return;
	st->kept = false;
	/* The copy keeps it alive until the message has been read. */
	shutdown(st->fd, SHUT_RDWR);
	b->ops->drop(b->data, st->number);
}

void keep_listener_end(struct broker *b, struct channel *ch)
{
	if (!ch->kept)
		return;
	ch->kept = false;
	b->ops->drop(b->data, KEEP_LISTEN | (uint64_t)(ch - b->channels));
}
