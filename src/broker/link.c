/* SPDX-License-Identifier: MIT */
/*
 * link.c - the byte pipe to the peer: attach, read, write, give up
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker/internal.h"
#include "broker/log.h"

/* A port's driver hands out one buffer of this size per read and segment;
 * a full one lets readv() go on to the next. */
#define PORT_BUFFER 4096u
#define PORT_IOV    16

static void fresh_entropy(uint8_t ret[VMC_ENTROPY_LEN])
{
	/* Up to 256 bytes cannot be cut short once the pool is ready. */
	while (getrandom(ret, VMC_ENTROPY_LEN, 0) != VMC_ENTROPY_LEN)
		;
}

void broker_resync(struct broker *b, uint64_t now_us)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	fresh_entropy(entropy);
	vmc_session_peer_stands(b->session, b->vm_stands, now_us);
	vmc_session_resync(b->session, entropy, now_us);
	watchdog_answer(b);
	pump_kick(b);
}

void link_greet(struct broker *b, bool greeted, uint64_t now_us)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	fresh_entropy(entropy);
	vmc_session_peer_stands(b->session, b->vm_stands, now_us);
	if (greeted)
		vmc_session_attach_greeted(b->session, entropy, now_us);
	else
		vmc_session_attach(b->session, entropy, now_us);
	watchdog_answer(b);
	pump_kick(b);
}

static void forget_link(struct broker *b)
{
	struct link *l = &b->link;

	pump_unwatch(b, l->fd);
	l->fd = -1;
	l->readable = l->writable = l->hup = false;
	watchdog_calm(b);
	vmc_session_detach(b->session, broker_now_us());
	broker_emit(b, &(struct event){.type = EVENT_LINK_DOWN});
}

void broker_link_attach(struct broker *b, int fd, enum broker_link_kind kind)
{
	struct link *l = &b->link;
	int r;

	if (l->fd >= 0)
		forget_link(b);
	l->kind = kind;
	r = pump_watch(b, fd, REF_LINK);
	l->fd = fd;
	l->readable = l->writable = true;
	l->retry_at_us = 0;
	l->ended = false;
	broker_emit(b, &(struct event){.type = EVENT_LINK_UP});
	link_greet(b, false, broker_now_us());
	if (r < 0)
		link_end(b, BROKER_LINK_ERROR, -r);
	pump_kick(b);
}

void broker_link_detach(struct broker *b)
{
	if (b->link.fd >= 0)
		forget_link(b);
	b->link.ended = false;
	pump_kick(b);
}

void link_end(struct broker *b, enum broker_link_end why, int error)
{
	struct link *l = &b->link;

	if (l->fd < 0)
		return;
	l->ended_fd = l->fd;
	l->ended = true;
	l->why = why;
	l->error = error;
	forget_link(b);
}

void link_report(struct broker *b)
{
	struct link *l = &b->link;

	if (!l->ended)
		return;
	l->ended = false;
	/* Events of the detach before the daemon attaches anew. */
	pump_kick(b);
	b->touched = true;
	b->ops->link_ended(b->data, l->ended_fd, l->why, l->error);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): readv() writes to it. */
static ssize_t read_port(int fd, uint8_t *buf, size_t room)
{
	struct iovec iov[PORT_IOV];
	int n = 0;

	for (; room > 0 && n < PORT_IOV; n++) {
		size_t part = room < PORT_BUFFER ? room : PORT_BUFFER;

		iov[n] = (struct iovec){.iov_base = buf, .iov_len = part};
		buf += part;
		room -= part;
	}
	return readv(fd, iov, n);
}

static ssize_t read_link(struct link *l, uint8_t *buf, size_t room)
{
	if (l->kind == BROKER_LINK_PORT)
		return read_port(l->fd, buf, room);
	return recv(l->fd, buf, room, MSG_DONTWAIT);
}

bool link_read(struct broker *b, uint64_t now_us)
{
	struct link *l = &b->link;
	uint8_t *buf;
	size_t room;
	ssize_t n;

	if (l->fd < 0 || !l->readable)
		return false;
	room = vmc_session_input(b->session, &buf);
	if (room == 0)
		return false;
	n = read_link(l, buf, room);
	b->count.link_reads++;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		l->readable = errno == EINTR;
		return false;
	}
	if (n < 0) {
		link_end(b, BROKER_LINK_ERROR, errno);
		return false;
	}
	if (n == 0) {
		link_end(b, BROKER_LINK_EOF, 0);
		return false;
	}
	/* Less than asked for: empty (a port says so again if it is not, its
	 * readiness is a level). */
	if ((size_t)n < room && !l->hup)
		l->readable = false;
	b->count.link_bytes_in += (uint64_t)n;
	vmc_session_input_done(b->session, (size_t)n, now_us);
	return true;
}

static ssize_t write_link(const struct link *l, const uint8_t *buf, size_t len)
{
	if (l->kind == BROKER_LINK_PORT)
		return write(l->fd, buf, len);
	return send(l->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Errors that go away: no room in the ring, or no memory for the driver's
 * copy of the unit. */
static bool is_later(int error)
{
	return error == EAGAIN || error == EINTR || error == ENOMEM ||
	       error == ENOBUFS;
}

void link_set_writable(struct broker *b, bool writable)
{
	struct link *l = &b->link;

	if (l->fd < 0 || l->writable == writable)
		return;
	l->writable = writable;
	l->retry_at_us = 0;
	if (l->kind == BROKER_LINK_SOCKET)
		pump_watch_room(b, l->fd, REF_LINK, !writable);
}

void link_events(struct broker *b, uint32_t events)
{
	struct link *l = &b->link;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		l->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		l->hup = true;
	if (events & EPOLLOUT)
		link_set_writable(b, true);
}

bool link_flush(struct broker *b, uint64_t now_us)
{
	struct link *l = &b->link;

	while (l->fd >= 0 && l->writable) {
		const uint8_t *buf;
		size_t len = vmc_session_output(b->session, &buf, now_us);
		ssize_t n;

		if (len == 0)
			return true;
		n = write_link(l, buf, len);
		b->count.link_writes++;
		if (n < 0 && !is_later(errno)) {
			link_end(b, BROKER_LINK_ERROR, errno);
			return false;
		}
		if (n <= 0) {
			link_set_writable(b, false);
			return false;
		}
		b->count.link_bytes_out += (uint64_t)n;
		vmc_session_output_done(b->session, (size_t)n, now_us);
		if ((size_t)n < len)
			link_set_writable(b, false);
	}
	return false;
}
