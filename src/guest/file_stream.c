/* SPDX-License-Identifier: MIT */
/* file_stream.c - the frames of one transfer */
#include "guest/file_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "varlink/varlink.h"

#define INTERFACE "org.vmchannel.File."
/* Until the caller has read the last frame: what it sent and nobody read would
 * make it a reset. */
#define LINGER_S 5

bool file_stream_open(struct file_stream *s, struct op_call *call,
		      json_t *reply)
{
	s->sock = op_upgrade(call, reply, &s->rest, &s->n_rest);
	/* Nobody else has it: this process may wait. */
	return s->sock >= 0 && fcntl(s->sock, F_SETFL, 0) == 0;
}

static bool get_bytes(struct file_stream *s, uint8_t *p, size_t n)
{
	size_t old = s->n_rest - s->rest_at;

	if (old > n)
		old = n;
	if (old > 0)
		memcpy(p, s->rest + s->rest_at, old);
	s->rest_at += old;
	while (old < n) {
		ssize_t r = recv(s->sock, p + old, n - old, MSG_WAITALL);

		if (r == 0 || (r < 0 && errno != EINTR))
			return false;
		if (r > 0)
			old += (size_t)r;
	}
	return true;
}

bool file_stream_get(struct file_stream *s, struct opframe *ret)
{
	return get_bytes(s, s->data, OPFRAME_HEAD) &&
	       opframe_get(s->data, ret) &&
	       get_bytes(s, file_stream_body(s), ret->len);
}

bool file_stream_put(struct file_stream *s, enum opframe_type type, size_t len)
{
	size_t at = 0, n = OPFRAME_HEAD + len;

	opframe_put(s->data, type, len);
	while (at < n) {
		ssize_t r = send(s->sock, s->data + at, n - at, MSG_NOSIGNAL);

		if (r < 0 && errno != EINTR)
			return false;
		if (r > 0)
			at += (size_t)r;
	}
	return true;
}

bool file_stream_quiet(const struct file_stream *s)
{
	uint8_t byte;

	return s->rest_at == s->n_rest &&
	       recv(s->sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0;
}

void file_stream_end(struct file_stream *s, enum opframe_type type, size_t len)
{
	const struct timeval limit = {.tv_sec = LINGER_S};

	if (file_stream_put(s, type, len)) {
		shutdown(s->sock, SHUT_WR);
		setsockopt(s->sock, SOL_SOCKET, SO_RCVTIMEO, &limit,
			   sizeof(limit));
		while (recv(s->sock, s->data, sizeof(s->data), 0) > 0)
			;
	}
	_exit(EXIT_SUCCESS);
}

void file_stream_fail(struct file_stream *s, const char *error, json_t *p)
{
	char name[64];
	size_t len = 0;
	char *text;

	snprintf(name, sizeof(name), INTERFACE "%s", error);
	text = varlink_reply_text(name, p, false, &len);
	if (!text || len - 1 > OPFRAME_MAX)
		_exit(EXIT_FAILURE);
	memcpy(file_stream_body(s), text, len - 1); /* without the NUL */
	file_stream_end(s, OPFRAME_ERROR, len - 1);
}
