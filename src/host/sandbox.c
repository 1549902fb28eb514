/* SPDX-License-Identifier: MIT */
/*
 * sandbox.c - the steps into the sandbox, in the order that they need
 *
 * 1. namespaces   (if this system lets us) no file, network or IPC object of
 *                 the host has a name any more
 * 2. identity     (if asked for) another user
 * 3. landlock     (if the kernel has it) the same as 1 for files, for those
 *                 who may not make namespaces
 * 4. privileges   no capability, and none can be gained
 * 5. limits       descriptors, memory, no core file, no process
 * 6. seccomp      only system calls on descriptors that are open
 *
 * No user namespace is made: in one, SO_PEERCRED shows every other user as
 * "nobody", and telling callers apart is what the worker is for. A worker
 * that is not root gets landlock instead.
 */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/sandbox.h"

/* ---- 1. namespaces ---- */

/* Any folder that exists: it is covered and then left for good. */
static const char *const cover[] = {"/run", "/tmp", "/proc"};

static int mount_empty(void)
{
	const unsigned long flags =
		MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;

	for (size_t i = 0; i < sizeof(cover) / sizeof(cover[0]); i++) {
		if (mount("vmchannel", cover[i], "tmpfs", flags,
			  "mode=0111,size=4k,nr_inodes=1") == 0)
			return chdir(cover[i]) < 0 ? -errno : 0;
	}
	return -errno;
}

/* Should: leave this process in an empty, read-only root.
 * Mustn't: let a mount of ours appear in the host's namespace. */
static int empty_root(void)
{
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	r = mount_empty();
	if (r < 0)
		return r;
	/* Old root on top of the new one; then it is taken away. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static int enter_namespaces(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) <
	    0)
		return -errno;
	return empty_root();
}

/* ---- 2. identity ---- */

/* Should: leave no way back to the old user. */
static int become(const struct sandbox_user *u)
{
	if (setgroups(0, NULL) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0)
		return -errno;
	return 0;
}

/* ---- 3. landlock ---- */

/* Every right of the first version; a later kernel handles more, but these
 * are the ones that open, create or run something. */
#define LANDLOCK_ALL_V1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

/* Should: forbid all of the file system, by a rule set without rules. */
static int enter_landlock(void)
{
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = LANDLOCK_ALL_V1,
	};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr),
			      0);
	int r;

	if (fd < 0)
		return -errno;
	r = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* ---- 4. privileges ---- */

/* Should: make sure that no program could bring a capability back. Needs one
 * itself, so it comes before the identity; others have nothing to lose. */
static int drop_bounding_set(void)
{
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		return 0;
	capng_clear(CAPNG_SELECT_BOUNDS);
	return capng_apply(CAPNG_SELECT_BOUNDS) == 0 ? 0 : -EPERM;
}

/* Should: leave no capability in any set. */
static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	return capng_apply(CAPNG_SELECT_CAPS) == 0 ? 0 : -EPERM;
}

/* Should: keep debuggers out, and outlive no supervisor. The kernel forgets
 * the second when the user changes, so it comes after that. */
static int detach_from_others(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* ---- 5. limits ---- */

static const struct {
	rlim_t files, data;
} most[SANDBOX_WHO_NUM] = {
	[SANDBOX_WORKER] = {SANDBOX_FILES_MAX, SANDBOX_DATA_MAX},
	[SANDBOX_BUS] = {SANDBOX_BUS_FILES_MAX, SANDBOX_BUS_DATA_MAX},
	[SANDBOX_QMP] = {SANDBOX_QMP_FILES_MAX, SANDBOX_QMP_DATA_MAX},
};

static int set_limits(enum sandbox_who who)
{
	const struct {
		__rlimit_resource_t what;
		rlim_t max;
	} limits[] = {
		{RLIMIT_NOFILE, most[who].files},
		{RLIMIT_DATA, most[who].data},
		{RLIMIT_CORE, 0}, /* a core holds the guest's bytes */
		{RLIMIT_NPROC, 0},
		{RLIMIT_MEMLOCK, 0},
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit l;

		if (getrlimit(limits[i].what, &l) < 0)
			return -errno;
		if (l.rlim_max > limits[i].max)
			l.rlim_max = limits[i].max;
		l.rlim_cur = l.rlim_max;
		if (setrlimit(limits[i].what, &l) < 0)
			return -errno;
	}
	return 0;
}

/* ---- all of it ---- */

static void add_missing(char *list, size_t size, const char *what, int r)
{
	size_t n = strlen(list);

	snprintf(list + n, size - n, "%s%s (%s)", n ? ", " : "", what,
		 strerror(-r));
}

int sandbox_enter(enum sandbox_who who, const struct sandbox_user *user,
		  char *ret_missing, size_t size)
{
	int r;

	ret_missing[0] = '\0';
	/* libcap-ng reads /proc when it is first used. */
	if (capng_get_caps_process() < 0)
		return -EPERM;
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN)) {
		r = enter_namespaces();
		if (r < 0)
			add_missing(ret_missing, size, "namespaces", r);
	}
	r = drop_bounding_set();
	if (r == 0 && user->change)
		r = become(user);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = enter_landlock();
	if (r < 0)
		add_missing(ret_missing, size, "landlock", r);
	r = drop_capabilities();
	if (r == 0)
		r = detach_from_others();
	if (r == 0)
		r = set_limits(who);
	return r < 0 ? r : sandbox_seccomp(who);
}
