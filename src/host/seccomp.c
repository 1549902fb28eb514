/* SPDX-License-Identifier: MIT */
/*
 * seccomp.c - the system calls that moving bytes between descriptors needs,
 * one table for the worker and smaller ones for the other processes
 *
 * Everything that is not in the table kills the process. A new entry needs a
 * reason; one with a number in it (mmap, ioctl, ...) also its conditions.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/sandbox.h"

/* clang-format off */
static const int worker_always[] = {
	/* the data path */
	SCMP_SYS(read),           /* eventfd, pipe of a service */
	SCMP_SYS(write),          /* the same; the log on standard error */
	SCMP_SYS(readv),          /* receive into two parts of a ring */
	SCMP_SYS(writev),         /* length prefix and message in one call */
	SCMP_SYS(recvfrom),       /* recv() */
	SCMP_SYS(recvmsg),        /* descriptors from the supervisor */
	SCMP_SYS(sendto),         /* send() */
	SCMP_SYS(sendmsg),        /* requests to the supervisor */
	SCMP_SYS(shutdown),       /* a stream's half-close */
	SCMP_SYS(close),
	SCMP_SYS(accept4),        /* local programs */
	SCMP_SYS(pread64),        /* configuration out of the memfd */
	SCMP_SYS(lseek),          /* how large the bus's memfd is */
	/* waiting */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),    /* libuv */
	SCMP_SYS(epoll_pwait2),   /* newer libuv and libc */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create1),  /* an inner set; only watches what is open */
	SCMP_SYS(timerfd_create), /* the session's deadline */
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(poll),           /* libuv: is a writer done? */
	SCMP_SYS(ppoll),          /* the same on arm64 */
	SCMP_SYS(clock_gettime),  /* where the vDSO cannot */
	SCMP_SYS(gettimeofday),   /* the same */
	SCMP_SYS(restart_syscall),/* the kernel's, after a stop */
	/* memory; never executable, see below */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),         /* realloc() of large blocks */
	SCMP_SYS(madvise),        /* free() gives pages back */
	/* about itself */
	SCMP_SYS(getrandom),      /* nonces */
	SCMP_SYS(getpid),         /* GetInfo */
	SCMP_SYS(gettid),         /* abort() */
	SCMP_SYS(rt_sigprocmask), /* libuv, abort() */
	SCMP_SYS(rt_sigaction),   /* abort() puts the default back */
	SCMP_SYS(rt_sigreturn),   /* the kernel's, after a handler */
	SCMP_SYS(futex),          /* libc's locks; one thread never waits */
	SCMP_SYS(sysinfo),        /* qsort() asks how much memory there is */
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* Answered with an error instead: libraries try them and do without. */
struct refusal {
	int nr;
	int error;
};

static const struct refusal worker_refused[] = {
	{SCMP_SYS(io_uring_setup), ENOSYS}, /* newer libuv falls back */
	{SCMP_SYS(newfstatat), EPERM},      /* stdio asks for a buffer's size */
	{SCMP_SYS(fstat), EPERM},           /* the same, older libc */
	{SCMP_SYS(statx), EPERM},           /* the same, newer libc */
	{SCMP_SYS(openat), EPERM},          /* libc: time zone, memory size */
	{SCMP_SYS(readlink), EPERM},        /* fortified libc's last words */
};

/* One allowed value of one argument: (argument & mask) == value. */
struct condition {
	int nr;
	unsigned int arg;
	uint64_t mask, value;
};

static const struct condition worker_conditions[] = {
	/* malloc(): memory yes, code no */
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	/* malloc(): the heap's guard pages; code no */
	{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
	/* accepted sockets: non-blocking */
	{SCMP_SYS(ioctl), 1, UINT32_MAX, FIONBIO},
	/* how much of the link's bytes the other end has not read */
	{SCMP_SYS(ioctl), 1, UINT32_MAX, SIOCOUTQ},
	{SCMP_SYS(ioctl), 1, UINT32_MAX, FIONREAD},
	/* non-blocking, close-on-exec; nothing of files or owners */
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 1 /* F_GETFD */},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 2 /* F_SETFD */},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 3 /* F_GETFL */},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 4 /* F_SETFL */},
	/* can the bus's memfd shrink under us? Adding seals is not allowed */
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 1034 /* F_GET_SEALS */},
	/* who is calling (SO_PEERCRED, SO_PEERGROUPS), SO_ERROR */
	{SCMP_SYS(getsockopt), 1, UINT32_MAX, SOL_SOCKET},
	{SCMP_SYS(setsockopt), 1, UINT32_MAX, SOL_SOCKET},
	/* a pair inside this process reaches nobody */
	{SCMP_SYS(socketpair), 0, UINT32_MAX, AF_UNIX},
};

