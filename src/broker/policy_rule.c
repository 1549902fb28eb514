/* SPDX-License-Identifier: MIT */
/*
 * policy_rule.c - one policy rule: from a line of text and back, and matching
 *
 * A line is cut into words in a private copy; then each word has one parser.
 * Errors are made for the person who wrote the line: they repeat the word and
 * say what may stand there.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmchannel/session.h>

#include "broker/policy_rule.h"

/* op, subject, principal, verdict or path, and each option once */
#define WORDS_MAX 6

/* Answered by each broker itself, so its rules are the reserved prefix's. */
#define RESERVED_PREFIX "org.vmchannel."
#define VARLINK_SERVICE "org.varlink.service"

struct line {
	char text[POLICY_LINE_MAX + 1];
	char *word[WORDS_MAX];
	size_t n;
	policy_group_fn *group;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool bad(struct line *l,
						      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(l->why, l->why_size, fmt, ap);
	va_end(ap);
	return false;
}

static bool copy_line(struct line *l, const char *line, size_t len)
{
	if (len > POLICY_LINE_MAX)
		return bad(l, "the line is longer than %d bytes",
			   POLICY_LINE_MAX);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if (c == '#') {
			len = i;
			break;
		}
		if (c == '\r')
			return bad(l, "carriage return; save the file with "
				      "Unix line ends");
		if ((c < ' ' && c != '\t') || c > '~')
			return bad(l, "byte 0x%02x is not allowed here", c);
	}
	memcpy(l->text, line, len);
	l->text[len] = '\0';
	return true;
}

static bool split_line(struct line *l)
{
	char *save = NULL;

	for (char *w = strtok_r(l->text, " \t", &save); w;
	     w = strtok_r(NULL, " \t", &save)) {
		if (l->n == WORDS_MAX)
			return bad(l, "too many words, from \"%s\" on", w);
		l->word[l->n++] = w;
	}
	if (l->n > 0 && l->n < 4)
		return bad(l,
			   "expected \"connect|listen|call SUBJECT PRINCIPAL "
			   "allow|deny\" or \"offer INTERFACE PRINCIPAL "
			   "SOCKET\"");
	return true;
}

static const char *const op_names[] = {
	[POLICY_CONNECT] = "connect",
	[POLICY_LISTEN] = "listen",
	[POLICY_CALL] = "call",
	[POLICY_OFFER] = "offer",
};

static bool parse_op(struct line *l, struct policy_rule *r, const char *w)
{
	for (size_t i = 0; i < sizeof(op_names) / sizeof(op_names[0]); i++) {
		if (strcmp(w, op_names[i]) != 0)
			continue;
		r->op = (enum policy_op)i;
		return true;
	}
	return bad(l, "\"%.80s\": expected connect, listen, call or offer", w);
}

/* "*", or what ends in ".*": the length of the prefix, the last dot included.
 */
static bool take_prefix(struct policy_rule *r, const char *w, size_t *ret_len)
{
	size_t len = strlen(w);

	*ret_len = len;
	r->prefix = !strcmp(w, "*") || (len > 2 && !strcmp(w + len - 2, ".*"));
	if (r->prefix)
		*ret_len = len - 1;
	return r->prefix;
}

static void set_subject(struct policy_rule *r, const char *w, size_t len)
{
	memcpy(r->subject, w, len);
	r->subject[len] = '\0';
}

static bool parse_channel(struct line *l, struct policy_rule *r, const char *w)
{
	size_t len;
	size_t dot = take_prefix(r, w, &len) && len > 0 ? 1 : 0;

	if (r->prefix && len == 0) {
		set_subject(r, w, 0);
		return true;
	}
	if (len > VMC_NAME_MAX || !vmc_name_valid(w, len - dot))
		return bad(l,
			   "\"%.80s\": expected a channel name, a prefix "
			   "ending in \".*\", or \"*\"",
			   w);
	set_subject(r, w, len);
	return true;
}

static bool is_class(const char *w)
{
	return !strcmp(w, "@read") || !strcmp(w, "@control") ||
	       !strcmp(w, "@full");
}

