/* SPDX-License-Identifier: MIT */
/*
 * vmchannel.h - named channels between a virtual machine and its host
 *
 * The same on both sides. On the host @vm names the virtual machine; in the
 * guest it is "host". Everything that carries a stream is an ordinary file
 * descriptor (a connected unix stream socket, close-on-exec, blocking):
 * read, write, poll, shutdown and close it.
 *
 * Errors: functions return 0, a descriptor or a positive value on success and
 * a negative errno on failure; the errno is listed with its cause. After a
 * failure vmc_strerror() has one line that names the thing and the remedy.
 * errno itself is left at any value. No function installs a signal handler, and
 * only VMC_FOLLOW starts a thread; a function that is interrupted by a signal
 * goes on. One struct
 * belongs to one thread at a time; different structs are independent, and the
 * functions without a struct may be called by any thread. Every descriptor is
 * close-on-exec from the moment it exists. The environment (VMCHANNEL_DIR,
 * XDG_RUNTIME_DIR) is read: do not change it in another thread. Writing to a
 * stream whose reader has gone raises SIGPIPE, as with every socket: use
 * send(MSG_NOSIGNAL) or ignore the signal.
 *
 * -ENOENT        no such VM (no broker runs for it), or no such channel
 * -ECONNREFUSED  the broker is there but does not answer
 * -EACCES        policy does not allow it
 * -EADDRINUSE    somebody announces that channel already
 * -EHOSTDOWN     the other side's broker is not connected
 * -EAGAIN        a limit was reached; later it may work
 * -EINVAL        a name or argument that can never work
 * -EPROTO        the broker sent something that is not the protocol
 * -ETIMEDOUT     no answer within the timeout
 * -ECONNRESET    the stream, or the connection to the broker, was reset
 * -EMSGSIZE      a message is over VMC_MSG_MAX or over the caller's buffer; a
 *                call or its reply is over 64 KiB
 * -ENOMEM, -EMFILE, -ENFILE: as everywhere
 *
 * Timeouts are in milliseconds. What takes none waits for the broker of this
 * side only, at most 20 s.
 *
 * The reserved members of the structs that the library fills are zero; newer
 * versions may give them names. So the structs keep their sizes.
 */
#ifndef VMCHANNEL_VMCHANNEL_H
#define VMCHANNEL_VMCHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vmchannel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vmc_version() - version of the library at run time, e.g. "0.1.0"
 */
VMC_PUBLIC const char *vmc_version(void);

/**
 * vmc_strerror() - what the last failing call of this thread ran into
 *
 * Return: one line without a newline, never NULL, valid until this thread's
 * next call into the library.
 */
VMC_PUBLIC const char *vmc_strerror(void);

#define VMC_NO_TIMEOUT (-1)

/* Flags of vmc_connect() and vmc_listen(). */
#define VMC_MESSAGES 0x1u /* keep message boundaries; both sides must ask */
#define VMC_FOLLOW   0x2u /* go along when the VM moves: vmc_follow_to() */

/* Room for a stream's id, NUL included. */
#define VMC_ID_MAX 40

/**
 * vmc_connect() - open a stream to a channel of the other side
 * @vm:         name of the VM, or "host" in a guest; borrowed
 * @channel:    name that a program at the other side announced; borrowed
 * @flags:      0, VMC_MESSAGES, VMC_FOLLOW (on the host)
 * @timeout_ms: how long to wait for the answer, or VMC_NO_TIMEOUT
 * @ret_id:     if not NULL, VMC_ID_MAX bytes for the id of the stream, which
 *              vmc_stream_status() takes; written on success
 *
 * Return: a descriptor that the caller closes; or -ENOENT, -ECONNREFUSED,
 * -EACCES, -EHOSTDOWN, -EAGAIN, -EINVAL, -EPROTO, -ETIMEDOUT, -EMFILE.
 */
VMC_PUBLIC int vmc_connect(const char *vm, const char *channel,
			   unsigned int flags, int timeout_ms, char *ret_id);

