/* SPDX-License-Identifier: MIT */
/*
 * guest_call.h - operations of a guest, called by a verb
 *
 * One call is one stream. Several can be made at once; none waits for another.
 */
#ifndef CLI_GUEST_CALL_H
#define CLI_GUEST_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST "org.vmchannel."
/* What one list may have in all, however many parts it comes in: more than any
 * interface file allows, little enough to be held. */
#define GUEST_LIST_MAX 65536
#define GUEST_WHY_MAX  512
#define GUEST_NAME_MAX 256 /* of an error, NUL included */
#define GUEST_ID_MAX   64  /* of a request, as the interface files have it */

struct guest_call {
	const char *method; /* such as GUEST "Session.ListSessions" */
	json_t *parameters; /* NULL: none; consumed */
	const char *list;   /* the member that comes in parts, or NULL */

	/* How it ended: */
	json_t *reply; /* NULL: no good one came; json_decref() */
	int error;     /* else: a negative errno, or */
	char error_name[GUEST_NAME_MAX]; /* the error reply's, else "", and */
	json_t *error_text;              /* its parameters, as text */
	char why[GUEST_WHY_MAX];         /* of a negative errno: what to say */
	bool sent;                       /* the guest may have got it */
	char request[GUEST_ID_MAX + 1];
};

/**
 * guest_calls() - make them all at once, and wait for all
 * @deadline_us: of cli_now_us(); 0: wait for ever
 */
void guest_calls(const char *vm, struct guest_call *calls, size_t n,
		 uint64_t deadline_us);

/* guest_call_done() - what the call holds; @reply, unless it was taken out */
void guest_call_done(struct guest_call *c);

/**
 * guest_call_why() - why there is no reply, for people, in one line
 * @ret: GUEST_WHY_MAX bytes
 */
void guest_call_why(const char *vm, const struct guest_call *c, char *ret);

/* guest_call_report() - say why there is no reply. Return: the exit status;
 * CLI_OK if there is one. */
int guest_call_report(const char *vm, const struct guest_call *c);

/* guest_error_text() - the parameters of its error reply, as JSON */
const char *guest_error_text(const struct guest_call *c);

/* guest_is() - did the call end with that error? @name without GUEST */
bool guest_is(const struct guest_call *c, const char *name);

/* ---- deadline and requests: options of all verbs of this kind ---------------
 */

extern unsigned int guest_timeout_s;
extern const char *guest_request_id;

#define GUEST_TIMEOUT_S 60
#define GUEST_OPTION_TIMEOUT                                                 \
	{                                                                    \
		.name = "timeout", .value = "SECONDS",                       \
		.help = "for the guest to answer; 0: for ever (default 60)", \
		.number = &guest_timeout_s                                   \
	}
#define GUEST_OPTION_REQUEST                                                \
	{                                                                   \
		.name = "request", .value = "ID",                           \
		.help = "name of this action: given again, not done twice", \
		.text = &guest_request_id                                   \
	}

/* guest_deadline() - from now, by --timeout */
uint64_t guest_deadline(void);

/* guest_left_ms() - until then, for the library; 0 when it is over */
int guest_left_ms(uint64_t deadline_us);

/**
 * guest_ask() - one call, reported; the deadline is --timeout
 * @parameters: consumed
 * @list:       the member that comes in parts, or NULL
 *
 * Return: CLI_OK with @ret, or the exit status.
 */
int guest_ask(const char *vm, const char *method, json_t *parameters,
	      const char *list, json_t **ret);

/**
 * guest_change() - one call that changes something; the deadline is --timeout
 * @request: send --request, or a fresh one: see docs/operations.md, "At most
 *           once"
 *
 * Who interrupts it is told that it is not known whether the guest did it.
 */
void guest_change(const char *vm, struct guest_call *c, bool request);

/* guest_is_unknown() - the guest may have got it, and did not answer */
bool guest_is_unknown(const struct guest_call *c);

/* guest_change_report() - as guest_call_report() */
int guest_change_report(const char *vm, const struct guest_call *c);

#endif /* CLI_GUEST_CALL_H */