/* An interface is called like its channel; a method begins with a capital. */
static bool is_method(const char *w, size_t len)
{
	const char *dot = memrchr(w, '.', len);
	size_t at = dot ? (size_t)(dot - w) : 0;

	if (at == 0 || at > VMC_NAME_MAX || !vmc_name_valid(w, at) ||
	    len - at < 2 || w[at + 1] < 'A' || w[at + 1] > 'Z')
		return false;
	for (size_t i = at + 1; i < len; i++) {
		if (!(w[i] >= 'A' && w[i] <= 'Z') &&
		    !(w[i] >= 'a' && w[i] <= 'z') &&
		    !(w[i] >= '0' && w[i] <= '9'))
			return false;
	}
	return true;
}

static bool parse_method(struct line *l, struct policy_rule *r, const char *w)
{
	size_t len;
	bool ok = is_class(w);

	if (take_prefix(r, w, &len))
		ok = len == 0 || vmc_name_valid(w, len - 1);
	else if (!ok)
		ok = is_method(w, len);
	if (!ok || len > POLICY_SUBJECT_MAX)
		return bad(l,
			   "\"%.80s\": expected INTERFACE.METHOD, "
			   "INTERFACE.*, @read, @control, @full or \"*\"",
			   w);
	set_subject(r, w, len);
	return true;
}

bool policy_method_valid(const char *name)
{
	return is_method(name, strlen(name));
}

static bool is_ours(const char *interface)
{
	return !strncmp(interface, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) ||
	       !strcmp(interface, VARLINK_SERVICE);
}

/* It becomes a channel, which is one interface. */
static bool parse_interface(struct line *l, struct policy_rule *r,
			    const char *w)
{
	size_t len = strlen(w);

	if (!vmc_name_valid(w, len) || !strchr(w, '.'))
		return bad(l,
			   "\"%.80s\": expected an interface of the service, "
			   "such as io.systemd.Hostname, of at most %d bytes",
			   w, VMC_NAME_MAX);
	if (is_ours(w))
		return bad(l,
			   "\"%.80s\" is vmchannel's own; offer another "
			   "interface",
			   w);
	set_subject(r, w, len);
	return true;
}

static bool parse_subject(struct line *l, struct policy_rule *r, const char *w)
{
	if (r->op == POLICY_OFFER)
		return parse_interface(l, r, w);
	return r->op == POLICY_CALL ? parse_method(l, r, w)
				    : parse_channel(l, r, w);
}

/* Digits only: no sign, no space, no base prefix. (uid_t)-1 is no id. */
static bool parse_number(const char *w, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;

	if (!*w)
		return false;
	for (; *w; w++) {
		if (*w < '0' || *w > '9')
			return false;
		v = v * 10 + (uint64_t)(*w - '0');
		if (v > max)
			return false;
	}
	*ret = (uint32_t)v;
	return true;
}

static bool parse_guest(struct line *l, struct policy_rule *r, const char *id)
{
	if (!strcmp(id, "*")) {
		r->who = POLICY_WHO_GUEST;
		return true;
	}
	r->who = POLICY_WHO_GUEST_UID;
	if (!parse_number(id, UINT32_MAX - 1, &r->id))
		return bad(l, "\"guest:%.40s\": expected guest:UID or guest:*",
			   id);
	return true;
}

static bool parse_group(struct line *l, struct policy_rule *r, const char *name)
{
	gid_t gid;

	r->who = POLICY_WHO_GROUP;
	if (parse_number(name, UINT32_MAX - 1, &r->id))
		return true;
	if (!*name)
		return bad(l, "\"group:\": expected group:NAME");
	if (!l->group || !l->group(name, &gid))
		return bad(l,
			   "\"group:%.40s\": there is no such group; create it "
			   "or give its number",
			   name);
	r->id = gid;
	return true;
}

static bool parse_principal(struct line *l, struct policy_rule *r,
			    const char *w)
{
	if (!strncmp(w, "guest:", 6))
		return parse_guest(l, r, w + 6);
	if (!strncmp(w, "group:", 6))
		return parse_group(l, r, w + 6);
	if (!strcmp(w, "host"))
		r->who = POLICY_WHO_HOST;
	else if (!strcmp(w, "*"))
		r->who = POLICY_WHO_ANYONE;
	else
		return bad(l,
			   "\"%.40s\": expected host, guest:UID, guest:*, "
			   "group:NAME or *",
			   w);
	return true;
}

