/* SPDX-License-Identifier: MIT */
/* pump.c - one direction of a relay */
#include "cli/pump.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmchannel/types.h>

#define HEADER 4u
/* Enough that system calls cost little beside the copying. */
#define BYTES_CAP (256u * 1024u)
/* The largest message with its header, or with its newline. */
#define UNIT_CAP (VMC_MSG_MAX + HEADER)

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool buf_init(struct pump_buf *b, size_t cap)
{
	*b = (struct pump_buf){.data = malloc(cap), .cap = cap};
	return b->data != NULL;
}

bool pump_init(struct pump *p, int from, int to, enum pump_shape shape)
{
	size_t cap = shape == PUMP_BYTES ? BYTES_CAP : UNIT_CAP;

	*p = (struct pump){.shape = shape,
			   .from = from,
			   .to = to,
			   .from_socket = is_socket(from),
			   .to_socket = is_socket(to)};
	if (shape != PUMP_BYTES && !buf_init(&p->in, cap))
		return false;
	return buf_init(&p->out, cap);
}

void pump_done(struct pump *p)
{
	free(p->in.data);
	free(p->out.data);
	p->in.data = p->out.data = NULL;
}

static size_t used(const struct pump_buf *b)
{
	return b->end - b->start;
}

/* Bytes come in here: shaped pumps collect units before they pass them on. */
static struct pump_buf *inlet(struct pump *p)
{
	return p->shape == PUMP_BYTES ? &p->out : &p->in;
}

bool pump_wants_read(const struct pump *p)
{
	const struct pump_buf *b = p->shape == PUMP_BYTES ? &p->out : &p->in;

	return !p->eof && !p->broken && used(b) < b->cap;
}

bool pump_wants_write(const struct pump *p)
{
	return !p->broken && used(&p->out) > 0;
}

bool pump_has_unsent(const struct pump *p)
{
	return used(&p->out) > 0 || used(&p->in) > 0;
}

bool pump_is_over(const struct pump *p)
{
	return p->broken || (p->eof && used(&p->out) == 0);
}

static void compact(struct pump_buf *b)
{
	if (b->start == 0)
		return;
	memmove(b->data, b->data + b->start, used(b));
	b->end = used(b);
	b->start = 0;
}

static void put(struct pump_buf *b, const void *data, size_t len)
{
	memcpy(b->data + b->end, data, len);
	b->end += len;
}

/* A line becomes length and bytes; at the end, also one without newline. */
static enum pump_error next_line(struct pump *p, bool *ret_moved)
{
	const uint8_t *line = p->in.data + p->in.start;
	const uint8_t *nl = memchr(line, '\n', used(&p->in));
	size_t len = nl ? (size_t)(nl - line) : used(&p->in);
	uint8_t h[HEADER] = {len & 0xff, len >> 8 & 0xff, len >> 16 & 0xff,
			     len >> 24 & 0xff};

	if (len > VMC_MSG_MAX)
		return PUMP_TOO_LONG;
	if (!nl && (!p->eof || len == 0))
		return PUMP_OK;
	if (p->out.cap - used(&p->out) < HEADER + len)
		return PUMP_OK;
	compact(&p->out);
	put(&p->out, h, HEADER);
	put(&p->out, line, len);
	p->in.start += len + (nl ? 1 : 0);
	*ret_moved = true;
	return PUMP_OK;
}

static enum pump_error next_message(struct pump *p, bool *ret_moved)
{
	const uint8_t *h = p->in.data + p->in.start;
	size_t have = used(&p->in), len;

	if (have == 0 || (have < HEADER && !p->eof))
		return PUMP_OK;
	if (have < HEADER)
		return PUMP_CUT;
	len = (size_t)h[0] | (size_t)h[1] << 8 | (size_t)h[2] << 16 |
	      (size_t)h[3] << 24;
	if (len > VMC_MSG_MAX)
		return PUMP_TOO_LONG;
	if (have - HEADER < len)
		return p->eof ? PUMP_CUT : PUMP_OK;
	if (p->out.cap - used(&p->out) < len + 1)
		return PUMP_OK;
	compact(&p->out);
	put(&p->out, h + HEADER, len);
	put(&p->out, "\n", 1);
	p->in.start += HEADER + len;
	*ret_moved = true;
	return PUMP_OK;
}

static enum pump_error reshape(struct pump *p)
{
	enum pump_error e = PUMP_OK;
	bool moved = true;

	while (e == PUMP_OK && moved && p->shape != PUMP_BYTES) {
		moved = false;
		e = p->shape == PUMP_LINES_TO_MESSAGES
			    ? next_line(p, &moved)
			    : next_message(p, &moved);
	}
	return e;
}

enum pump_error pump_read(struct pump *p)
{
	struct pump_buf *b = inlet(p);
	ssize_t n;

	compact(b);
	n = p->from_socket ? recv(p->from, b->data + b->end, b->cap - b->end,
				  MSG_DONTWAIT)
			   : read(p->from, b->data + b->end, b->cap - b->end);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PUMP_OK;
	/* A socket whose other end died says so once; then it is an end. A
	 * terminal that is gone says EIO. */
	if (n < 0 && errno != ECONNRESET && errno != EIO && errno != EBADF)
		return PUMP_READ;
	if (n <= 0)
		p->eof = true;
	else
		b->end += (size_t)n;
	return reshape(p);
}

enum pump_error pump_write(struct pump *p)
{
	struct pump_buf *b = &p->out;
	ssize_t n;

	n = p->to_socket ? send(p->to, b->data + b->start, used(b),
				MSG_DONTWAIT | MSG_NOSIGNAL)
			 : write(p->to, b->data + b->start, used(b));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PUMP_OK;
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
		p->broken = true;
		return PUMP_OK;
	}
	if (n < 0)
		return PUMP_WRITE;
	b->start += (size_t)n;
	p->written += (size_t)n;
	if (b->start == b->end)
		b->start = b->end = 0;
	return reshape(p);
}
