/* SPDX-License-Identifier: MIT */
/*
 * stream.c - one stream: a local program's socket and the session's stream
 *
 * How a stream ends is always the session's word (VMC_EV_END): whatever goes
 * wrong on the local side is told to the session, and the slot lives until it
 * has answered. Only streams that no session stream stands behind any more
 * are dropped directly.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/internal.h"
#include "broker/log.h"

#define DELIVER_IOV 8
/* Slots beyond what the session can hold: those that it has just ended. */
#define SPARE_SLOTS 8

int streams_init(struct broker *b)
{
	uint32_t n = b->max_streams + SPARE_SLOTS;

	b->free_slots = calloc(n, sizeof(*b->free_slots));
	if (!b->free_slots)
		return -ENOMEM;
	b->n_slots = n;
	return 0;
}

void streams_rebuild_free(struct broker *b)
{
	b->n_free = 0;
	/* The lowest slots are used first, so few pages are touched. */
	for (uint32_t i = b->n_slots; i > 0; i--) {
		if (b->streams[i - 1].state == STREAM_FREE)
			b->free_slots[b->n_free++] = i - 1;
	}
	b->n_streams = b->n_slots - b->n_free;
}

void streams_done(struct broker *b)
{
	for (uint32_t i = 0; b->arena && i < b->n_slots; i++) {
		if (b->streams[i].state != STREAM_FREE)
			stream_drop(b, &b->streams[i]);
	}
	free(b->free_slots);
	b->n_slots = 0;
}

uint64_t stream_ref(const struct broker *b, const struct stream *st)
{
	return (uint64_t)st->gen << 32 | (uint32_t)(st - b->streams);
}

struct stream *stream_get(struct broker *b, uint64_t ref)
{
	uint32_t slot = (uint32_t)ref;

	if (slot >= b->n_slots || b->streams[slot].gen != ref >> 32 ||
	    b->streams[slot].state == STREAM_FREE)
		return NULL;
	return &b->streams[slot];
}

struct stream *stream_new(struct broker *b, enum stream_state state)
{
	struct stream *st;
	uint32_t gen;

	if (b->n_free == 0) {
		b->count.limit_streams++;
		return NULL;
	}
	st = &b->streams[b->free_slots[--b->n_free]];
	gen = st->gen;
	*st = (struct stream){
		.state = state,
		.gen = gen,
		.fd = -1,
		.number = ++b->last_number,
		.since_ms = broker_now_us() / 1000u,
	};
	b->n_streams++;
	return st;
}

void stream_join_channel(struct broker *b, struct stream *st)
{
	struct channel *ch = channel_find(b, st->name);
	bool open = st->state == STREAM_OPEN;

	if (st->outgoing || !ch || (open && ch->kind != CHANNEL_SERVICE))
		return;
	st->channel = ch;
	if (st->state == STREAM_WAITING)
		ch->waiting++;
	else if (ch->kind == CHANNEL_SERVICE)
		ch->running++;
}

static void leave_channel(struct broker *b, struct stream *st)
{
	struct channel *ch = st->channel;

	if (!ch)
		return;
	if (st->state == STREAM_WAITING)
		ch->waiting--;
	else if (ch->kind == CHANNEL_SERVICE)
		ch->running--;
	st->channel = NULL;
	b->services_wait |= ch->kind == CHANNEL_SERVICE;
}

void stream_drop(struct broker *b, struct stream *st)
{
	leave_channel(b, st);
	if (st->fd >= 0) {
		pump_unwatch(b, st->fd);
		/* Closing with unread bytes would be an error to it. */
		stream_take_left(st);
		keep_stream_end(b, st);
		close(st->fd);
		st->fd = -1;
	}
	free(st->early);
	st->early = NULL;
	st->state = STREAM_FREE;
	st->gen++;
	b->free_slots[b->n_free++] = (uint32_t)(st - b->streams);
	b->n_streams--;
}