static bool parse_path(struct line *l, struct policy_rule *r, const char *w)
{
	if (w[0] != '/' || strlen(w) > POLICY_PATH_MAX)
		return bad(l,
			   "\"%.40s\": expected the absolute path of a unix "
			   "socket, of at most %d bytes",
			   w, POLICY_PATH_MAX);
	r->allow = true;
	r->path = strdup(w);
	return r->path ? true : bad(l, "out of memory");
}

static bool parse_verdict(struct line *l, struct policy_rule *r, const char *w)
{
	if (r->op == POLICY_OFFER)
		return parse_path(l, r, w);
	if (!strcmp(w, "allow"))
		r->allow = true;
	else if (!strcmp(w, "deny"))
		r->allow = false;
	else
		return bad(l, "\"%.40s\": expected allow or deny", w);
	return true;
}

static bool parse_weight(struct line *l, struct policy_rule *r, const char *v)
{
	uint32_t n;

	if (r->weight)
		return bad(l, "weight is given twice");
	if (!r->allow || r->op == POLICY_CALL || r->op == POLICY_OFFER)
		return bad(l, "weight means nothing with deny, call or offer; "
			      "remove it");
	if (!parse_number(v, POLICY_WEIGHT_MAX, &n) || n == 0)
		return bad(l, "\"weight=%.40s\": expected 1..%u", v,
			   POLICY_WEIGHT_MAX);
	r->weight = n;
	return true;
}

/* Written by policy_text() only, so that verdicts in the worker name the
 * file that the person knows. */
static bool parse_origin(struct line *l, struct policy_rule *r, const char *v)
{
	if (r->origin)
		return bad(l, "origin is given twice");
	if (!*v || strlen(v) >= POLICY_RULE_ID_MAX)
		return bad(l, "origin must have 1..%d bytes",
			   POLICY_RULE_ID_MAX - 1);
	r->origin = strdup(v);
	return r->origin ? true : bad(l, "out of memory");
}

static const struct option {
	const char *prefix;
	bool (*parse)(struct line *l, struct policy_rule *r, const char *v);
} options[] = {
	{"weight=", parse_weight},
	{"origin=", parse_origin},
};

static bool parse_option(struct line *l, struct policy_rule *r, const char *w)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		size_t n = strlen(options[i].prefix);

		if (!strncmp(w, options[i].prefix, n))
			return options[i].parse(l, r, w + n);
	}
	return bad(l, "\"%.40s\": unknown option; expected weight=1..%u", w,
		   POLICY_WEIGHT_MAX);
}

static bool parse_words(struct line *l, struct policy_rule *r)
{
	if (!parse_op(l, r, l->word[0]) || !parse_subject(l, r, l->word[1]) ||
	    !parse_principal(l, r, l->word[2]) ||
	    !parse_verdict(l, r, l->word[3]))
		return false;
	for (size_t i = 4; i < l->n; i++) {
		if (!parse_option(l, r, l->word[i]))
			return false;
	}
	if (!r->weight)
		r->weight = POLICY_WEIGHT_DEFAULT;
	return true;
}

void policy_rule_done(struct policy_rule *r)
{
	free(r->path);
	free(r->origin);
}

enum policy_line policy_rule_parse(struct policy_rule *ret, const char *line,
				   size_t len, policy_group_fn *group,
				   char *ret_why, size_t why_size)
{
	struct line l = {.group = group, .why_size = why_size};
	struct policy_rule r = {0};

	l.why = ret_why;
	if (!copy_line(&l, line, len) || !split_line(&l))
		return POLICY_LINE_BAD;
	if (l.n == 0)
		return POLICY_LINE_EMPTY;
	if (!parse_words(&l, &r)) {
		policy_rule_done(&r);
		return POLICY_LINE_BAD;
	}
	*ret = r;
	return POLICY_LINE_RULE;
}

