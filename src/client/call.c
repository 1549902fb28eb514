/* SPDX-License-Identifier: MIT */
/* call.c - vmc_call_*(): a varlink call, one stream each */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/error.h"
#include "client/stream.h"
#include "varlink/idl.h"

/* While the broker still empties the stream it does not say how it ended. */
#define END_TRIES   10
#define END_STEP_MS 50
#define WHY_SIZE    160

struct vmc_call {
	struct client_conn conn;
	char id[VMC_ID_MAX]; /* of the stream; "": the broker itself */
	const struct idl_method *method; /* NULL: of an interface that is not
					    ours, or not of the other side */
	bool more, upgrade, finished;
	bool has_request;
	char name[VARLINK_METHOD_MAX + 1];
	char *text; /* of the last reply's parameters */
	char error[VARLINK_METHOD_MAX + 1];
};

/* The channel of a method is its interface: all before the last dot. */
static int interface_of(const char *method, char ret[VMC_NAME_MAX + 1])
{
	const char *dot = method ? strrchr(method, '.') : NULL;
	size_t len = dot ? (size_t)(dot - method) : 0;

	if (len == 0 || len > VMC_NAME_MAX || dot[1] == '\0' ||
	    strlen(method) > VARLINK_METHOD_MAX)
		return client_fail(EINVAL,
				   "'%.80s' is not a method: write "
				   "interface.Method, such as "
				   "org.varlink.service.GetInfo",
				   method ? method : "");
	memcpy(ret, method, len);
	ret[len] = '\0';
	return stream_check_channel(ret);
}

static int parse_parameters(const char *text, json_t **ret)
{
	json_error_t e;

	*ret = text ? json_loads(text, JSON_REJECT_DUPLICATES, &e)
		    : json_object();
	if (json_is_object(*ret))
		return 0;
	if (*ret || !text) {
		json_decref(*ret);
		return client_fail(EINVAL, "the parameters are not a JSON "
					   "object: write {\"name\": value}");
	}
	return client_fail(EINVAL,
			   "the parameters are not JSON: %s (column %d)",
			   e.text, e.column);
}

/* A stream to the service at the other side, or the local broker itself. */
static int dial(struct vmc_call *c, const char *vm, const char *interface,
		unsigned int flags, uint64_t deadline)
{
	int fd;

	if (flags & VMC_CALL_LOCAL)
		return client_dial(&c->conn, vm, NULL, deadline);
	fd = stream_connect(vm, interface,
			    flags & VMC_CALL_FOLLOW ? VMC_FOLLOW : 0, deadline,
			    c->id);
	if (fd < 0)
		return fd;
	client_init(&c->conn, fd, vm, interface);
	return 0;
}

static int check_flags(unsigned int flags)
{
	const unsigned int known = VMC_CALL_MORE | VMC_CALL_LOCAL |
				   VMC_CALL_UPGRADE | VMC_CALL_FOLLOW;

	if (flags & ~known)
		return client_fail(EINVAL, "vmc_call_start: unknown flags 0x%x",
				   flags);
	if ((flags & VMC_CALL_UPGRADE) &&
	    (flags & (VMC_CALL_MORE | VMC_CALL_LOCAL)))
		return client_fail(EINVAL,
				   "vmc_call_start: VMC_CALL_UPGRADE goes with "
				   "neither VMC_CALL_MORE nor VMC_CALL_LOCAL");
	if ((flags & VMC_CALL_FOLLOW) && (flags & VMC_CALL_LOCAL))
		return client_fail(EINVAL,
				   "vmc_call_start: VMC_CALL_LOCAL asks the "
				   "broker of this side, which does not move");
	return 0;
}

