/* SPDX-License-Identifier: MIT */
/* varlink.c - the varlink message codec over jansson */
#include "varlink/varlink.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_depth.h"

/* First allocation: nearly every message of a broker fits. */
#define BUF_MIN 4096u

void varlink_buf_init(struct varlink_buf *b)
{
	*b = (struct varlink_buf){0};
}

void varlink_buf_done(struct varlink_buf *b)
{
	free(b->data);
	varlink_buf_init(b);
}

/* Moves what has not been taken to the front. */
static void buf_compact(struct varlink_buf *b)
{
	if (b->start == 0)
		return;
	memmove(b->data, b->data + b->start, b->len - b->start);
	b->len -= b->start;
	b->scanned -= b->start;
	b->start = 0;
}

static bool buf_grow(struct varlink_buf *b)
{
	size_t cap = b->cap ? b->cap * 2 : BUF_MIN;
	char *data;

	if (cap > VARLINK_MSG_MAX)
		cap = VARLINK_MSG_MAX;
	data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

long varlink_buf_room(struct varlink_buf *b, char **ret)
{
	buf_compact(b);
	if (b->len >= VARLINK_MSG_MAX)
		return VARLINK_ERR_TOO_BIG;
	if (b->len == b->cap && !buf_grow(b))
		return VARLINK_ERR_NOMEM;
	*ret = b->data + b->len;
	return (long)(b->cap - b->len);
}

void varlink_buf_add(struct varlink_buf *b, size_t n)
{
	if (n > b->cap - b->len)
		abort(); /* the caller wrote past its room already */
	b->len += n;
}

const char *varlink_buf_rest(const struct varlink_buf *b, size_t *ret_len)
{
	*ret_len = b->len - b->start;
	return b->data ? b->data + b->start : "";
}

/* "interface.Method" or "interface.Error": what may stand in a method's name,
 * so that it can be printed and compared without surprises. */
static bool name_ok(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	const char *dot = strrchr(s, '.');

	if (s[strspn(s, allowed)] != '\0' || strlen(s) > VARLINK_METHOD_MAX)
		return false;
	return dot && dot != s && dot[1] != '\0';
}

/* An absent member and null mean the same in varlink. */
static const json_t *member(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_null(v) ? NULL : v;
}

static bool take_name(const json_t *object, const char *key, char *ret)
{
	const json_t *v = member(object, key);

	ret[0] = '\0';
	if (!v)
		return true;
	if (!json_is_string(v) || !name_ok(json_string_value(v)))
		return false;
	memcpy(ret, json_string_value(v), json_string_length(v) + 1);
	return true;
}

static bool take_bool(const json_t *object, const char *key, bool *ret)
{
	const json_t *v = member(object, key);

	*ret = json_is_true(v);
	return !v || json_is_boolean(v);
}

static int take_parameters(json_t *object, json_t **ret)
{
	json_t *v = json_object_get(object, "parameters");

	if (json_is_object(v))
		*ret = json_incref(v);
	else if (!v || json_is_null(v))
		*ret = json_object();
	else
		return VARLINK_ERR_TYPE;
	return *ret ? 0 : VARLINK_ERR_NOMEM;
}

static int take_members(json_t *object, struct varlink_msg *ret)
{
	if (!take_name(object, "method", ret->method) ||
	    !take_name(object, "error", ret->error) ||
	    !take_bool(object, "more", &ret->more) ||
	    !take_bool(object, "oneway", &ret->oneway) ||
	    !take_bool(object, "upgrade", &ret->upgrade) ||
	    !take_bool(object, "continues", &ret->continues))
		return VARLINK_ERR_TYPE;
	if (ret->method[0] != '\0' && ret->error[0] != '\0')
		return VARLINK_ERR_TYPE;
	return take_parameters(object, &ret->parameters);
}

static int parse(const char *text, size_t len, struct varlink_msg *ret)
{
	json_error_t e;
	json_t *object;
	int r;

	if (!json_depth_ok(text, len, VARLINK_DEPTH_MAX))
		return VARLINK_ERR_SYNTAX;
	object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!object)
		return json_error_code(&e) == json_error_out_of_memory
			       ? VARLINK_ERR_NOMEM
			       : VARLINK_ERR_SYNTAX;
	r = json_is_object(object) ? take_members(object, ret)
				   : VARLINK_ERR_SYNTAX;
	json_decref(object);
	return r;
}

int varlink_buf_next(struct varlink_buf *b, struct varlink_msg *ret)
{
	struct varlink_msg msg = {0};
	const char *text, *nul;
	int r;

	if (b->scanned == b->len)
		return b->len - b->start < VARLINK_MSG_MAX
			       ? 0
			       : VARLINK_ERR_TOO_BIG;
	nul = memchr(b->data + b->scanned, '\0', b->len - b->scanned);
	if (!nul) {
		b->scanned = b->len;
		return varlink_buf_next(b, ret);
	}
	text = b->data + b->start;
	r = parse(text, (size_t)(nul - text), &msg);
	if (r < 0)
		return r;
	b->start = b->scanned = (size_t)(nul - b->data) + 1;
	if (b->start == b->len)
		varlink_buf_done(b);
	*ret = msg;
	return 1;
}

void varlink_msg_done(struct varlink_msg *m)
{
	json_decref(m->parameters);
	*m = (struct varlink_msg){0};
}

/* Dumps and releases @object, which json_pack() may have failed to make. The
 * NUL that ends the string is the one that ends the message. */
static char *dump(json_t *object, size_t *ret_len)
{
	char *text;

	if (!object)
		return NULL;
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (text)
		*ret_len = strlen(text) + 1;
	return text;
}

/* Adds "key":true if @set; forgets @object if memory runs out. */
static json_t *put_flag(json_t *object, const char *key, bool set)
{
	if (!object || !set || !json_object_set_new(object, key, json_true()))
		return object;
	json_decref(object);
	return NULL;
}

/* {"@key": @name, "parameters": @parameters}; no @key if @name is NULL. */
static json_t *envelope(const char *key, const char *name, json_t *parameters)
{
	json_t *object = json_object();

	if (!object)
		return NULL;
	if (name && json_object_set_new(object, key, json_string(name)))
		goto fail;
	if (json_object_set_new(object, "parameters",
				parameters ? json_incref(parameters)
					   : json_object()))
		goto fail;
	return object;
fail:
	json_decref(object);
	return NULL;
}

char *varlink_call_text(const char *method, json_t *parameters, bool more,
			bool oneway, bool upgrade, size_t *ret_len)
{
	json_t *object = envelope("method", method, parameters);

	object = put_flag(object, "more", more);
	object = put_flag(object, "oneway", oneway);
	object = put_flag(object, "upgrade", upgrade);
	return dump(object, ret_len);
}

char *varlink_reply_text(const char *error, json_t *parameters, bool continues,
			 size_t *ret_len)
{
	json_t *object = envelope("error", error, parameters);

	return dump(put_flag(object, "continues", continues), ret_len);
}
