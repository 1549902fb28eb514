/* SPDX-License-Identifier: MIT */
/* followed.c - the streams of this process that follow their VM */
#include "client/followed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define EXIT_STEP_MS 2

static struct followed *list; /* the newest first */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- fork() ------------------------------------------------------------- */

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	place_lock();
}

static void after_fork(void)
{
	place_unlock();
	pthread_mutex_unlock(&lock);
}

static void close_both(int fd, int out)
{
	if (fd >= 0)
		close(fd);
	if (out >= 0 && out != fd)
		close(out);
}

/* The threads are not here. Their descriptors must not be, either: an end of
 * file would not arrive as long as this process has copies. */
static void in_child(void)
{
	for (struct followed *r = list; r; r = r->next) {
		if (!r->live)
			continue;
		close(r->app);
		close_both(r->fd, r->out);
		close_both(r->watch_fd, r->watch_out);
		r->live = false;
	}
	after_fork();
}

static void install(void)
{
	(void)pthread_atfork(before_fork, after_fork, in_child);
}

/* ---- the table ---------------------------------------------------------- */

struct followed *followed_new(const char *vm, const char *id, int app,
			      const struct client_conn *c)
{
	struct followed *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pthread_once(&once, install);
	memcpy(r->vm, vm, strlen(vm) + 1);
	memcpy(r->id, id, strlen(id) + 1);
	memcpy(r->at.text, vm, strlen(vm) + 1);
	r->live = true;
	r->app = app;
	r->fd = c->fd;
	r->out = c->out;
	r->watch_fd = r->watch_out = -1;
	pthread_mutex_lock(&lock);
	r->next = list;
	list = r;
	pthread_mutex_unlock(&lock);
	return r;
}

void followed_leave(struct followed *r)
{
	pthread_mutex_lock(&lock);
	r->fd = r->out = -1;
	pthread_mutex_unlock(&lock);
}

int followed_dial(struct followed *r, struct client_conn *c,
		  const struct place *p, const char *channel, uint64_t deadline,
		  pid_t *ret_child)
{
	struct sockaddr_un sa;
	int result = place_address(p, r->vm, &sa);

	if (result)
		return result;
	pthread_mutex_lock(&lock);
	result = place_open(c, p, r->vm, channel, ret_child);
	if (result == 0) {
		r->watch_fd = c->fd;
		r->watch_out = c->out;
	}
	pthread_mutex_unlock(&lock);
	if (result)
		return result;
	/* A broker that is slow must not hold up the program's fork(). */
	result = place_reach(c, p, &sa, deadline);
	if (result) {
		followed_unwatch(r);
		client_done(c);
	}
	return result;
}

void followed_unwatch(struct followed *r)
{
	pthread_mutex_lock(&lock);
	r->watch_fd = r->watch_out = -1;
	pthread_mutex_unlock(&lock);
}

void followed_at(struct followed *r, const struct place *at,
		 const struct client_conn *c)
{
	pthread_mutex_lock(&lock);
	r->at = *at;
	r->fd = c->fd;
	r->out = c->out;
	pthread_mutex_unlock(&lock);
}

/* The oldest that ended go. */
static void trim(void)
{
	unsigned int n = 0;

	for (struct followed **p = &list; *p;) {
		struct followed *r = *p;

		if (r->live || ++n <= FOLLOWED_ENDED_MAX) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		free(r);
	}
}

void followed_end(struct followed *r, const struct vmc_status *failed)
{
	pthread_mutex_lock(&lock);
	r->live = false;
	r->failed = failed != NULL;
	if (failed)
		r->status = *failed;
	trim();
	pthread_mutex_unlock(&lock);
}

enum followed_kind followed_find(const char *vm, const char *id,
				 struct place *ret_at,
				 struct vmc_status *ret_failed)
{
	enum followed_kind found = FOLLOWED_OTHER;
	const struct followed *r;

	pthread_mutex_lock(&lock);
	for (r = list; r && found == FOLLOWED_OTHER; r = r->next) {
		if (strcmp(r->id, id) != 0 || strcmp(r->vm, vm) != 0)
			continue;
		found = r->failed ? FOLLOWED_FAILED : FOLLOWED_AT;
		*ret_at = r->at;
		*ret_failed = r->status;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

/* ---- exit() ------------------------------------------------------------- */

/* In this order: who takes bytes out of the socket was busy before. */
static bool holds_bytes(const struct followed *r)
{
	int n = 0;

	if (ioctl(r->app, FIONREAD, &n) == 0 && n > 0)
		return true;
	return atomic_load(&r->busy);
}

static bool any_holds_bytes(void)
{
	bool any = false;

	pthread_mutex_lock(&lock);
	for (struct followed *r = list; r && !any; r = r->next)
		any = r->live && holds_bytes(r);
	pthread_mutex_unlock(&lock);
	return any;
}

/* Without a relay the kernel would keep what the program wrote. */
__attribute__((destructor)) static void wait_for_relays(void)
{
	const struct timespec step = {.tv_nsec = EXIT_STEP_MS * 1000000L};

	for (int ms = 0; ms < FOLLOWED_EXIT_MS && any_holds_bytes();
	     ms += EXIT_STEP_MS)
		nanosleep(&step, NULL);
}
