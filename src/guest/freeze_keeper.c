/* SPDX-License-Identifier: MIT */
/* freeze_keeper.c - the processes of a freeze */
#include "guest/freeze_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/freeze_hooks.h"

/* The lock of the record, and the pipe; behind stdin, stdout and stderr. */
#define LOCK_FD       3
#define NOTIFY_FD     4
#define FIRST_FREE_FD 5
/* Where descriptors are out of the way meanwhile. */
#define HIGH_FD 100
/* To freeze all of it, from the first one on; what has to be written was
 * written before. */
#define FREEZE_LIMIT_US UINT64_C(60000000)
/* The waiting clock stands while the guest sleeps, the lease does not. */
#define LOOK_AGAIN_US UINT64_C(1000000)
/* Touched before memory is locked, so that it is there. */
#define STACK_BYTES 65536

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static struct freeze_record *signalled;

/* ---- becoming one -------------------------------------------------------- */

static void on_signal(int number)
{
	if (number == SIGCHLD)
		freeze_ring(signalled);
	else
		freeze_ask(signalled, FREEZE_BY_GUEST);
}

static void catch_signals(struct freeze_record *rec)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction ours = {.sa_handler = on_signal};
	sigset_t none;

	signalled = rec;
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGTERM, &ours, NULL);
	sigaction(SIGINT, &ours, NULL);
	sigaction(SIGCHLD, &ours, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_from(int first)
{
	long max = sysconf(_SC_OPEN_MAX);

	if (syscall(SYS_close_range, (unsigned int)first, ~0u, 0u) == 0)
		return;
	for (int fd = first; fd < max; fd++)
		close(fd);
}

static void keep_only(int lock_fd, int notify_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int lock = fcntl(lock_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	int notify =
		notify_fd < 0 ? -1 : fcntl(notify_fd, F_DUPFD_CLOEXEC, HIGH_FD);

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	dup3(lock, LOCK_FD, O_CLOEXEC);
	close(NOTIFY_FD);
	if (notify >= 0)
		dup3(notify, NOTIFY_FD, O_CLOEXEC);
	close_from(FIRST_FREE_FD);
}

static void become(struct freeze_record *rec, int lock_fd, int notify_fd,
		   const char *name)
{
	catch_signals(rec);
	keep_only(lock_fd, notify_fd);
	prctl(PR_SET_NAME, name);
	setsid();
	if (chdir("/") < 0)
		return; /* it is only where it stands */
}

/* The last one to be killed for memory. */
static void protect(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "-1000", 5) < 0)
		errno = 0; /* then it is not */
	close(fd);
}

/* From here on nothing has to be read from a disk, and no memory that the
 * kernel makes for us waits for one. */
static void lock_memory(void)
{
	volatile char stack[STACK_BYTES];

	for (size_t i = 0; i < sizeof(stack); i += 512)
		stack[i] = 0;
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		errno = 0; /* the rest holds without */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

/* ---- thawing ------------------------------------------------------------- */

static void thaw_one(struct freeze_record *rec, size_t i, int fd)
{
	if (fd >= 0 && ioctl(fd, FITHAW, 0) == 0)
		atomic_fetch_add(&rec->thawed, 1);
	atomic_store(&rec->fs[i].state, FREEZE_FS_NO);
}

/* The last one frozen first. Those that are being frozen come at the end:
 * thawing waits for the freezing, which may wait for one of the others. */
static void thaw_all(struct freeze_record *rec, const int *fds)
{
	static const uint32_t states[] = {FREEZE_FS_FROZEN, FREEZE_FS_TRYING};

	for (size_t pass = 0; pass < 2; pass++)
		for (size_t i = rec->n; i-- > 0;)
			if (atomic_load(&rec->fs[i].state) == states[pass])
				thaw_one(rec, i, fds[i]);
}

static int open_fs(const struct mounts *m, const struct freeze_fs *fs)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->list[i].major == fs->major &&
		    m->list[i].minor == fs->minor && !mounts_hidden(m, i))
			return open(m->list[i].path, O_RDONLY | O_CLOEXEC);
	return -1;
}