/**
 * vmc_follow_to() - where streams with VMC_FOLLOW go on when their VM moves
 * @vm:  the VM, as named to vmc_connect()
 * @to:  NULL-terminated: names of VMs, or absolute directories (a VM's, or the
 *       one with the VM of the same name in it); or NULL
 * @via: NULL-terminated: commands for /bin/sh whose stdin and stdout are the
 *       control socket of the other daemon: "ssh host vmchannel stdio web1";
 *       or NULL
 *
 * Replaces what was named for @vm, copies it, and may be called at any time,
 * also while a stream searches. At most 8 places, which are tried side by side,
 * every 250 ms, for 30 s.
 *
 * A stream with VMC_FOLLOW is not the broker's socket but a pair with a thread
 * of the library between, one for each stream, all signals blocked; 400 KiB of
 * memory. When the VM has moved, the thread shows the stream's token at the
 * destination, and bytes go on in both directions, each once and in order; the
 * program sees nothing but a pause. Policy is asked again there. If it cannot
 * go on, the stream ends with a reason (vmc_stream_status(), which knows where
 * a stream is): "timeout", "denied", "session-lost" (numbers that do not fit).
 *
 * The relay belongs to the process that connected. exit() waits up to 5 s for
 * what was written; _exit() and a signal lose what the thread has not sent on.
 * A child after fork() may use the descriptor (also after exec) as long as the
 * parent lives. Commands of @via are children of the process: one that waits
 * for any child may see their ends.
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
VMC_PUBLIC int vmc_follow_to(const char *vm, const char *const *to,
			     const char *const *via);

struct vmc_listener;

/**
 * vmc_listen() - announce a channel to the other side
 * @ret: the listener, freed with vmc_listener_free()
 *
 * The channel lives as long as the listener. Streams taken from it live on.
 *
 * Return: 0 when the channel is announced; or as vmc_connect(), and
 * -EADDRINUSE.
 */
VMC_PUBLIC int vmc_listen(struct vmc_listener **ret, const char *vm,
			  const char *channel, unsigned int flags);

/* vmc_listener_fd() - readable when vmc_accept() has something to say;
 * borrowed, poll it only */
VMC_PUBLIC int vmc_listener_fd(const struct vmc_listener *l);

struct vmc_caller {
	enum vmc_principal_kind side; /* where the program runs */
	uid_t uid; /* on the host: what the guest claims it to be */
	gid_t gid;
	char id[VMC_ID_MAX]; /* the stream's id */
	uint64_t reserved[4];
};

/**
 * vmc_accept() - take the next stream
 * @l:          the listener
 * @ret_caller: if not NULL, who it is; written on success
 * @timeout_ms: how long to wait for a stream; 0 does not wait
 *
 * Return: a descriptor that the caller closes; -ETIMEDOUT if none came;
 * -ECONNRESET if the broker is gone (free the listener and listen again);
 * -EMFILE, -ENFILE, -ENOMEM: the stream stays in the listener, whose descriptor
 * does not announce it again: call once more when there is room. Any other
 * failure is that of one stream; the listener goes on.
 */
VMC_PUBLIC int vmc_accept(struct vmc_listener *l, struct vmc_caller *ret_caller,
			  int timeout_ms);

/* vmc_listener_free() - withdraw the channel; NULL is allowed */
VMC_PUBLIC void vmc_listener_free(struct vmc_listener *l);

enum vmc_stream_state {
	VMC_STREAM_OPENING, /* not answered yet */
	VMC_STREAM_OPEN,
	VMC_STREAM_ENDED,
};

/* How a stream is, or how it ended. */
struct vmc_status {
	enum vmc_stream_state state;
	unsigned int reason; /* enum vmc_reason, when ended */
	uint64_t bytes_in;   /* from the other side, delivered here */
	uint64_t bytes_out;  /* from here, taken over by the other broker */
	uint64_t reserved[4];
};