void stream_id_text(const struct broker *b, uint64_t number,
		    char ret[STREAM_ID_MAX])
{
	snprintf(ret, STREAM_ID_MAX, "%.8s-%" PRIu64, b->id_text, number);
}

uint64_t stream_number(const struct broker *b, const char *id)
{
	char expected[STREAM_ID_MAX];
	uint64_t number = 0;

	if (strlen(id) >= STREAM_ID_MAX || strncmp(id, b->id_text, 8) != 0 ||
	    id[8] != '-')
		return 0;
	number = strtoull(id + 9, NULL, 10);
	/* Only the form that we print: no sign, no zeros in front. */
	stream_id_text(b, number, expected);
	return strcmp(id, expected) == 0 ? number : 0;
}

unsigned int streams_from_uid(const struct broker *b, uid_t uid)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < b->n_slots; i++) {
		const struct stream *st = &b->streams[i];

		n += st->state != STREAM_FREE && st->outgoing &&
		     st->caller.uid == uid;
	}
	return n;
}

void stream_record(const struct broker *b, const struct stream *st,
		   struct stream_record *ret)
{
	struct vmc_stream_info info;

	*ret = (struct stream_record){
		.number = st->number,
		.caller = st->caller,
		.local_uid = st->local_uid,
		.state = st->state == STREAM_OPEN || st->state == STREAM_AWAITED
				 ? RECORD_OPEN
				 : RECORD_OPENING,
		.outgoing = st->outgoing,
	};
	strcpy(ret->channel, st->name);
	if (vmc_stream_get_info(b->session, st->h, &info) < 0)
		return;
	ret->bytes_in = st->delivered;
	ret->bytes_out = info.bytes_out;
}

int stream_watch(struct broker *b, struct stream *st)
{
	/* Edge-triggered: the first look tells what is true now. */
	return pump_watch(b, st->fd, stream_ref(b, st));
}

void stream_reset(struct broker *b, struct stream *st, unsigned int reason)
{
	vmc_stream_reset(b->session, st->h, reason);
}

/* Bytes wait for the program in the session. */
static bool has_undelivered(const struct broker *b, const struct stream *st)
{
	struct vmc_stream_info info;

	return vmc_stream_get_info(b->session, st->h, &info) == 0 &&
	       info.rx_queued > 0;
}

/*
 * The program closed its end (or died): nothing can be delivered any more,
 * what it wrote still goes. A program may well close before the other one has
 * finished; only if that cost bytes is it more than an orderly end, and both
 * sides are told. @lost: it left bytes unread.
 */
static void program_gone(struct broker *b, struct stream *st, bool lost)
{
	if (st->state == STREAM_OPENING) {
		stream_reset(b, st, VMC_REASON_APP_GONE);
		return;
	}
	st->writable = false;
	if (lost || has_undelivered(b, st))
		st->cut = VMC_REASON_APP_GONE;
	if (st->rx_done)
		return;
	st->rx_done = true;
	vmc_stream_stop(b->session, st->h, st->cut);
}

