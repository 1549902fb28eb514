/* SPDX-License-Identifier: MIT */
/*
 * policy.h - who may connect to and listen on which channel, call what, and
 *            which of the guest's own services are offered
 *
 * Parsing is pure (text in, rules out). The format, the order and the built-in
 * rules are in docs/architecture.md, "Policy".
 */
#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <vmchannel/types.h>

#define POLICY_RULES_MAX   1024 /* a few hundred VMs' worth of special cases */
#define POLICY_LINE_MAX    512
#define POLICY_RULE_ID_MAX 128
/* A channel, or an interface and a method. */
#define POLICY_SUBJECT_MAX 128
/* Of a unix socket: what a sockaddr_un holds. */
#define POLICY_PATH_MAX 107
/* Each is a channel of the guest, of which a side may have 256. */
#define POLICY_OFFERS_MAX 64

enum policy_op {
	POLICY_CONNECT,
	POLICY_LISTEN,
	POLICY_CALL, /* of a guest operation: policy_check_call() */
	POLICY_OFFER /* a service of the guest: policy_offer() */
};

/*
 * The caller in the eyes of this side. On the host: a local program of the
 * owner or root is side=HOST, owner=true; any other local program side=HOST,
 * owner=false with its groups; a guest program side=GUEST with the uid it
 * claims. In the guest: local programs side=GUEST with groups, the host's
 * side=HOST, owner=true.
 */
struct policy_caller {
	enum vmc_principal_kind side;
	bool owner;
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* borrowed; supplementary groups, local only */
	size_t n_groups;
};

struct policy_verdict {
	bool allowed;
	unsigned int weight;           /* 1..16 */
	char rule[POLICY_RULE_ID_MAX]; /* "FILE:LINE", "built-in:N", "none" */
};

struct policy;

/* Turns a group's name into its id; false if there is none. */
typedef bool policy_group_fn(const char *name, gid_t *ret);

int policy_new(struct policy **ret, enum vmc_principal_kind this_side);
void policy_free(struct policy *p);

/**
 * policy_add_text() - append the rules of one file
 * @file:    for messages and verdicts
 * @text:    untrusted; @len bytes
 * @ret_err: one line "FILE:LINE: what and what to do" on failure
 *
 * Return: 0, or -EINVAL: nothing of the file was added.
 */
int policy_add_text(struct policy *p, const char *file, const char *text,
		    size_t len, policy_group_fn *group, char *ret_err,
		    size_t err_size);

/* policy_seal() - append the built-in rules; nothing can be added after */
int policy_seal(struct policy *p);

void policy_check(const struct policy *p, enum policy_op op,
		  const char *channel, const struct policy_caller *who,
		  struct policy_verdict *ret);

/**
 * policy_check_call() - may that caller call that method?
 * @method: "INTERFACE.METHOD"
 * @class:  "read", "control" or "full"; of an offered service all are "full"
 */
void policy_check_call(const struct policy *p, const char *method,
		       const char *class, const struct policy_caller *who,
		       struct policy_verdict *ret);

/* policy_method_valid() - has it the form "INTERFACE.METHOD"? */
bool policy_method_valid(const char *name);

/**
 * policy_offer() - the socket of an offered service
 *
 * Return: its path, borrowed; NULL: no line offers it to that caller.
 */
const char *policy_offer(const struct policy *p, const char *interface,
			 const struct policy_caller *who);

/* policy_offer_next() - walk the interfaces that are offered to anybody, each
 * once: start with *pos = 0. Return: borrowed; NULL after the last. */
const char *policy_offer_next(const struct policy *p, size_t *pos);

/**
 * policy_text() - the rules as canonical lines (groups as numbers, origin
 * kept in an option), readable by policy_add_text() again: how the supervisor
 * hands them to its sandboxed worker. Built-in rules are left out.
 *
 * Return: malloc()ed text or NULL.
 */
char *policy_text(const struct policy *p, size_t *ret_len);

#endif /* BROKER_POLICY_H */
