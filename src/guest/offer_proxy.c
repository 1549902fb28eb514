/* SPDX-License-Identifier: MIT */
/* offer_proxy.c - what passes between a caller and an offered service */
#include "guest/offer_proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "org.varlink.service"
#define COMMON  "org.vmchannel."

/* ---- "continues" of a reply ---------------------------------------------- */

#define WORD     "continues"
#define WORD_LEN (sizeof(WORD) - 1)
#define NO_MATCH (WORD_LEN + 1)

enum {
	SCAN_ELSEWHERE,
	SCAN_KEY,   /* behind the word */
	SCAN_VALUE, /* behind its colon */
};

static void scan_string(struct offer_scan *s, char c)
{
	if (s->escaped || c == '\\') {
		s->escaped = !s->escaped;
		s->matched = NO_MATCH;
	} else if (c == '"') {
		s->in_string = false;
		s->state = s->depth == 1 && s->matched == WORD_LEN
				   ? SCAN_KEY
				   : SCAN_ELSEWHERE;
	} else if (s->matched < WORD_LEN && WORD[s->matched] == c) {
		s->matched++;
	} else {
		s->matched = NO_MATCH;
	}
}

static void scan(struct offer_scan *s, char c)
{
	if (s->in_string) {
		scan_string(s, c);
		return;
	}
	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return;
	case '"':
		s->in_string = true;
		s->matched = 0;
		break;
	case ':':
		s->state = s->state == SCAN_KEY ? SCAN_VALUE : SCAN_ELSEWHERE;
		return;
	case '{':
	case '[':
		s->depth++;
		break;
	case '}':
	case ']':
		s->depth -= s->depth > 0;
		break;
	default:
		s->continues |= s->state == SCAN_VALUE && c == 't';
		break;
	}
	s->state = SCAN_ELSEWHERE;
}

/* ---- start and end ------------------------------------------------------- */

void offer_proxy_init(struct offer_proxy *p, const char *interface)
{
	*p = (struct offer_proxy){.phase = OFFER_IDLE};
	snprintf(p->interface, sizeof(p->interface), "%s", interface);
	varlink_buf_init(&p->in);
	varlink_buf_init(&p->reply);
}

void offer_proxy_done(struct offer_proxy *p)
{
	varlink_buf_done(&p->in);
	varlink_buf_done(&p->reply);
}

/* ---- calls --------------------------------------------------------------- */

/* Return: what is to be done with @error as the answer; consumes @params. */
static enum offer_next answer(const struct offer_proxy *p, const char *error,
			      json_t *params, char **ret_text, size_t *ret_len)
{
	*ret_text = NULL;
	if (!p->silent && params)
		*ret_text = varlink_reply_text(error, params, false, ret_len);
	json_decref(params);
	return p->silent || *ret_text ? OFFER_ANSWER : OFFER_BROKEN;
}

/* The channel is that of one interface: its policy must not be gone round by
 * way of another one. Return: the interface of @method that is none of it; ""
 * if all is right. */
static void foreign_interface(const struct offer_proxy *p, const char *method,
			      char ret[VARLINK_METHOD_MAX + 1])
{
	const char *dot = strrchr(method, '.');

	snprintf(ret, VARLINK_METHOD_MAX + 1, "%.*s", (int)(dot - method),
		 method);
	if (strcmp(ret, p->interface) == 0 || strcmp(ret, SERVICE) == 0)
		ret[0] = '\0';
}

static bool is_service(const char *method)
{
	return strncmp(method, SERVICE ".", strlen(SERVICE ".")) == 0;
}

/* What says of itself what it is, is nobody's secret. */
static bool is_open(const char *method)
{
	return strcmp(method, SERVICE ".GetInfo") == 0 ||
	       strcmp(method, SERVICE ".GetInterfaceDescription") == 0;
}

static enum offer_next forward(struct offer_proxy *p,
			       const struct varlink_msg *m, char **ret_text,
			       size_t *ret_len)
{
	*ret_text = varlink_call_text(m->method, m->parameters, m->more,
				      m->oneway, m->upgrade, ret_len);
	if (!*ret_text)
		return OFFER_BROKEN;
	p->scan = (struct offer_scan){0};
	p->more = m->more;
	if (m->oneway)
		p->phase = OFFER_IDLE;
	else
		p->phase = m->upgrade ? OFFER_UPGRADING : OFFER_CALLED;
	return OFFER_FORWARD;
}

