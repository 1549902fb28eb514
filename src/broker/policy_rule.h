/* SPDX-License-Identifier: MIT */
/*
 * policy_rule.h - one rule: from a line of text and back (private to policy)
 */
#ifndef BROKER_POLICY_RULE_H
#define BROKER_POLICY_RULE_H

#include "broker/policy.h"

#define POLICY_WEIGHT_MAX     16u
#define POLICY_WEIGHT_DEFAULT 1u

enum policy_who {
	POLICY_WHO_HOST,
	POLICY_WHO_GUEST,
	POLICY_WHO_GUEST_UID,
	POLICY_WHO_GROUP,
	POLICY_WHO_ANYONE,
};

struct policy_rule {
	enum policy_op op;
	enum policy_who who;
	uint32_t id; /* uid or gid, if who says so */
	bool allow;
	bool prefix; /* subject is a prefix, "" matches everything */
	unsigned int weight;
	/* A channel; of POLICY_CALL a method, or "@" and a class. */
	char subject[POLICY_SUBJECT_MAX + 1];
	char *path;   /* of POLICY_OFFER, owned; else NULL */
	char *origin; /* "FILE:LINE", owned */
};

/* What a line turned out to be. */
enum policy_line {
	POLICY_LINE_RULE,
	POLICY_LINE_EMPTY, /* blank, or only a comment */
	POLICY_LINE_BAD,
};

/* policy_rule_done() - free what a rule owns */
void policy_rule_done(struct policy_rule *r);

/**
 * policy_rule_parse() - read one line
 * @ret:     written only for POLICY_LINE_RULE, and then the caller's;
 *           origin is NULL unless the line has an origin option
 * @line:    untrusted, not terminated
 * @group:   may be NULL: then groups are numbers only
 * @ret_why: what is wrong and what to do, for POLICY_LINE_BAD
 */
enum policy_line policy_rule_parse(struct policy_rule *ret, const char *line,
				   size_t len, policy_group_fn *group,
				   char *ret_why, size_t why_size);

/* policy_rule_print() - the canonical line, with its newline, to @buf
 * Return: bytes, as snprintf(). */
int policy_rule_print(const struct policy_rule *r, char *buf, size_t size);

/* What is to be done. */
struct policy_question {
	enum policy_op op;
	const char *subject; /* a channel, or "INTERFACE.METHOD" */
	const char *class;   /* of the method */
	const struct policy_caller *who;
};

/* policy_rule_matches() - does the rule speak about this? */
bool policy_rule_matches(const struct policy_rule *r,
			 const struct policy_question *q,
			 enum vmc_principal_kind this_side);
/* policy_rule_allows() - what it says, if it does */
bool policy_rule_allows(const struct policy_rule *r,
			const struct policy_question *q);

#endif /* BROKER_POLICY_RULE_H */