int vmc_call_start(struct vmc_call **ret, const char *vm, const char *method,
		   const char *parameters, unsigned int flags, int timeout_ms)
{
	uint64_t deadline = client_deadline(timeout_ms);
	char interface[VMC_NAME_MAX + 1];
	struct vmc_call *c;
	json_t *p;
	int r = interface_of(method, interface);

	if (r)
		return r;
	r = check_flags(flags);
	if (r)
		return r;
	r = parse_parameters(parameters, &p);
	if (r)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c) {
		json_decref(p);
		return client_fail(ENOMEM, "vmc_call_start: out of memory");
	}
	c->conn.fd = c->conn.out = -1;
	c->more = (flags & VMC_CALL_MORE) != 0;
	c->upgrade = (flags & VMC_CALL_UPGRADE) != 0;
	c->method = flags & VMC_CALL_LOCAL ? NULL : idl_method(method);
	c->has_request = json_object_get(p, "request") != NULL;
	snprintf(c->name, sizeof(c->name), "%s", method);
	r = dial(c, vm, interface, flags, deadline);
	if (r)
		json_decref(p);
	else
		r = client_send_call(&c->conn, method, p,
				     c->more      ? CLIENT_MORE
				     : c->upgrade ? CLIENT_UPGRADE
						  : CLIENT_PLAIN,
				     deadline);
	if (r) {
		vmc_call_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

const char *vmc_call_id(const struct vmc_call *c)
{
	return c->id;
}

int vmc_call_fd(const struct vmc_call *c)
{
	return c->conn.fd;
}

/*
 * A guest's answer is what its interface says, or nobody sees it. What the
 * interface does not have is of a newer version, unchecked, and left out; so
 * are the parameters of an error that is not known.
 */
static int check_reply(const struct vmc_call *c, const struct varlink_msg *m)
{
	const struct idl_struct *type = &c->method->out;
	char where[IDL_WHERE_MAX];

	if (m->error[0] != '\0') {
		const struct idl_named *e = idl_error(m->error);

		type = e ? e->fields : NULL;
	}
	if (!type) {
		json_object_clear(m->parameters);
		return 0;
	}
	if (idl_check(type, m->parameters, IDL_DROP, where))
		return 0;
	return client_fail(EPROTO,
			   "%s: the answer of %s is not what the interface "
			   "says, at '%s'; is the guest's agent sound?",
			   c->conn.vm, c->conn.channel, where);
}

/* Return: has it ended, as the broker knows? *@ret is how. */
static bool how_it_ended(const struct vmc_call *c, struct vmc_status *ret)
{
	const struct timespec step = {.tv_nsec = END_STEP_MS * 1000000};

	for (int i = 0; i < END_TRIES; i++) {
		if (vmc_stream_status(c->conn.vm, c->id, ret) < 0)
			return false;
		if (ret->state == VMC_STREAM_ENDED)
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

/* What to do about it. */
static const char *remedy(const struct vmc_call *c)
{
	if (c->method && c->method->class == IDL_READ)
		return "ask again";
	if (c->has_request)
		return "whether it was done is not known; the same call with "
		       "the same request is not done twice";
	return "whether it was done is not known: look before you repeat it";
}

/* The stream has gone, and the reply was not in it. */
static int broken_off(const struct vmc_call *c)
{
	struct vmc_status st;
	char why[WHY_SIZE];

	if (!how_it_ended(c, &st))
		snprintf(why, sizeof(why), "its broker is gone");
	else if (st.reason == VMC_REASON_OK)
		snprintf(why, sizeof(why), "the service closed its stream");
	else
		snprintf(why, sizeof(why), "%s (%s)",
			 vmc_reason_text(st.reason),
			 vmc_reason_name(st.reason));
	return client_fail(ECONNRESET, "%s: %s had no answer: %s; %s",
			   c->conn.vm, c->name, why, remedy(c));
}

int vmc_call_reply(struct vmc_call *c, const char **ret_parameters,
		   const char **ret_error, int timeout_ms)
{
	struct varlink_msg m;
	bool continues;
	int r;

	if (c->finished)
		return client_fail(EINVAL, "the last reply was taken already");
	r = client_recv(&c->conn, &m, client_deadline(timeout_ms));
	if (r)
		return r == -ECONNRESET && c->id[0] ? broken_off(c) : r;
	r = c->method ? check_reply(c, &m) : 0;
	if (r) {
		varlink_msg_done(&m);
		return r;
	}
	free(c->text);
	c->text = json_dumps(m.parameters, JSON_COMPACT);
	memcpy(c->error, m.error, sizeof(c->error));
	continues = m.continues;
	varlink_msg_done(&m);
	if (!c->text)
		return client_fail(ENOMEM, "vmc_call_reply: out of memory");
	if (continues && !c->more)
		return client_fail(EPROTO,
				   "%s: several replies came to a call that "
				   "asked for one",
				   c->conn.vm);
	c->finished = !continues;
	*ret_parameters = c->text;
	if (ret_error)
		*ret_error = c->error[0] ? c->error : NULL;
	return continues ? 1 : 0;
}

int vmc_call_stream(struct vmc_call *c)
{
	if (!c->upgrade || !c->finished || c->error[0] != '\0' ||
	    c->conn.fd < 0)
		return client_fail(EINVAL, "vmc_call_stream: there is no "
					   "stream: the call was not upgraded");
	return client_release(&c->conn);
}

void vmc_call_free(struct vmc_call *c)
{
	if (!c)
		return;
	client_done(&c->conn);
	free(c->text);
	free(c);
}
