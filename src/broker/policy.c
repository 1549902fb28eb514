/* SPDX-License-Identifier: MIT */
/*
 * policy.c - the ordered list of rules of one broker
 *
 * Files first, in the order they are added, then the built-in rules, which
 * are text like any other so that what is documented is what is parsed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/policy_rule.h"

/* Longest canonical line: op, subject, principal, verdict or path, weight,
 * origin. */
#define PRINT_MAX \
	(POLICY_RULE_ID_MAX + POLICY_SUBJECT_MAX + POLICY_PATH_MAX + 96)

#define BUILTIN_FILE "built-in"

static const char builtin_host[] = "listen  *               host    allow\n"
				   "connect *               host    allow\n"
				   "connect org.vmchannel.* guest:0 allow\n"
				   "connect org.vmchannel.* guest:* deny\n"
				   "connect *               guest:* allow\n";

static const char builtin_guest[] = "listen  org.vmchannel.* guest:0 allow\n"
				    "listen  org.vmchannel.* *       deny\n"
				    "listen  *               guest:* allow\n"
				    "connect *               host    allow\n"
				    "connect org.vmchannel.* guest:0 allow\n"
				    "connect org.vmchannel.* *       deny\n"
				    "connect *               guest:* allow\n"
				    "call    @read           host    allow\n"
				    "call    @control        host    allow\n"
				    "call    *               *       deny\n";

struct policy {
	enum vmc_principal_kind this_side;
	bool sealed;
	struct policy_rule *rules;
	size_t n;
	size_t n_files; /* of @n, those that are not built in */
};

int policy_new(struct policy **ret, enum vmc_principal_kind this_side)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->this_side = this_side;
	*ret = p;
	return 0;
}

static void truncate_rules(struct policy *p, size_t n)
{
	while (p->n > n)
		policy_rule_done(&p->rules[--p->n]);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	truncate_rules(p, 0);
	free(p->rules);
	free(p);
}

/* "FILE:LINE" without what would break the canonical line (a space, a '#');
 * a long path loses its beginning, the file's name is what matters. */
static char *make_origin(const char *file, unsigned int line)
{
	char number[16];
	char id[POLICY_RULE_ID_MAX];
	int n = snprintf(number, sizeof(number), ":%u", line);
	size_t room = sizeof(id) - 1 - (size_t)n;
	size_t len = strlen(file);

	if (len > room)
		file += len - room;
	snprintf(id, sizeof(id), "%s%s", file, number);
	for (char *c = id; *c; c++) {
		if (*c <= ' ' || *c > '~' || *c == '#')
			*c = '?';
	}
	return strdup(id);
}

static int append(struct policy *p, const struct policy_rule *r)
{
	/* 64 at a time: most files have a few lines. */
	if (p->n % 64 == 0) {
		struct policy_rule *grown =
			reallocarray(p->rules, p->n + 64, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		p->rules = grown;
	}
	p->rules[p->n++] = *r;
	return 0;
}

struct source {
	const char *file;
	unsigned int line;
	size_t max; /* rules that the policy may hold while reading this */
	policy_group_fn *group;
	char *err;
	size_t err_size;
};

static int fail(const struct source *s, const char *why)
{
	snprintf(s->err, s->err_size, "%s:%u: %s", s->file, s->line, why);
	return -EINVAL;
}

static size_t count_offers(const struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->rules[i].op == POLICY_OFFER;
	return n;
}

/* Return: false: @ret_why says why not; "out of memory" is there already. */
static bool may_add(const struct policy *p, const struct source *s,
		    const struct policy_rule *r, char *ret_why, size_t size)
{
	bool host = p->this_side == VMC_PRINCIPAL_HOST;

	snprintf(ret_why, size, "out of memory");
	if (host && (r->op == POLICY_CALL || r->op == POLICY_OFFER))
		snprintf(ret_why, size,
			 "%s lines are the guest's; put it into its policy.d",
			 r->op == POLICY_CALL ? "call" : "offer");
	else if (p->n >= s->max)
		snprintf(ret_why, size,
			 "more than %d rules; use prefixes or groups",
			 POLICY_RULES_MAX);
	else if (r->op == POLICY_OFFER && count_offers(p) >= POLICY_OFFERS_MAX)
		snprintf(ret_why, size, "more than %d offer lines",
			 POLICY_OFFERS_MAX);
	else
		return r->origin != NULL;
	return false;
}

static int add_line(struct policy *p, const struct source *s, const char *text,
		    size_t len)
{
	struct policy_rule r;
	char why[160];

	switch (policy_rule_parse(&r, text, len, s->group, why, sizeof(why))) {
	case POLICY_LINE_EMPTY:
		return 0;
	case POLICY_LINE_BAD:
		return fail(s, why);
	case POLICY_LINE_RULE:
		break;
	}
	if (!r.origin)
		r.origin = make_origin(s->file, s->line);
	if (may_add(p, s, &r, why, sizeof(why)) && append(p, &r) == 0)
		return 0;
	policy_rule_done(&r);
	return fail(s, why);
}

static int add_source(struct policy *p, struct source *s, const char *text,
		      size_t len)
{
	size_t before = p->n;

	while (len > 0) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;
		int r;

		s->line++;
		r = add_line(p, s, text, n);
		if (r < 0) {
			truncate_rules(p, before);
			return r;
		}
		n += nl ? 1 : 0;
		text += n;
		len -= n;
	}
	return 0;
}

