/* SPDX-License-Identifier: MIT */
/*
 * offer_proxy.h - what passes between a caller of the host and an offered
 *                 service of the guest
 *
 * Pure: bytes in, bytes out. Every message of the caller is read, checked,
 * judged and written anew, so that the service gets nothing that the codec did
 * not understand; one call at a time, so that what is refused is answered in
 * its turn. Of replies only their ends are looked for, and whether one
 * "continues", until a method with "upgrade" was accepted.
 */
#ifndef GUEST_OFFER_PROXY_H
#define GUEST_OFFER_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmchannel/types.h>

#include "broker/policy.h"
#include "varlink/varlink.h"

/* One reply, NUL included: what systemd's own services allow themselves. It is
 * passed on in pieces, so this costs no memory; but it must end. */
#define OFFER_REPLY_MAX (16u * 1024u * 1024u)

enum offer_phase {
	OFFER_IDLE,      /* the caller's turn */
	OFFER_CALLED,    /* a reply is awaited */
	OFFER_UPGRADING, /* the same; it decides whether bytes are raw then */
	OFFER_RAW,
};

/* Where "continues" stands in a reply, as far as it has come. */
struct offer_scan {
	uint32_t bytes;
	uint32_t depth;
	bool in_string, escaped;
	uint8_t matched; /* letters of the word; more than it has: none */
	uint8_t state;
	bool continues;
};

struct offer_proxy {
	enum offer_phase phase;
	char interface[VMC_NAME_MAX + 1];
	char method[VARLINK_METHOD_MAX + 1]; /* of the present call */
	bool more, silent;
	struct varlink_buf in;    /* of the caller */
	struct varlink_buf reply; /* UPGRADING */
	struct offer_scan scan;
};

void offer_proxy_init(struct offer_proxy *p, const char *interface);
void offer_proxy_done(struct offer_proxy *p);

/* offer_judge_fn - may this method be called? @ret_rule: the line that says
 * so */
typedef bool offer_judge_fn(void *data, const char *method,
			    char ret_rule[POLICY_RULE_ID_MAX]);

enum offer_next {
	OFFER_NOTHING, /* no message is complete, or it is not its turn */
	OFFER_FORWARD, /* @ret_text goes to the service */
	OFFER_ANSWER,  /* @ret_text goes to the caller; NULL: nothing does */
	OFFER_BROKEN,  /* no varlink, or no memory: end the stream */
};

/**
 * offer_proxy_next() - the caller's next message
 * @ret_text: malloc()ed
 *
 * The caller's bytes are put into p->in.
 */
enum offer_next offer_proxy_next(struct offer_proxy *p, offer_judge_fn *judge,
				 void *data, char **ret_text, size_t *ret_len);

/**
 * offer_proxy_failed() - the service could not be asked, or left without a
 * reply: the present call is over
 * @error:  errno
 * @detail: for people
 *
 * Return: what goes to the caller, malloc()ed; NULL: nothing (see *@ret_ok:
 * false: the stream must end).
 */
char *offer_proxy_failed(struct offer_proxy *p, int error, const char *detail,
			 size_t *ret_len, bool *ret_ok);

/* offer_proxy_in_reply() - is one begun and not ended? */
bool offer_proxy_in_reply(const struct offer_proxy *p);

/* offer_proxy_replied() - the service said these @len bytes. Return: pass them
 * on; false: it breaks the protocol, end the stream. */
bool offer_proxy_replied(struct offer_proxy *p, const char *bytes, size_t len);

/* offer_proxy_take_rest() - RAW: what came behind the last call. Return:
 * malloc()ed, also if it is nothing; NULL: no memory. */
char *offer_proxy_take_rest(struct offer_proxy *p, size_t *ret_len);

#endif /* GUEST_OFFER_PROXY_H */
