/* SPDX-License-Identifier: MIT */
/* operror.c - an error that comes in a frame */
#include "cli/operror.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "varlink/idl.h"
#include "varlink/varlink.h"

/* The codec takes a message off a connection: this is the whole of one. */
static int decode(const char *text, size_t len, struct varlink_msg *ret)
{
	struct varlink_buf b;
	char *room;
	int r = 0;

	varlink_buf_init(&b);
	for (size_t at = 0; r == 0 && at <= len;) {
		long size = varlink_buf_room(&b, &room);
		size_t n = len + 1 - at;

		if (size < 0) {
			r = (int)size;
			break;
		}
		if (n > (size_t)size)
			n = (size_t)size;
		/* The last byte is the NUL behind the text. */
		memcpy(room, text + at, n);
		at += n;
		varlink_buf_add(&b, n);
		r = varlink_buf_next(&b, ret);
	}
	varlink_buf_done(&b);
	return r;
}

static int check(struct varlink_msg *m)
{
	const struct idl_named *e = idl_error(m->error);
	char where[IDL_WHERE_MAX];

	if (m->error[0] == '\0' || m->continues)
		return -EPROTO;
	if (e)
		return idl_check(e->fields, m->parameters, IDL_DROP, where)
			       ? 0
			       : -EPROTO;
	json_object_clear(m->parameters);
	return 0;
}

int operror_parse(const char *text, size_t len, char **ret_error,
		  char **ret_parameters)
{
	struct varlink_msg m;
	int r = memchr(text, '\0', len) ? VARLINK_ERR_SYNTAX
					: decode(text, len, &m);

	if (r != 1)
		return r == VARLINK_ERR_NOMEM ? -ENOMEM : -EPROTO;
	r = check(&m);
	if (r == 0) {
		*ret_error = strdup(m.error);
		*ret_parameters = json_dumps(m.parameters, JSON_COMPACT);
		if (!*ret_error || !*ret_parameters) {
			free(*ret_error);
			free(*ret_parameters);
			r = -ENOMEM;
		}
	}
	varlink_msg_done(&m);
	return r;
}
