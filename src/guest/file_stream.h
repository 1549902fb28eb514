/* SPDX-License-Identifier: MIT */
/*
 * file_stream.h - the frames of one transfer, in a child that may wait
 *
 * Who has gone is seen when the next byte is wanted from it, or for it.
 */
#ifndef GUEST_FILE_STREAM_H
#define GUEST_FILE_STREAM_H

#include <jansson.h>
#include <stdint.h>

#include "base/opframe.h"
#include "guest/ops.h"

struct file_stream {
	int sock;
	char *rest; /* bytes that came behind the call: [rest_at, n_rest) */
	size_t rest_at, n_rest;
	uint8_t data[OPFRAME_HEAD + OPFRAME_MAX];
};

/* file_stream_body() - where the bytes of a frame are: OPFRAME_MAX */
static inline uint8_t *file_stream_body(struct file_stream *s)
{
	return s->data + OPFRAME_HEAD;
}

/**
 * file_stream_open() - the last reply of @call
 *
 * Return: false if the caller has gone.
 */
bool file_stream_open(struct file_stream *s, struct op_call *call,
		      json_t *reply);

/* file_stream_get() - the next frame, all of it; false: there is none, or what
 * came is not a frame */
bool file_stream_get(struct file_stream *s, struct opframe *ret);
/* file_stream_put() - one whose body stands in its place already */
bool file_stream_put(struct file_stream *s, enum opframe_type type, size_t len);
/* file_stream_quiet() - has the caller sent nothing? */
bool file_stream_quiet(const struct file_stream *s);

/* The last frame, and the end. */
__attribute__((noreturn)) void
file_stream_end(struct file_stream *s, enum opframe_type type, size_t len);
/* file_stream_fail() - @error: "NAME" of org.vmchannel.File; consumes @p */
__attribute__((noreturn)) void file_stream_fail(struct file_stream *s,
						const char *error, json_t *p);

#endif /* GUEST_FILE_STREAM_H */