static const int bus_always[] = {
	/* the data path */
	SCMP_SYS(write),          /* the log on standard error */
	SCMP_SYS(writev),         /* sd-bus, if the other end is no socket */
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(close),
	SCMP_SYS(accept4),        /* QEMU */
	SCMP_SYS(getsockname),    /* sd-bus: is it a unix socket? */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),          /* sd-bus, and poll() on arm64 */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(restart_syscall),/* the kernel's, after a stop */
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),        /* also: a state's pages back, MADV_REMOVE */
	/* about itself */
	SCMP_SYS(getrandom),      /* save_id */
	SCMP_SYS(getpid),         /* sd-bus: was there a fork? */
	SCMP_SYS(gettid),         /* abort() */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(futex),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static const struct refusal bus_refused[] = {
	{SCMP_SYS(openat), EPERM},   /* libc, sd-bus: environment, machine id */
	{SCMP_SYS(statx), EPERM},
	{SCMP_SYS(readlink), EPERM},
};

static const struct condition bus_conditions[] = {
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 1 /* F_GETFD */},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 2 /* F_SETFD */},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 3 /* F_GETFL */},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, 4 /* F_SETFL */},
	/* sd-bus: who is calling, size of the socket's buffers */
	{SCMP_SYS(getsockopt), 1, UINT32_MAX, SOL_SOCKET},
	{SCMP_SYS(setsockopt), 1, UINT32_MAX, SOL_SOCKET},
	/* fstat(): of a descriptor, not of a name */
	{SCMP_SYS(newfstatat), 3, UINT32_MAX, AT_EMPTY_PATH},
};

static const int qmp_always[] = {
	/* the data path */
	SCMP_SYS(write),          /* the log on standard error */
	SCMP_SYS(recvfrom),       /* recv() from QEMU */
	SCMP_SYS(sendto),         /* send() to it */
	SCMP_SYS(recvmsg),        /* the supervisor */
	SCMP_SYS(sendmsg),
	SCMP_SYS(close),          /* a descriptor that it sent */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),          /* poll() on arm64 */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(restart_syscall),/* the kernel's, after a stop */
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	/* about itself */
	SCMP_SYS(gettid),         /* abort() */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(futex),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static const struct refusal qmp_refused[] = {
	{SCMP_SYS(openat), EPERM},      /* libc: locale, memory size */
	{SCMP_SYS(newfstatat), EPERM},
	{SCMP_SYS(readlink), EPERM},
};

static const struct condition qmp_conditions[] = {
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
};
/* clang-format on */

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct table {
	const int *always;
	size_t n_always;
	const struct refusal *refused;
	size_t n_refused;
	const struct condition *conditions;
	size_t n_conditions;
} tables[SANDBOX_WHO_NUM] = {
	[SANDBOX_WORKER] = {worker_always, N(worker_always), worker_refused,
			    N(worker_refused), worker_conditions,
			    N(worker_conditions)},
	[SANDBOX_BUS] = {bus_always, N(bus_always), bus_refused, N(bus_refused),
			 bus_conditions, N(bus_conditions)},
	[SANDBOX_QMP] = {qmp_always, N(qmp_always), qmp_refused, N(qmp_refused),
			 qmp_conditions, N(qmp_conditions)},
};

/* A number below 0 is libseccomp's for calls this machine does not have. */
static int add_rule(scmp_filter_ctx ctx, uint32_t action, int nr)
{
	return nr < 0 ? 0 : seccomp_rule_add(ctx, action, nr, 0);
}

static int add_condition(scmp_filter_ctx ctx, const struct condition *c)
{
	const struct scmp_arg_cmp cmp = {
		.arg = c->arg,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = c->mask,
		.datum_b = c->value,
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, c->nr, 1, &cmp);
}

/* abort() of an assertion: a signal to this process only. */
static int add_abort(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp self = {
		.arg = 0,
		.op = SCMP_CMP_EQ,
		.datum_a = (uint64_t)getpid(),
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				      &self);
}

static int build(scmp_filter_ctx ctx, const struct table *t)
{
	int r = 0;

	for (size_t i = 0; i < t->n_always && r == 0; i++)
		r = add_rule(ctx, SCMP_ACT_ALLOW, t->always[i]);
	for (size_t i = 0; i < t->n_refused && r == 0; i++)
		r = add_rule(ctx,
			     SCMP_ACT_ERRNO((unsigned int)t->refused[i].error),
			     t->refused[i].nr);
	for (size_t i = 0; i < t->n_conditions && r == 0; i++)
		r = add_condition(ctx, &t->conditions[i]);
	return r == 0 ? add_abort(ctx) : r;
}

int sandbox_seccomp(enum sandbox_who who)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return -ENOMEM;
	/* A tree instead of a list: every call of the data path pays for it.
	 * Older libraries do not know the attribute and are only slower. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	r = build(ctx, &tables[who]);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
