/* SPDX-License-Identifier: MIT */
/*
 * varlink.h - varlink messages: JSON objects, each ended by one NUL byte
 *
 * Pure: bytes in, messages out; no sockets. Messages come from hostile peers:
 * what varlink_buf_next() returns has been checked (size, UTF-8, depth, types
 * of the members that varlink defines); the parameters have not.
 *
 * jansson seeds its hash tables from the system's entropy when the first
 * object is made: a sandboxed process calls json_object_seed(0) before.
 * Format: https://varlink.org/Service, "Varlink messages".
 */
#ifndef VARLINK_VARLINK_H
#define VARLINK_VARLINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One message, NUL included. Larger ones end the connection: a reply that a
 * broker makes itself never gets near it, save for List, which is split. */
#define VARLINK_MSG_MAX (64u * 1024u)
/* Deepest nesting; jansson recurses. */
#define VARLINK_DEPTH_MAX 32
/* "interface.Method" in bytes. */
#define VARLINK_METHOD_MAX 255

enum varlink_err {
	VARLINK_ERR_TOO_BIG = -1, /* no NUL within VARLINK_MSG_MAX */
	VARLINK_ERR_SYNTAX = -2,  /* not one JSON object */
	VARLINK_ERR_TYPE = -3,    /* a member has the wrong type or form */
	VARLINK_ERR_NOMEM = -4,
};

/*
 * Collects the bytes of one connection until a message is complete. Private
 * to varlink.c: [start, len) has not been taken, [start, scanned) has no NUL.
 * data is NULL whenever nothing waits, so an idle connection holds no memory.
 */
struct varlink_buf {
	char *data;
	size_t len, cap;
	size_t start, scanned;
};

void varlink_buf_init(struct varlink_buf *b);
void varlink_buf_done(struct varlink_buf *b);

/**
 * varlink_buf_room() - where to read more bytes to
 *
 * Return: room in bytes (>= 1), or VARLINK_ERR_TOO_BIG / VARLINK_ERR_NOMEM.
 */
long varlink_buf_room(struct varlink_buf *b, char **ret);
void varlink_buf_add(struct varlink_buf *b, size_t n);

struct varlink_msg {
	json_t *parameters; /* object; never NULL; owned by the message */
	char method[VARLINK_METHOD_MAX + 1]; /* calls; "" in replies */
	char error[VARLINK_METHOD_MAX + 1];  /* error replies, else "" */
	bool more, oneway, upgrade;          /* calls */
	bool continues;                      /* replies */
};

/**
 * varlink_buf_next() - take one message off the buffer
 *
 * Return: 1 with a message (release it with varlink_msg_done()), 0 if none is
 * complete, or enum varlink_err: close the connection then.
 */
int varlink_buf_next(struct varlink_buf *b, struct varlink_msg *ret);
void varlink_msg_done(struct varlink_msg *m);

/* varlink_buf_rest() - bytes after the last message taken: after an upgrade
 * they belong to the stream; valid until the next call on @b */
const char *varlink_buf_rest(const struct varlink_buf *b, size_t *ret_len);

/**
 * varlink_call_text() / varlink_reply_text() - encode a message
 * @parameters: borrowed; NULL for {}
 * @ret_len:    bytes, the final NUL included
 *
 * Return: malloc()ed text or NULL (no memory).
 */
char *varlink_call_text(const char *method, json_t *parameters, bool more,
			bool oneway, bool upgrade, size_t *ret_len);
char *varlink_reply_text(const char *error, json_t *parameters, bool continues,
			 size_t *ret_len);

#endif /* VARLINK_VARLINK_H */