static enum offer_next take_call(struct offer_proxy *p,
				 const struct varlink_msg *m,
				 offer_judge_fn *judge, void *data,
				 char **ret_text, size_t *ret_len)
{
	char interface[VARLINK_METHOD_MAX + 1], rule[POLICY_RULE_ID_MAX];

	/* What exclude each other: a service could see either. */
	if (m->method[0] == '\0' || (m->oneway && (m->more || m->upgrade)) ||
	    (m->more && m->upgrade))
		return OFFER_BROKEN;
	p->silent = m->oneway;
	memcpy(p->method, m->method, sizeof(p->method));
	foreign_interface(p, m->method, interface);
	if (interface[0] != '\0')
		return answer(p, SERVICE ".InterfaceNotFound",
			      json_pack("{s:s}", "interface", interface),
			      ret_text, ret_len);
	if (is_service(m->method) && !is_open(m->method))
		return answer(p, SERVICE ".MethodNotFound",
			      json_pack("{s:s}", "method", m->method), ret_text,
			      ret_len);
	if (!judge(data, m->method, rule))
		return answer(p, COMMON "PolicyDenied",
			      json_pack("{s:s,s:s,s:s}", "operation", m->method,
					"class", "full", "rule", rule),
			      ret_text, ret_len);
	return forward(p, m, ret_text, ret_len);
}

enum offer_next offer_proxy_next(struct offer_proxy *p, offer_judge_fn *judge,
				 void *data, char **ret_text, size_t *ret_len)
{
	enum offer_next next;
	struct varlink_msg m;
	int r;

	*ret_text = NULL;
	*ret_len = 0;
	if (p->phase != OFFER_IDLE)
		return OFFER_NOTHING;
	r = varlink_buf_next(&p->in, &m);
	if (r < 0)
		return OFFER_BROKEN;
	if (r == 0)
		return OFFER_NOTHING;
	next = take_call(p, &m, judge, data, ret_text, ret_len);
	varlink_msg_done(&m);
	return next;
}

char *offer_proxy_failed(struct offer_proxy *p, int error, const char *detail,
			 size_t *ret_len, bool *ret_ok)
{
	char *text = NULL;

	p->phase = OFFER_IDLE;
	*ret_ok = answer(p, COMMON "Failed",
			 json_pack("{s:s,s:s,s:s}", "operation", p->method,
				   "name", strerrorname_np(error), "detail",
				   detail),
			 &text, ret_len) == OFFER_ANSWER;
	return text;
}

/* ---- replies ------------------------------------------------------------- */

bool offer_proxy_in_reply(const struct offer_proxy *p)
{
	return p->phase != OFFER_IDLE && p->scan.bytes > 0;
}

/* The service accepted "upgrade", or it did not. Only a reply that was read
 * whole opens the way for bytes that nobody looks at. */
static bool decide_upgrade(struct offer_proxy *p)
{
	struct varlink_msg m;
	int r = varlink_buf_next(&p->reply, &m);

	if (r <= 0)
		return false;
	p->phase = m.error[0] == '\0' ? OFFER_RAW : OFFER_IDLE;
	r = m.method[0] == '\0';
	varlink_msg_done(&m);
	varlink_buf_done(&p->reply);
	return r;
}

static bool end_of_reply(struct offer_proxy *p)
{
	bool continues = p->scan.continues;

	p->scan = (struct offer_scan){0};
	if (p->phase == OFFER_UPGRADING)
		return decide_upgrade(p);
	if (!p->more || !continues)
		p->phase = OFFER_IDLE;
	return true;
}

/* Return: false: longer than what decides about an upgrade may be. */
static bool keep_reply(struct offer_proxy *p, char c)
{
	char *room;

	if (varlink_buf_room(&p->reply, &room) < 0)
		return false;
	*room = c;
	varlink_buf_add(&p->reply, 1);
	return true;
}

/* One byte of a reply. */
static bool take_byte(struct offer_proxy *p, char c)
{
	if (++p->scan.bytes > OFFER_REPLY_MAX)
		return false;
	if (p->phase == OFFER_UPGRADING && !keep_reply(p, c))
		return false;
	if (c == '\0')
		return end_of_reply(p);
	scan(&p->scan, c);
	return true;
}

bool offer_proxy_replied(struct offer_proxy *p, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && p->phase != OFFER_RAW; i++) {
		/* It speaks out of its turn. */
		if (p->phase == OFFER_IDLE || !take_byte(p, bytes[i]))
			return false;
	}
	return true;
}

char *offer_proxy_take_rest(struct offer_proxy *p, size_t *ret_len)
{
	const char *rest = varlink_buf_rest(&p->in, ret_len);
	char *copy = malloc(*ret_len + 1);

	if (copy)
		memcpy(copy, rest, *ret_len);
	varlink_buf_done(&p->in);
	return copy;
}
