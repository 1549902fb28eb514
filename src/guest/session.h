/* SPDX-License-Identifier: MIT */
/* session.h - org.vmchannel.Session between its rows and its back ends */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include <stdint.h>
#include <sys/types.h>

#include "guest/ops.h"

#define SESSION "org.vmchannel.Session"

/* Of the interface file. */
#define SESSION_ID_MAX       64
#define SESSION_USER_MAX     255
#define SESSION_CLASS_MAX    31
#define SESSION_WORD_MAX     63 /* seat, tty, display, desktop, service */
#define SESSION_HOST_MAX     255
#define SESSION_USER_IDS_MAX 256 /* sessions of one user */
#define SESSION_MAX          512
#define SESSION_NO_LOCK      "a desktop that locks: there is no logind"
#define SESSION_NO_UID       ((uid_t)-1)

enum session_verb {
	SESSION_LOCK,
	SESSION_UNLOCK,
	SESSION_TERMINATE,
	SESSION_ACTIVATE,
	SESSION_VERBS,
};

/* Each gives the call's reply. */
struct session_back_end {
	int (*start)(struct ops *o);
	void (*stop)(struct ops *o);
	op_missing_fn *lock_missing, *activate_missing;
	void (*list)(struct op_call *call);
	void (*list_users)(struct op_call *call);
	void (*get)(struct op_call *call, const char *id);
	void (*act)(struct op_call *call, enum session_verb verb,
		    const char *id);
	void (*lock_all)(struct op_call *call);
	void (*terminate_user)(struct op_call *call, uid_t uid);
	/* @id: of one session, or NULL; @uid: of one user, or SESSION_NO_UID */
	void (*message)(struct op_call *call, const char *text, const char *id,
			uid_t uid);
};

extern const struct session_back_end session_kernel;
/* NULL without libsystemd. */
extern const struct session_back_end *const session_logind;

/* session_none() / session_no_user() - end @call with that error */
void session_none(struct op_call *call, const char *id);
void session_no_user(struct op_call *call, uid_t uid);

/* What is told: the events of the interface file. @session is consumed. */
void session_new(struct ops *o, json_t *session);
void session_removed(struct ops *o, const char *id, uid_t uid,
		     const char *user);
void session_user(struct ops *o, bool is_new, uid_t uid, const char *user);

#endif /* GUEST_SESSION_H */