static void print_principal(const struct policy_rule *r, char *buf, size_t size)
{
	switch (r->who) {
	case POLICY_WHO_HOST:
		snprintf(buf, size, "host");
		break;
	case POLICY_WHO_GUEST:
		snprintf(buf, size, "guest:*");
		break;
	case POLICY_WHO_GUEST_UID:
		snprintf(buf, size, "guest:%u", r->id);
		break;
	case POLICY_WHO_GROUP:
		snprintf(buf, size, "group:%u", r->id);
		break;
	case POLICY_WHO_ANYONE:
		snprintf(buf, size, "*");
		break;
	}
}

int policy_rule_print(const struct policy_rule *r, char *buf, size_t size)
{
	char who[24];
	char weight[16] = "";

	print_principal(r, who, sizeof(who));
	if (r->allow && r->weight != POLICY_WEIGHT_DEFAULT)
		snprintf(weight, sizeof(weight), " weight=%u", r->weight);
	return snprintf(buf, size, "%s %s%s %s %s%s origin=%s\n",
			op_names[r->op], r->subject, r->prefix ? "*" : "", who,
			r->path    ? r->path
			: r->allow ? "allow"
				   : "deny",
			weight, r->origin);
}

static bool channel_matches(const struct policy_rule *r, const char *channel)
{
	if (!r->prefix)
		return !strcmp(r->subject, channel);
	if (!strncmp(r->subject, channel, strlen(r->subject)))
		return true;
	return !strcmp(r->subject, RESERVED_PREFIX) &&
	       !strcmp(channel, VARLINK_SERVICE);
}

static bool method_matches(const struct policy_rule *r,
			   const struct policy_question *q)
{
	if (r->subject[0] == '@')
		return !strcmp(r->subject + 1, q->class);
	if (r->prefix)
		return !strncmp(r->subject, q->subject, strlen(r->subject));
	return !strcmp(r->subject, q->subject);
}

/* An offer speaks of who is offered it, of calls of its methods, and of the
 * name, which it keeps for the process that serves it. */
static bool offer_matches(const struct policy_rule *r,
			  const struct policy_question *q)
{
	const char *dot = strrchr(q->subject, '.');
	size_t len = strlen(r->subject);

	if (q->op == POLICY_CALL)
		return dot && (size_t)(dot - q->subject) == len &&
		       !strncmp(r->subject, q->subject, len);
	return q->op != POLICY_CONNECT && !strcmp(r->subject, q->subject);
}

static bool subject_matches(const struct policy_rule *r,
			    const struct policy_question *q)
{
	return q->op == POLICY_CALL ? method_matches(r, q)
				    : channel_matches(r, q->subject);
}

static bool in_group(const struct policy_caller *who, gid_t gid)
{
	if (who->gid == gid)
		return true;
	for (size_t i = 0; i < who->n_groups; i++) {
		if (who->groups[i] == gid)
			return true;
	}
	return false;
}

static bool principal_matches(const struct policy_rule *r,
			      const struct policy_caller *who,
			      enum vmc_principal_kind this_side)
{
	bool is_host = who->side == VMC_PRINCIPAL_HOST && who->owner;
	bool is_guest = who->side == VMC_PRINCIPAL_GUEST;

	switch (r->who) {
	case POLICY_WHO_HOST:
		return is_host;
	case POLICY_WHO_GUEST:
		return is_guest;
	case POLICY_WHO_GUEST_UID:
		return is_guest && who->uid == r->id;
	case POLICY_WHO_GROUP:
		/* Groups of the other side would be that side's claim. */
		return who->side == this_side && !is_host &&
		       in_group(who, r->id);
	case POLICY_WHO_ANYONE:
		return true;
	}
	return false;
}

bool policy_rule_matches(const struct policy_rule *r,
			 const struct policy_question *q,
			 enum vmc_principal_kind this_side)
{
	bool is_name = q->op == POLICY_LISTEN;

	if (r->op == POLICY_OFFER)
		return offer_matches(r, q) &&
		       (is_name || principal_matches(r, q->who, this_side));
	return r->op == q->op && subject_matches(r, q) &&
	       principal_matches(r, q->who, this_side);
}

bool policy_rule_allows(const struct policy_rule *r,
			const struct policy_question *q)
{
	bool is_name = r->op == POLICY_OFFER && q->op == POLICY_LISTEN;

	return r->allow && (!is_name || q->who->uid == 0);
}