void stream_events(struct broker *b, struct stream *st, uint32_t events)
{
	/* The session would not take it; there is no second edge. */
	if (b->frozen) {
		st->held |= events;
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		st->drain = true;
	if (!st->tx_done && (st->drain || (events & EPOLLIN)))
		vmc_stream_ready(b->session, st->h);
	if (events & (EPOLLHUP | EPOLLERR)) {
		/* ERR: ECONNRESET, closed with bytes unread. */
		program_gone(b, st, (events & EPOLLERR) != 0);
		return;
	}
	if ((events & EPOLLOUT) && !st->writable) {
		st->writable = true;
		stream_deliver(b, st);
		if (st->writable && st->state == STREAM_OPEN) {
			pump_watch_room(b, st->fd, stream_ref(b, st), false);
			st->wants_room = false;
		}
	}
}

static bool check_messages(const struct stream *st, const struct iovec *iov,
			   int n, struct msgcheck *ret, size_t limit)
{
	*ret = st->check;
	for (int i = 0; i < n && limit > 0; i++) {
		size_t len = iov[i].iov_len < limit ? iov[i].iov_len : limit;

		if (!msgcheck_feed(ret, iov[i].iov_base, len))
			return false;
		limit -= len;
	}
	return true;
}

static int iov_used(const struct iovec *iov, size_t total)
{
	int n = 0;

	while (total > 0 && n < DELIVER_IOV)
		total -= iov[n++].iov_len;
	return n;
}

/* Return: bytes the program took, or -1: it is gone. */
static ssize_t send_program(struct stream *st, struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	ssize_t sent;

	if (n == 1)
		sent = send(st->fd, iov[0].iov_base, iov[0].iov_len,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		sent = sendmsg(st->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	st->starved = errno == EINTR || errno == ENOBUFS || errno == ENOMEM;
	return errno == EAGAIN || st->starved ? 0 : -1;
}

/* The program's socket is full: ask for an event unless we have one, which
 * is edge-triggered, so it stays. If the kernel had no memory, the socket may
 * have room, and then no edge ever comes. */
static void block(struct broker *b, struct stream *st)
{
	st->writable = false;
	if (st->starved) {
		broker_sweep_need(b);
		return;
	}
	if (!st->wants_room)
		pump_watch_room(b, st->fd, stream_ref(b, st), true);
	st->wants_room = true;
}

/* Return: may there be more to do? */
static bool deliver_some(struct broker *b, struct stream *st)
{
	struct iovec iov[DELIVER_IOV];
	struct msgcheck check;
	ssize_t sent;
	long n;
	int n_iov;

	n = vmc_stream_peek(b->session, st->h, iov, DELIVER_IOV);
	if (n <= 0)
		return false;
	n_iov = iov_used(iov, (size_t)n);
	if (st->messages &&
	    !check_messages(st, iov, n_iov, &check, (size_t)n)) {
		b->count.limit_message++;
		stream_reset(b, st, VMC_REASON_TOO_BIG);
		return false;
	}
	sent = send_program(st, iov, n_iov);
	if (sent < 0) {
		program_gone(b, st, true);
		return false;
	}
	if (st->messages) {
		check_messages(st, iov, n_iov, &check, (size_t)sent);
		st->check = check;
	}
	st->delivered += (uint64_t)sent;
	st->answered |= sent > 0 && b->role == VMC_ROLE_GUEST;
	vmc_stream_consume(b->session, st->h, (size_t)sent);
	if (sent < n)
		block(b, st);
	return st->writable;
}

void stream_deliver(struct broker *b, struct stream *st)
{
	if (st->state != STREAM_OPEN || st->rx_done || b->frozen)
		return;
	while (st->writable && deliver_some(b, st))
		;
	/* The program is awake now. */
	if (st->answered)
		stream_take_left(st);
	if (!st->rx_done && vmc_stream_at_end(b->session, st->h)) {
		st->rx_done = true;
		shutdown(st->fd, SHUT_WR);
	}
}

bool stream_keep_early(struct stream *st, const char *bytes, size_t len)
{
	free(st->early);
	st->early = NULL;
	st->early_len = st->early_off = 0;
	if (len == 0)
		return true;
	st->early = malloc(len);
	if (!st->early)
		return false;
	memcpy(st->early, bytes, len);
	st->early_len = len;
	return true;
}

static size_t read_early(struct stream *st, uint8_t *buf, size_t len)
{
	size_t n = st->early_len - st->early_off;

	if (n > len)
		n = len;
	memcpy(buf, st->early + st->early_off, n);
	st->early_off += n;
	if (st->early_off == st->early_len) {
		free(st->early);
		st->early = NULL;
	}
	return n;
}

size_t stream_read(struct stream *st, uint8_t *buf, size_t len,
		   unsigned int *ret_flags)
{
	ssize_t n;
	bool more;

	*ret_flags = 0;
	if (st->tx_done || st->fd < 0)
		return 0;
	if (st->early) {
		*ret_flags = VMC_PULL_MORE;
		return read_early(st, buf, len);
	}
	n = stream_receive(st, buf, len, &more);
	if (n > 0) {
		/* Any other short read has emptied the socket; the next byte
		 * is a new edge. */
		if (more)
			*ret_flags = VMC_PULL_MORE;
		return (size_t)n;
	}
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0 && errno == EINTR) {
		*ret_flags = VMC_PULL_MORE;
		return 0;
	}
	/* The end, or the program closed without reading what it had got
	 * (ECONNRESET): stream_events() knows of that. */
	st->tx_done = true;
	*ret_flags = VMC_PULL_FINISH;
	return 0;
}

void stream_stopped(struct stream *st, unsigned int reason)
{
	int unread = 0;

	if (st->tx_done)
		return;
	st->tx_done = st->tx_stopped = true;
	if (reason != VMC_REASON_OK)
		st->cut = (uint16_t)reason;
	if (st->fd < 0)
		return;
	stream_take_left(st);
	if (st->early || (ioctl(st->fd, FIONREAD, &unread) == 0 && unread > 0))
		st->cut = VMC_REASON_APP_GONE;
	/* The program's next write fails, as with any reader that left. */
	shutdown(st->fd, SHUT_RD);
}

void stream_opened(struct broker *b, struct stream *st)
{
	struct event ev = {.type = EVENT_STREAM_OPENED};

	st->state = STREAM_OPEN;
	keep_need(b);
	stream_record(b, st, &ev.stream);
	broker_emit(b, &ev);
	stream_deliver(b, st);
}

/*
 * The VM went on without its program, which has done nothing wrong: it reads
 * all that it was sent and then an end. Closing with unread bytes would make
 * that end an error; what the peer's broker had not taken goes with them.
 */
static void end_in_order(int fd)
{
	char rest[4096];

	shutdown(fd, SHUT_RDWR);
	while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

void stream_ended(struct broker *b, struct stream *st, unsigned int reason,
		  uint64_t bytes_in, uint64_t bytes_out)
{
	struct event ev = {.type = EVENT_STREAM_CLOSED};
	bool was_open = st->state == STREAM_OPEN;

	/* What came after the program had closed was taken and dropped. */
	if (was_open && st->delivered < bytes_in && st->cut == VMC_REASON_OK)
		st->cut = VMC_REASON_APP_GONE;
	if (reason == VMC_REASON_OK)
		reason = st->cut;
	stream_record(b, st, &ev.stream);
	ev.stream.state = RECORD_ENDED;
	ev.stream.reason = (uint16_t)reason;
	ev.stream.bytes_in = st->delivered;
	ev.stream.bytes_out = bytes_out;
	ev.reason = (uint16_t)reason;
	if (st->follow) {
		ev.stream.follow = true;
		memcpy(ev.stream.token, st->token, TOKEN_LEN);
		/* A call of Resume may wait for that. */
		b->control_again = true;
	}
	status_add(b->status, &ev.stream);
	if (was_open || st->state == STREAM_AWAITED)
		broker_emit(b, &ev);
	else if (st->outgoing)
		outgoing_refused(b, st, reason);
	if (reason == VMC_REASON_MIGRATED && st->fd >= 0)
		end_in_order(st->fd);
	stream_drop(b, st);
}

/* Return: is there still no memory? */
static bool deliver_again(struct broker *b, struct stream *st)
{
	st->starved = false;
	st->writable = true;
	stream_deliver(b, st);
	return st->starved;
}

bool streams_sweep(struct broker *b, uint64_t now_ms)
{
	bool left = false;

	/* Time stands still for them, too. */
	if (b->frozen)
		return b->n_streams > 0;
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if (st->state == STREAM_OPEN && st->starved)
			left |= deliver_again(b, st);
		stream_take_left(st);
		if (st->state != STREAM_WAITING && st->state != STREAM_STARTING)
			continue;
		if (now_ms - st->since_ms < ACCEPT_MS) {
			left = true;
			continue;
		}
		b->count.limit_accept_time++;
		incoming_refuse(b, st, VMC_REASON_TIMEOUT);
	}
	return left;
}