void freeze_thaw_left(struct freeze_record *rec)
{
	int fds[FREEZE_MAX];
	struct mounts m;

	if (mounts_read("", &m) < 0)
		return;
	for (size_t i = 0; i < FREEZE_MAX; i++)
		fds[i] = -1;
	for (size_t i = 0; i < rec->n; i++)
		fds[i] = open_fs(&m, &rec->fs[i]);
	mounts_done(&m);
	thaw_all(rec, fds);
	for (size_t i = 0; i < rec->n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* ---- the freezer --------------------------------------------------------- */

struct keeper {
	const struct freeze_job *job;
	struct freeze_record *rec;
	struct mounts mounts;
	struct freeze_plan plan;
	struct freeze_hooks hooks;
	int fds[FREEZE_MAX];
};

static const char *path_of(const struct keeper *k, size_t i)
{
	return k->mounts.list[k->plan.mounts[i]].path;
}

static void failed(struct keeper *k, enum freeze_failure failure, int error,
		   const char *where)
{
	k->rec->failure = failure;
	k->rec->error = error;
	snprintf(k->rec->where, sizeof(k->rec->where), "%s", where);
}

/* Return: false: it is to be given up. */
static bool freeze_one(struct keeper *k, size_t i)
{
	struct freeze_fs *fs = &k->rec->fs[i];
	int error;

	atomic_store(&fs->state, FREEZE_FS_TRYING);
	if (ioctl(k->fds[i], FIFREEZE, 0) == 0) {
		atomic_store(&fs->state, FREEZE_FS_FROZEN);
		atomic_fetch_add(&k->rec->frozen, 1);
		return true;
	}
	error = errno;
	atomic_store(&fs->state, FREEZE_FS_SKIPPED);
	if (error == EOPNOTSUPP && !k->job->names)
		return true;
	failed(k, FREEZE_FAIL_MOUNT, error, path_of(k, i));
	return false;
}

/* What it has frozen after somebody gave up on it, it thaws itself: stored
 * here first, then looked at; the other one does it the other way round. */
static bool is_given_up(const struct keeper *k, pid_t keeper)
{
	return atomic_load(&k->rec->ask) != FREEZE_NO_CAUSE ||
	       getppid() != keeper;
}

__attribute__((noreturn)) static void freezer_main(struct keeper *k,
						   pid_t keeper)
{
	bool ok = true;

	lock_memory();
	/* What can be written before, is: the less is waited for. */
	for (size_t i = 0; i < k->rec->n && !is_given_up(k, keeper); i++)
		(void)syncfs(k->fds[i]);
	for (size_t i = 0; i < k->rec->n && ok; i++)
		ok = !is_given_up(k, keeper) && freeze_one(k, i);
	if (is_given_up(k, keeper))
		thaw_all(k->rec, k->fds);
	_exit(ok ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* ---- the keeper ---------------------------------------------------------- */

static void enter_phase(struct keeper *k, enum freeze_phase phase)
{
	atomic_store(&k->rec->phase, phase);
	/* Nobody may be there to read it. */
	if (write(NOTIFY_FD, "", 1) < 0)
		errno = 0;
}

/* The record must not be on what is frozen: whoever looks for it would wait. */
static bool is_record_on(const struct mount *m)
{
	struct stat st;

	return fstat(LOCK_FD, &st) == 0 && major(st.st_dev) == m->major &&
	       minor(st.st_dev) == m->minor;
}

static bool plan(struct keeper *k)
{
	const struct freeze_job *j = k->job;
	const char *bad = "";
	int r = mounts_read("", &k->mounts);

	if (r == 0)
		r = freeze_plan_make(&k->plan, "", &k->mounts, j->names,
				     j->n_names, &bad);
	if (r < 0)
		failed(k,
		       r == -ENOENT       ? FREEZE_FAIL_NO_MOUNT
		       : r == -EOPNOTSUPP ? FREEZE_FAIL_MOUNT
					  : FREEZE_FAIL_OTHER,
		       -r, bad);
	return r == 0;
}

static bool open_all(struct keeper *k)
{
	for (size_t i = 0; i < k->plan.n; i++) {
		const struct mount *m = &k->mounts.list[k->plan.mounts[i]];

		k->fds[i] = open(m->path, O_RDONLY | O_CLOEXEC);
		if (k->fds[i] < 0 || is_record_on(m)) {
			failed(k, FREEZE_FAIL_MOUNT,
			       k->fds[i] < 0 ? errno : EDEADLK, m->path);
			return false;
		}
		k->rec->fs[i].major = m->major;
		k->rec->fs[i].minor = m->minor;
	}
	k->rec->n = (uint32_t)k->plan.n;
	return true;
}

/* Return: is all of it frozen? */
static bool freeze_all(struct keeper *k)
{
	uint64_t end = freeze_now_us() + FREEZE_LIMIT_US;
	/* Without the library's handlers: the loop's would make itself new
	 * descriptors in the place of ours. */
	pid_t self = getpid(), pid = _Fork();
	int status;

	if (pid == 0)
		freezer_main(k, self);
	if (pid < 0) {
		failed(k, FREEZE_FAIL_OTHER, errno, "");
		return false;
	}
	for (;;) {
		uint32_t seen = atomic_load(&k->rec->bell);
		uint64_t now = freeze_now_us();

		if (waitpid(pid, &status, WNOHANG) == pid)
			return status == 0 &&
			       atomic_load(&k->rec->ask) == FREEZE_NO_CAUSE;
		if (atomic_load(&k->rec->ask) != FREEZE_NO_CAUSE)
			return false;
		if (now >= end) {
			failed(k, FREEZE_FAIL_OTHER, ETIMEDOUT, "");
			freeze_ask(k->rec, FREEZE_BY_LEASE);
			return false;
		}
		freeze_wait(k->rec, seen, end - now);
	}
}

/* Until the lease ends, or somebody asks. Return: which. */
static enum freeze_cause hold(struct keeper *k)
{
	struct freeze_record *rec = k->rec;

	for (;;) {
		uint32_t seen = atomic_load(&rec->bell);
		uint32_t ask = atomic_load(&rec->ask);
		uint64_t until, now;

		if (ask != FREEZE_NO_CAUSE) {
			atomic_store(&rec->until_us, 0);
			return (enum freeze_cause)ask;
		}
		if (freeze_expire(rec))
			return FREEZE_BY_LEASE;
		until = atomic_load(&rec->until_us);
		now = freeze_now_us();
		if (until > now)
			freeze_wait(rec, seen,
				    until - now < LOOK_AGAIN_US
					    ? until - now
					    : LOOK_AGAIN_US);
	}
}

/* Return: has it been frozen, if only for a moment? */
static bool keep(struct keeper *k)
{
	bool ok = plan(k) && open_all(k) &&
		  freeze_hooks_before(&k->hooks, k->rec) == 0;
	enum freeze_cause cause;

	if (!ok)
		return false;
	lock_memory();
	if (!freeze_all(k)) {
		thaw_all(k->rec, k->fds);
		return false;
	}
	atomic_store(&k->rec->until_us, freeze_now_us() + k->job->lease_us);
	enter_phase(k, FREEZE_FROZEN);
	cause = hold(k);
	thaw_all(k->rec, k->fds);
	atomic_store(&k->rec->cause, cause);
	return true;
}

void freeze_keeper_main(const struct freeze_job *job)
{
	static struct keeper k;

	k.job = job;
	k.rec = job->rec;
	become(k.rec, job->lock_fd, job->notify_fd, "vmch-freeze");
	protect();
	/* Only a reason that is found below is told. */
	failed(&k, FREEZE_FAIL_OTHER, ECANCELED, "");
	if (k.rec->hooks)
		freeze_hooks_list(&k.hooks);
	enter_phase(&k, keep(&k) ? FREEZE_THAWED : FREEZE_FAILED);
	munlockall();
	freeze_hooks_after(&k.hooks, k.rec);
	_exit(EXIT_SUCCESS);
}

/* ---- the rescuer --------------------------------------------------------- */

static bool is_over(const struct freeze_record *rec)
{
	uint32_t phase = atomic_load(&rec->phase);

	return phase == FREEZE_THAWED || phase == FREEZE_FAILED;
}

void freeze_rescuer_main(struct freeze_record *rec, int lock_fd)
{
	static struct freeze_hooks hooks;
	bool was_frozen;

	become(rec, lock_fd, -1, "vmch-thaw");
	protect();
	/* A keeper that lives does the same; twice does no harm. */
	if (!is_over(rec))
		freeze_thaw_left(rec);
	while (flock(LOCK_FD, LOCK_EX) < 0 && errno == EINTR)
		;
	if (is_over(rec))
		_exit(EXIT_SUCCESS);
	freeze_thaw_left(rec);
	was_frozen = atomic_load(&rec->phase) == FREEZE_FROZEN;
	atomic_store(&rec->until_us, 0);
	atomic_store(&rec->cause, atomic_load(&rec->ask));
	rec->failure = FREEZE_FAIL_OTHER;
	rec->error = ECHILD;
	atomic_store(&rec->phase, was_frozen ? FREEZE_THAWED : FREEZE_FAILED);
	if (rec->hooks)
		freeze_hooks_list(&hooks);
	/* Which of them ran is not known; "thaw" again does no harm. */
	hooks.ran = hooks.n;
	freeze_hooks_after(&hooks, rec);
	_exit(EXIT_SUCCESS);
}
