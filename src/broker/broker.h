/* SPDX-License-Identifier: MIT */
/*
 * broker.h - what vmchanneld's worker and vmchannel-agent share
 *
 * A broker joins local programs (two listening unix sockets) with one session
 * over one link. It runs on a libuv loop; the daemon around it owns the loop,
 * finds the link and says when there is one, and calls broker_run() instead
 * of uv_run(). All calls on the loop's thread.
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include <vmchannel/session.h>

#include "broker/policy.h"
#include "broker/services.h"

struct broker;

enum broker_link_kind {
	BROKER_LINK_SOCKET, /* stream socket: QEMU's chardev, tests */
	BROKER_LINK_PORT,   /* virtio port: one write per unit, 0 = try later,
			       host closed = HUP, retry while data waits */
};

/* Why the broker let the link go. */
enum broker_link_end {
	BROKER_LINK_EOF,   /* end of file or HUP: the other end closed */
	BROKER_LINK_ERROR, /* read or write failed (ENODEV: unplugged) */
	BROKER_LINK_STUCK, /* it reads, but nothing answers: reconnect */
};

/*
 * What the broker asks of its daemon. Calls come from the loop, never from
 * within a broker_*() call. @data is config.data.
 */
struct broker_ops {
	/* The link ended; the broker does not touch @fd any more. The daemon
	 * closes it (socket) or waits for the host (port) and attaches anew. */
	void (*link_ended)(void *data, int fd, enum broker_link_end why,
			   int error);
	/* Start service @svc; answer with broker_service_ready(). */
	void (*service_start)(void *data, const struct service *svc,
			      const char *caller, const char *stream_id,
			      uint64_t request);
	/* Reload was asked for by an allowed caller; answer with
	 * broker_reloaded() when it is done. */
	void (*reload)(void *data);
	/* The rest may be NULL. */
	/* A handshake was completed: the guest that answered runs here. */
	void (*peer_up)(void *data, bool resumed);
	/* Upgrade was asked for by an allowed caller. The process that takes
	 * over answers it; broker_upgraded() says why there is none. */
	void (*upgrade)(void *data);
	/* An owner's program said where the VM goes (Moved). */
	void (*moved)(void *data, const char *destination);
	/* A local program's descriptor has been here for KEEP_MS / is about
	 * to be closed, having been kept. @number: of the stream, or of a
	 * Listen call. keep: false if it cannot be taken now. */
	bool (*keep)(void *data, uint64_t number, int fd);
	void (*drop)(void *data, uint64_t number);
};

struct broker_config {
	enum vmc_role role;
	const char *vm;   /* copied; "host" in a guest */
	const char *uuid; /* copied; NULL if unknown */
	int control_fd;   /* listening, non-blocking; stays the caller's */
	int connect_fd;   /* same */
	uid_t owner;      /* this uid and root are the owner */
	const struct vmc_session_config *session; /* NULL: the default */
	/* Where the session and all that belongs to it lies, aligned to 64
	 * and zeroed; stays the caller's. NULL: on the heap. */
	void *session_mem;
	size_t session_size;
	/* It was another process's, which died between two turns; the streams
	 * go on if they can. */
	bool session_left;
	/* It died within a turn: only how its streams ended is told. */
	bool session_torn;
	/* Odd within a turn of the loop, even while it sleeps and all is in
	 * session_mem; NULL: none */
	uint64_t *turn;
	bool incoming; /* a state is to be loaded: Resume waits for it */
	const struct broker_ops *ops;
	void *data;
};

/* Return: 0 or a negative errno. Takes no policy or services yet: nothing is
 * allowed until broker_set_policy(). */
int broker_new(struct broker **ret, uv_loop_t *loop,
	       const struct broker_config *cfg);
/**
 * broker_run() - run the loop, data plane first
 *
 * Returns after broker_quit() or broker_free(); uv_run() is for what is left
 * then (handles that close). Nothing of the broker moves outside of it.
 */
void broker_run(struct broker *b);
/**
 * broker_batch() - have this process scheduled as one that works in batches
 *
 * It runs when the programs that feed it have had their turn and finds more to
 * do at once: 64-byte writes go 3 to 5 times as fast in a guest with one CPU,
 * and a busy host forms a quarter of the frames. Children are scheduled as
 * usual. Failure costs only speed and is logged.
 */