int policy_add_text(struct policy *p, const char *file, const char *text,
		    size_t len, policy_group_fn *group, char *ret_err,
		    size_t err_size)
{
	struct source s = {
		.file = file,
		.max = POLICY_RULES_MAX,
		.group = group,
		.err_size = err_size,
	};
	int r;

	s.err = ret_err;
	if (p->sealed)
		return fail(&s, "the policy is complete already");
	r = add_source(p, &s, text, len);
	p->n_files = p->n;
	return r;
}

int policy_seal(struct policy *p)
{
	const char *text = p->this_side == VMC_PRINCIPAL_HOST ? builtin_host
							      : builtin_guest;
	char err[256];
	struct source s = {
		.file = BUILTIN_FILE,
		.max = SIZE_MAX,
		.err = err,
		.err_size = sizeof(err),
	};

	if (p->sealed)
		return 0;
	if (add_source(p, &s, text, strlen(text)) < 0)
		return -ENOMEM; /* the text itself is under test */
	p->sealed = true;
	return 0;
}

static void decide(const struct policy *p, const struct policy_question *q,
		   struct policy_verdict *ret)
{
	const struct policy_rule *r = NULL;

	for (size_t i = 0; i < p->n && !r; i++) {
		if (policy_rule_matches(&p->rules[i], q, p->this_side))
			r = &p->rules[i];
	}
	ret->allowed = r && policy_rule_allows(r, q);
	ret->weight = r ? r->weight : POLICY_WEIGHT_DEFAULT;
	snprintf(ret->rule, sizeof(ret->rule), "%s", r ? r->origin : "none");
}

void policy_check(const struct policy *p, enum policy_op op,
		  const char *channel, const struct policy_caller *who,
		  struct policy_verdict *ret)
{
	const struct policy_question q = {
		.op = op,
		.subject = channel,
		.who = who,
	};

	decide(p, &q, ret);
}

void policy_check_call(const struct policy *p, const char *method,
		       const char *class, const struct policy_caller *who,
		       struct policy_verdict *ret)
{
	const struct policy_question q = {
		.op = POLICY_CALL,
		.subject = method,
		.class = class,
		.who = who,
	};

	decide(p, &q, ret);
}

const char *policy_offer(const struct policy *p, const char *interface,
			 const struct policy_caller *who)
{
	const struct policy_question q = {
		.op = POLICY_OFFER,
		.subject = interface,
		.who = who,
	};

	for (size_t i = 0; i < p->n; i++) {
		if (policy_rule_matches(&p->rules[i], &q, p->this_side))
			return p->rules[i].path;
	}
	return NULL;
}

static bool offered_before(const struct policy *p, size_t end,
			   const char *interface)
{
	for (size_t i = 0; i < end; i++) {
		if (p->rules[i].op == POLICY_OFFER &&
		    !strcmp(p->rules[i].subject, interface))
			return true;
	}
	return false;
}

const char *policy_offer_next(const struct policy *p, size_t *pos)
{
	while (*pos < p->n) {
		size_t i = (*pos)++;
		const struct policy_rule *r = &p->rules[i];

		if (r->op == POLICY_OFFER && !offered_before(p, i, r->subject))
			return r->subject;
	}
	return NULL;
}

char *policy_text(const struct policy *p, size_t *ret_len)
{
	size_t size = p->n_files * PRINT_MAX + 1;
	size_t len = 0;
	char *text = malloc(size);

	if (!text)
		return NULL;
	text[0] = '\0';
	for (size_t i = 0; i < p->n_files; i++) {
		int n = policy_rule_print(&p->rules[i], text + len, size - len);

		if (n < 0 || (size_t)n >= size - len) {
			free(text);
			return NULL;
		}
		len += (size_t)n;
	}
	*ret_len = len;
	return text;
}
