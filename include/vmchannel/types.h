/* SPDX-License-Identifier: MIT */
/*
 * types.h - words shared by the session engine and the client library
 */
#ifndef VMCHANNEL_TYPES_H
#define VMCHANNEL_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VMC_PUBLIC __attribute__((visibility("default")))
#else
#define VMC_PUBLIC
#endif

/* A channel's name: [A-Za-z0-9._-]{1,64}, no empty label, no leading dot. */
#define VMC_NAME_MAX 64

/* Largest message, in bytes, on a stream that keeps message boundaries. */
#define VMC_MSG_MAX (1024u * 1024u)

/*
 * Why a stream was refused or how it ended; also why a session went down.
 * Values travel on the wire (docs/protocol.md, "Reasons") and never change.
 * 0x4000..0x7fff are for vendors, 0x8000..0xffff for applications.
 */
#define VMC_REASONS(X)                                                        \
	X(OK, 0, "ok", "ended in order by both sides")                        \
	X(NO_SERVICE, 1, "no-service", "nobody listens on that channel")      \
	X(DENIED, 2, "denied", "policy does not allow it")                    \
	X(BACKLOG, 3, "backlog", "the listener has too many waiting streams") \
	X(LIMIT, 4, "limit", "a limit of the session was reached")            \
	X(APP_GONE, 5, "app-gone", "the program at the other end went away")  \
	X(APP_ABORT, 6, "app-abort", "the program at the other end aborted")  \
	X(TIMEOUT, 7, "timeout", "no answer in time")                         \
	X(PROTOCOL, 8, "protocol", "the peer broke the protocol")             \
	X(SESSION_LOST, 9, "session-lost", "the other end lost its state")    \
	X(ROLLBACK, 10, "rollback", "an end went back to an earlier state")   \
	X(CLONED, 11, "cloned", "the virtual machine was cloned")             \
	X(MIGRATED, 12, "migrated", "the virtual machine moved elsewhere")    \
	X(WITHDRAWN, 13, "withdrawn", "the channel was withdrawn")            \
	X(TOO_BIG, 14, "too-big", "a message is over the limit")              \
	X(SHUTDOWN, 15, "shutdown", "the broker is shutting down")            \
	X(REBOOTED, 16, "rebooted", "the guest was rebooted")                 \
	X(VERSION, 17, "version", "no common protocol version or feature")    \
	X(DAEMON_LOST, 18, "daemon-lost", "the host daemon was lost")         \
	X(AGENT_LOST, 19, "agent-lost", "the guest agent was lost")           \
	X(MODE, 20, "mode", "one side wants messages, the other bytes")       \
	X(NO_PEER, 21, "no-peer", "the other side's broker is not connected")

enum vmc_reason {
#define X(id, value, name, text) VMC_REASON_##id = (value),
	VMC_REASONS(X)
#undef X
};

#define VMC_REASON_VENDOR 0x4000u
#define VMC_REASON_APP    0x8000u

/**
 * vmc_reason_name() - short machine-readable word for a reason
 * @reason: any u16 value
 *
 * Return: a static string such as "denied"; "vendor", "application" or
 * "unknown" for values without a name of their own. Never NULL.
 */
VMC_PUBLIC const char *vmc_reason_name(unsigned int reason);

/**
 * vmc_reason_text() - one clause for people, e.g. "policy does not allow it"
 * @reason: any u16 value
 *
 * Return: a static string, never NULL.
 */
VMC_PUBLIC const char *vmc_reason_text(unsigned int reason);

/* Who is at the far end, as the broker that saw the caller says. */
enum vmc_principal_kind {
	VMC_PRINCIPAL_HOST = 0,  /* a program on the host; uid is the host's */
	VMC_PRINCIPAL_GUEST = 1, /* a guest program; uid is the guest's claim */
};

struct vmc_principal {
	uint32_t kind; /* enum vmc_principal_kind */
	uint32_t uid;
	uint32_t gid;
};

#ifdef __cplusplus
}
#endif

#endif /* VMCHANNEL_TYPES_H */