/**
 * vmc_stream_status() - ask the broker about a stream by its id
 *
 * A descriptor cannot carry a reason: a reset looks like an end of file.
 * Whoever must know asks here, also after closing it. The broker remembers
 * the last 1024 ended streams.
 *
 * Return: 0; -ENOENT if the broker does not know (any more); as vmc_connect().
 */
VMC_PUBLIC int vmc_stream_status(const char *vm, const char *id,
				 struct vmc_status *ret);

/**
 * vmc_send_msg() - send one message on a stream opened with VMC_MESSAGES
 * @fd:  blocking descriptor of the stream
 * @len: at most VMC_MSG_MAX; 0 is a message, too
 *
 * Return: 0, -EMSGSIZE, or what send(2) says (-EPIPE, -ECONNRESET). Never
 * raises SIGPIPE.
 */
VMC_PUBLIC int vmc_send_msg(int fd, const void *buf, size_t len);

/**
 * vmc_recv_msg() - receive one message
 * @fd:      blocking descriptor of the stream
 * @ret_len: length of the message
 *
 * Return: 1 with a message, 0 at the end of the stream; -EMSGSIZE if it is
 * longer than @size (the stream cannot be used any further), -EPROTO if the
 * stream ended within a message.
 */
VMC_PUBLIC int vmc_recv_msg(int fd, void *buf, size_t size, size_t *ret_len);

/* ---- events ---------------------------------------------------------- */

enum vmc_monitor_type {
	VMC_MON_UNKNOWN, /* a newer broker's event: ignore */
	VMC_MON_SNAPSHOT_END,
	VMC_MON_LINK_UP,
	VMC_MON_LINK_DOWN,
	VMC_MON_PORT_ADDED,
	VMC_MON_PORT_REMOVED,
	VMC_MON_PEER_UP,
	VMC_MON_PEER_DOWN,
	VMC_MON_PEER_STALLED,
	VMC_MON_PEER_UNSTALLED,
	VMC_MON_CHANNEL_ADDED,
	VMC_MON_CHANNEL_REMOVED,
	VMC_MON_STREAM_OPENED,
	VMC_MON_STREAM_CLOSED,
	VMC_MON_POLICY_RELOADED,
	VMC_MON_LOST, /* .lost events before the next one are gone */
};

struct vmc_monitor_event {
	enum vmc_monitor_type type;
	uint64_t seq;     /* 1, 2, 3, ...; 0 in the snapshot */
	uint64_t time_us; /* the broker's CLOCK_REALTIME */
	uint64_t lost;
	char channel[VMC_NAME_MAX + 1]; /* "" if not about a channel */
	bool peer;                      /* the channel is the other side's */
	bool resumed;                   /* PEER_UP: streams went on */
	char id[VMC_ID_MAX];            /* STREAM_*: its id */
	unsigned int reason;            /* STREAM_CLOSED, PEER_DOWN */
	uint64_t bytes_in, bytes_out;   /* STREAM_CLOSED */
	uint64_t reserved[16];
};

struct vmc_monitor;

#define VMC_MONITOR_SNAPSHOT 0x1u /* the present state first */

/**
 * vmc_monitor_open() - subscribe to what happens
 * @flags:    0 or VMC_MONITOR_SNAPSHOT
 * @after:    repeat remembered events after this number, 0 from the first on
 * @instance: of the broker that counted @after (vmc_monitor_instance();
 * copied), or NULL: nothing is repeated. If it is another broker's, nothing is
 * repeated either: compare it with that of the first event.
 *
 * Return: 0; or as vmc_stream_status().
 */
VMC_PUBLIC int vmc_monitor_open(struct vmc_monitor **ret, const char *vm,
				unsigned int flags, uint64_t after,
				const char *instance);
/* vmc_monitor_fd() - readable when vmc_monitor_next() has something to say;
 * borrowed, poll it only */
VMC_PUBLIC int vmc_monitor_fd(const struct vmc_monitor *m);
/* vmc_monitor_instance() - "" before the first event; valid until freed */
VMC_PUBLIC const char *vmc_monitor_instance(const struct vmc_monitor *m);

