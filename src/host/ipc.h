/* SPDX-License-Identifier: MIT */
/*
 * ipc.h - what supervisor and worker say to each other
 *
 * One message per packet of a SOCK_SEQPACKET pair. The codec is pure; a table
 * says for each type who may send it, which fields it has and how many
 * descriptors come with it. Neither side believes the other: the worker may
 * have been taken over by its guest.
 */
#ifndef HOST_IPC_H
#define HOST_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmchannel/types.h>

#define IPC_CALLER_MAX 24  /* "guest:4294967295" */
#define IPC_STREAM_MAX 63  /* a stream's id */
#define IPC_TEXT_MAX   255 /* one line for people */
#define IPC_BYTES_MAX  512 /* of any message */

enum ipc_type {
	IPC_NONE,
	/* supervisor to worker */
	IPC_CONFIG,         /* fd: the blob; size; value: answers a RELOAD */
	IPC_CONFIG_FAILED,  /* text: answers a RELOAD; the old one stays */
	IPC_LINK,           /* fd: connected to QEMU */
	IPC_LINK_DETAIL,    /* text: how far the search for a link is */
	IPC_SERVICE,        /* request, value: 0 and an fd, or -errno */
	IPC_STOP,           /* end in order; value: 1 without a goodbye */
	IPC_BUS,            /* fd: pair to the bus process (bus_ipc.h) */
	IPC_HOLD,           /* stand still and hand everything over */
	IPC_THAW,           /* it came to nothing: go on */
	IPC_ADOPT,          /* all was given: load it; size: of the state */
	IPC_UPGRADE_FAILED, /* text: answers an UPGRADE */
	IPC_CLAIMED,        /* answers CLAIM; value: 0 or -errno */
	/* worker to supervisor */
	IPC_READY,      /* in the sandbox; configuration is wanted. Of the
			 * QMP process: QEMU answers */
	IPC_LINK_ENDED, /* value: enum broker_link_end; error */
	IPC_START,      /* request, name, caller, stream */
	IPC_RELOAD,     /* an owner's program asks for it */
	IPC_UPGRADE,    /* the same */
	IPC_HELD,       /* answers HOLD; value: 0 or -errno; size: of state */
	IPC_ADOPTED,    /* answers ADOPT; value: 0 or -errno */
	IPC_KEEP,       /* fd: to be kept should we die; request: its name */
	IPC_DROP,       /* request: not to be kept any more */
	IPC_MOVED,      /* the VM is known to be elsewhere */
	IPC_CLAIM,      /* text: save_id of a state that is to be loaded */
	/* both ways */
	IPC_GIVE, /* fd; value: enum state_fd_kind; request: its cookie */
	IPC_LIFE, /* value: enum life, from now on */
	/* supervisor to worker */
	IPC_VMSTATE, /* value: enum ipc_vmstate, while there is no IPC_BUS */
	/* QMP process to supervisor, supervisor to worker */
	IPC_VM, /* value: enum ipc_vm; a hint, however often */
	/* supervisor to QMP process */
	IPC_LOOK, /* what is the VM doing? answered by IPC_VM */
	IPC_MEND, /* text: path for a new dbus-vmstate object */
	/* QMP process to supervisor */
	IPC_MENDED, /* answers MEND; value: 0 or -errno */
	IPC_TYPE_NUM
};

/* What QMP says of the VM. */
enum ipc_vm {
	IPC_VM_OFF,     /* there is no QMP for us */
	IPC_VM_WAITING, /* it does not answer yet, or any more */
	IPC_VM_RUNNING, /* also: it has just begun to */
	IPC_VM_STOPPED,
	IPC_VM_MOVED, /* stopped after a migration that was completed */
	IPC_VM_NUM
};

/* Where QEMU's dbus-vmstate connects to. */
enum ipc_vmstate {
	IPC_VMSTATE_OFF,     /* nowhere */
	IPC_VMSTATE_WAITING, /* it has not yet */
	IPC_VMSTATE_LOST,    /* what it was connected to has died */
	IPC_VMSTATE_NUM
};

enum ipc_side {
	IPC_FROM_SUPERVISOR = 1,
	IPC_FROM_WORKER = 2,
	IPC_FROM_QMP = 4,
};

struct ipc_msg {
	enum ipc_type type;
	uint64_t request;
	int32_t value;
	int32_t error;
	uint32_t size;
	char name[VMC_NAME_MAX + 1];
	char caller[IPC_CALLER_MAX + 1];
	char stream[IPC_STREAM_MAX + 1];
	char text[IPC_TEXT_MAX + 1];
};

/* ipc_encode() - Return: bytes, or 0 if @m is not a legal message */
size_t ipc_encode(const struct ipc_msg *m, enum ipc_side from, bool has_fd,
		  uint8_t buf[IPC_BYTES_MAX]);

/**
 * ipc_decode() - check and read one packet
 * @ret:    written only on success
 * @from:   who sent it
 * @has_fd: did exactly one descriptor come with it?
 */
bool ipc_decode(struct ipc_msg *ret, enum ipc_side from, bool has_fd,
		const uint8_t *buf, size_t len);

/* ---- the pair itself --------------------------------------------------- */

/**
 * ipc_send() - one message, never waits
 * @fd: goes along unless < 0; stays the caller's
 *
 * Return: 0 or a negative errno (-EAGAIN: the other end does not read).
 */
int ipc_send(int sock, const struct ipc_msg *m, enum ipc_side from, int fd);

/* ipc_send_wait() - the same, but waits up to @ms for room */
int ipc_send_wait(int sock, const struct ipc_msg *m, enum ipc_side from, int fd,
		  unsigned int ms);

/**
 * ipc_recv() - one message, never waits
 * @ret_fd: -1, or a close-on-exec descriptor that is the caller's now
 *
 * Return: 1, 0 (the other end is gone), -EAGAIN (nothing there), -EPROTO (not
 * a message that this side may get), or another negative errno.
 */
int ipc_recv(int sock, struct ipc_msg *ret, enum ipc_side from, int *ret_fd);

#endif /* HOST_IPC_H */