void broker_batch(void);
/* broker_quit() - make broker_run() return after this turn */
void broker_quit(struct broker *b);
/* Ends all streams (VMC_REASON_SHUTDOWN) and tells the peer, if it can. */
void broker_stop(struct broker *b);
void broker_free(struct broker *b);

/* Both take ownership (consumed always) and replace what was there. Streams
 * that exist go on. Services are announced and withdrawn accordingly. */
void broker_set_policy(struct broker *b, struct policy *p);
void broker_set_services(struct broker *b, struct services *s);

/* broker_reloaded() - result of ops.reload: NULL, or the one-line error */
void broker_reloaded(struct broker *b, const char *error);

/* broker_upgraded() - ops.upgrade led to nothing: the one-line error; NULL: we
 * are what it led to */
void broker_upgraded(struct broker *b, const char *error);

/* broker_set_life() / broker_set_vmstate() - words of GetInfo; static text,
 * NULL: leave it out */
void broker_set_life(struct broker *b, const char *life);
void broker_set_vmstate(struct broker *b, const char *vmstate);

/* What QMP says of the VM: a hint, late at times, perhaps a lie. */
enum broker_vm {
	BROKER_VM_UNKNOWN,
	BROKER_VM_RUNS, /* also: it has just begun to */
	BROKER_VM_STANDS,
};

/**
 * broker_set_vm() - the hint, and its word in GetInfo (static text)
 *
 * While it stands, a silent peer is left alone and a session that is not
 * attached is kept. When it runs, what waits for the peer looks at once.
 */
void broker_set_vm(struct broker *b, const char *word, enum broker_vm vm);

/* The result of ops.service_start: @fd is consumed; < 0 is a negative errno. */
void broker_service_ready(struct broker *b, uint64_t request, int fd);

/* broker_link_attach() - @fd (non-blocking, stays the daemon's) carries the
 * link until ops.link_ended or broker_link_detach() */
void broker_link_attach(struct broker *b, int fd, enum broker_link_kind kind);
void broker_link_detach(struct broker *b);

/* broker_link_detail() - one clause for GetInfo and doctor, e.g.
 * "waiting for port org.vmchannel.0"; copied */
void broker_link_detail(struct broker *b, const char *text);

/* broker_event() - a daemon's own event for monitors: "port-added" ... */
void broker_event(struct broker *b, const char *type, const char *port);

/* ---- for daemons: the directory and its sockets ---------------------- */

/**
 * vmdir_path() - directory of a VM
 * @dir: --dir or NULL (then VMCHANNEL_DIR, /run/vmchannel, XDG_RUNTIME_DIR)
 *
 * Return: 0, -EINVAL (bad name: [A-Za-z0-9._-]{1,64}, no leading dot),
 * -ENAMETOOLONG (a socket's path would not fit sun_path), -ENOENT (no
 * XDG_RUNTIME_DIR).
 */
int vmdir_path(char *ret, size_t size, const char *dir, const char *vm);

#define VMDIR_ERROR_MAX 256

/**
 * vmdir_claim() - create the directory, take its lock, bind both sockets
 * @mode: of the sockets (0600 or 0666); the directory gets the r and x bits to
 *        go with it. One that exists keeps its mode: it must be ours, closed
 *        to other writers and open to the sockets' users.
 * @ret_fds: lock, control, connect; close-on-exec, sockets non-blocking
 * @err: VMDIR_ERROR_MAX bytes are enough; on error what is wrong with a
 *       directory that was there and what to do, or ""
 *
 * Return: 0, -EBUSY (a living daemon holds it), or another negative errno.
 */
int vmdir_claim(const char *path, mode_t mode, int ret_fds[3], char *err,
		size_t size);
/* vmdir_socket() - bind another socket of that mode in a directory that was
 * claimed. Return: a descriptor that listens, or a negative errno. */
int vmdir_socket(const char *path, const char *file, mode_t mode);
/* Removes what vmdir_claim() made. */
void vmdir_release(const char *path, const int fds[3]);

#endif /* BROKER_BROKER_H */
