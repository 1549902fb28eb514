/* SPDX-License-Identifier: MIT */
/* freeze_record.c - one freeze, in memory that several processes share */
#include "guest/freeze_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* "vmchfrz" and the version of the structure. */
#define MAGIC UINT64_C(0x766d636866727a01)

/* Only what this program has written itself. */
static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_uid == geteuid() && (st.st_mode & 022) == 0 &&
	       st.st_size == (off_t)sizeof(struct freeze_record);
}

/* By a description of its own: a mapping keeps the one that it was made with
 * open, and so its lock held. */
static int map(const char *path, int lock_fd, struct freeze_record **ret)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat a, b;
	void *p = MAP_FAILED;
	int r;

	if (fd < 0)
		return -errno;
	errno = EAGAIN; /* it is another one now */
	if (fstat(fd, &a) == 0 && fstat(lock_fd, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		p = mmap(NULL, sizeof(**ret), PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
	r = p == MAP_FAILED ? -errno : 0;
	*ret = p;
	close(fd);
	return r;
}

static int check(struct freeze_record *rec)
{
	if (rec->magic == MAGIC && rec->n <= FREEZE_MAX)
		return 0;
	freeze_record_close(rec);
	return -EINVAL;
}

int freeze_record_open(const char *path, bool create,
		       struct freeze_record **ret, int *ret_fd)
{
	int fd = open(path,
		      O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0),
		      0600);
	bool locked;
	int r;

	if (fd < 0)
		return -errno;
	locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
	r = locked || errno == EWOULDBLOCK ? 0 : -errno;
	/* All of it is zero, and there: no page is to be made later. */
	if (r == 0 && locked && create &&
	    (ftruncate(fd, 0) < 0 ||
	     posix_fallocate(fd, 0, sizeof(**ret)) != 0))
		r = -ENOSPC;
	if (r == 0)
		r = is_ours(fd) ? map(path, fd, ret) : -EINVAL;
	if (r == 0 && locked && create)
		(*ret)->magic = MAGIC;
	if (r == 0)
		r = check(*ret);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return locked ? 0 : -EWOULDBLOCK;
}

void freeze_record_close(struct freeze_record *rec)
{
	munmap(rec, sizeof(*rec));
}

void freeze_ring(struct freeze_record *rec)
{
	atomic_fetch_add(&rec->bell, 1);
	syscall(SYS_futex, &rec->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void freeze_ask(struct freeze_record *rec, enum freeze_cause cause)
{
	uint32_t none = FREEZE_NO_CAUSE;

	atomic_compare_exchange_strong(&rec->ask, &none, cause);
	freeze_ring(rec);
}

void freeze_wait(struct freeze_record *rec, uint32_t seen, uint64_t us)
{
	const struct timespec t = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000,
	};

	syscall(SYS_futex, &rec->bell, FUTEX_WAIT, seen, &t, NULL, 0);
}

uint64_t freeze_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool freeze_renew(struct freeze_record *rec, uint64_t until_us)
{
	uint64_t was = atomic_load(&rec->until_us);

	do
		if (was == 0)
			return false;
	while (!atomic_compare_exchange_weak(&rec->until_us, &was, until_us));
	freeze_ring(rec);
	return true;
}

bool freeze_expire(struct freeze_record *rec)
{
	uint64_t was = atomic_load(&rec->until_us);

	return was == 0 ||
	       (was <= freeze_now_us() &&
		atomic_compare_exchange_strong(&rec->until_us, &was, 0));
}
