/* SPDX-License-Identifier: MIT */
/*
 * freeze_record.h - one freeze, in memory that several processes share
 *
 * A file in /run, which is memory; mapped by the operations process, by the
 * keeper that holds the lease and by the one that calls the kernel. It
 * outlives each of them, so whoever is left, or comes next, finds what is
 * frozen. Its lock is held as long as one of the latter two lives.
 *
 * Nobody sends anybody a signal by number: whoever wants something stores it
 * here and rings the bell, a futex.
 */
#ifndef GUEST_FREEZE_RECORD_H
#define GUEST_FREEZE_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest/freeze_plan.h"

#define FREEZE_LEASE_MAX 64
#define FREEZE_BOOT_MAX  64
#define FREEZE_PATH_MAX  4096

enum freeze_phase {
	FREEZE_PREPARING, /* nothing is frozen, or some of it */
	FREEZE_FROZEN,
	FREEZE_THAWED, /* it was frozen, and is no more; the cause says why */
	FREEZE_FAILED, /* it was never frozen; error says why */
};

enum freeze_cause {
	FREEZE_NO_CAUSE,
	FREEZE_BY_HOST,
	FREEZE_BY_LEASE,
	FREEZE_BY_RESTART,
	FREEZE_BY_GUEST,
};

enum freeze_fs_state {
	FREEZE_FS_NO,
	FREEZE_FS_TRYING, /* frozen or not, the kernel knows */
	FREEZE_FS_FROZEN,
	FREEZE_FS_SKIPPED, /* it cannot be frozen, and nobody named it */
};

struct freeze_fs {
	uint32_t major, minor;
	_Atomic uint32_t state;
};

/* Why it failed. */
enum freeze_failure {
	FREEZE_FAIL_OTHER,
	FREEZE_FAIL_NO_MOUNT, /* where: what was asked for */
	FREEZE_FAIL_MOUNT,    /* where: the mount; error: an errno */
	FREEZE_FAIL_HOOK,     /* where: its name; error: its status */
};

struct freeze_record {
	uint64_t magic;
	char lease[FREEZE_LEASE_MAX + 1];
	char boot[FREEZE_BOOT_MAX + 1];
	bool hooks;
	_Atomic uint32_t bell; /* a futex: counts up when anything changes */
	_Atomic uint32_t phase, cause;
	_Atomic uint32_t ask;            /* freeze_cause: thaw, for that */
	_Atomic uint64_t until_us;       /* CLOCK_BOOTTIME; 0: it is over */
	_Atomic uint32_t frozen, thawed; /* their numbers */
	_Atomic bool told_frozen, told_thawed;
	enum freeze_failure failure;
	int error;
	char where[FREEZE_PATH_MAX + 1];
	uint32_t n;
	struct freeze_fs fs[FREEZE_MAX]; /* in the order of freezing */
};

/**
 * freeze_record_open() - the record of a freeze, locked
 * @create: a new, empty one
 *
 * Return: 0; -EWOULDBLOCK: somebody holds it: it is mapped all the same, and
 * *@ret_fd waits for the lock by flock(); -ENOENT; -EINVAL: it is no record;
 * or another negative errno.
 */
int freeze_record_open(const char *path, bool create,
		       struct freeze_record **ret, int *ret_fd);
void freeze_record_close(struct freeze_record *rec);

/* freeze_ask() - have it thawed. The first one who asks is the cause. */
void freeze_ask(struct freeze_record *rec, enum freeze_cause cause);
/* freeze_ring() - wake whoever waits */
void freeze_ring(struct freeze_record *rec);
/* freeze_wait() - until the bell is another than @seen, or @us have passed */
void freeze_wait(struct freeze_record *rec, uint32_t seen, uint64_t us);
/* freeze_now_us() - CLOCK_BOOTTIME */
uint64_t freeze_now_us(void);

/* freeze_renew() - Return: false: the lease has ended */
bool freeze_renew(struct freeze_record *rec, uint64_t until_us);
/* freeze_expire() - Return: false: it has not ended yet */
bool freeze_expire(struct freeze_record *rec);

#endif /* GUEST_FREEZE_RECORD_H */