/**
 * vmc_monitor_next() - the next event
 * @timeout_ms: 0 does not wait
 *
 * Return: 1 with an event; -ETIMEDOUT (also when only a part of one is there);
 * -ECONNRESET if the broker is gone, -EPROTO, -EMSGSIZE: free it then.
 */
VMC_PUBLIC int vmc_monitor_next(struct vmc_monitor *m,
				struct vmc_monitor_event *ret, int timeout_ms);
/* vmc_monitor_free() - NULL is allowed */
VMC_PUBLIC void vmc_monitor_free(struct vmc_monitor *m);

/* ---- calls ----------------------------------------------------------- */

struct vmc_call;

#define VMC_CALL_MORE  0x1u /* several replies may come */
#define VMC_CALL_LOCAL 0x2u /* ask the broker of this side, not the peer */
/* after the reply the stream is vmc_call_stream()'s; not with the other two */
#define VMC_CALL_UPGRADE 0x4u
/* go along when the VM moves: vmc_follow_to(); not with VMC_CALL_LOCAL */
#define VMC_CALL_FOLLOW 0x8u

/**
 * vmc_call_start() - call a varlink method of a service at the other side
 * @method:     "interface.Method"; the channel is named like the interface
 * @parameters: a JSON object as text, or NULL for {}; copied
 * @flags:      VMC_CALL_MORE, VMC_CALL_LOCAL, VMC_CALL_UPGRADE, VMC_CALL_FOLLOW
 * @timeout_ms: how long to wait until the service has taken the stream (with
 *              VMC_CALL_LOCAL: the broker the connection) and the call
 *
 * One call is one stream: closing it cancels the call.
 *
 * Return: 0; -EMSGSIZE if the call is too large; or as vmc_connect().
 */
VMC_PUBLIC int vmc_call_start(struct vmc_call **ret, const char *vm,
			      const char *method, const char *parameters,
			      unsigned int flags, int timeout_ms);
/* vmc_call_id() - of its stream, for vmc_stream_status(); "" with
 * VMC_CALL_LOCAL; valid until freed */
VMC_PUBLIC const char *vmc_call_id(const struct vmc_call *c);
/* vmc_call_fd() - readable when vmc_call_reply() has something to say;
 * borrowed, poll it only */
VMC_PUBLIC int vmc_call_fd(const struct vmc_call *c);

/**
 * vmc_call_reply() - wait for the next reply
 * @ret_parameters: its JSON object as text, valid until the next call on @c
 * @ret_error:      NULL, or the error's name "interface.Error"; as above
 *
 * @timeout_ms:     0 does not wait
 *
 * Replies of the guest's operations (org.vmchannel.*) have been checked: types,
 * sizes and ranges are those of the interface files, and what those do not have
 * was left out. -EPROTO if they are anything else.
 *
 * Return: 1 if more replies follow, 0 if this was the last; -ETIMEDOUT (call
 * again to wait on); -EINVAL after the last; -ECONNRESET, -EPROTO, -EMSGSIZE:
 * free it then. After these three it is not known whether what was called for
 * was done; vmc_strerror() says so, and why the stream ended. A call with the
 * same "request" is not done twice.
 */
VMC_PUBLIC int vmc_call_reply(struct vmc_call *c, const char **ret_parameters,
			      const char **ret_error, int timeout_ms);
/**
 * vmc_call_stream() - the stream of a call with VMC_CALL_UPGRADE
 *
 * After its reply, which was no error; once. @c is still to be freed.
 *
 * Return: a descriptor that the caller closes, or -EINVAL.
 */
VMC_PUBLIC int vmc_call_stream(struct vmc_call *c);
/* vmc_call_free() - cancel the call if it goes on; NULL is allowed */
VMC_PUBLIC void vmc_call_free(struct vmc_call *c);

#ifdef __cplusplus
}
#endif

#endif /* VMCHANNEL_VMCHANNEL_H */
