/* SPDX-License-Identifier: MIT */
/*
 * worker_hold.c - handing over to a successor, and taking over
 *
 * The one that hands over runs no loop any more from the moment it stands
 * still: it looks only at the pair, so nothing of what it sent can change.
 * The one that takes over touches no socket before it is told to serve.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/supervisor.h"
#include "host/worker.h"

/* The supervisor reads what it is given as fast as it can. */
#define GIVE_MS 2000u
/* Services that were asked for are started at once, or refused. */
#define STARTING_MS 1000

/* ---- handing over ---- */

/* A stream whose process is on its way could not be saved. */
static void await_services(struct worker *w)
{
	for (int ms = 0; w->starting > 0 && ms < STARTING_MS; ms++) {
		worker_wait(w, 1);
		if (w->stopping)
			return;
	}
}

static int give(const struct state_fd *one)
{
	const struct ipc_msg m = {
		.type = IPC_GIVE,
		.request = one->cookie,
		.value = (int32_t)one->kind,
	};

	return ipc_send_wait(WORKER_FD_PAIR, &m, IPC_FROM_WORKER, one->fd,
			     GIVE_MS);
}

/* Return: bytes of the state, or a negative errno. */
static long hand_over(struct worker *w, struct state_fd *fds)
{
	uint8_t id[STATE_ID_LEN];
	size_t n_fds = 0;
	long n;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return -EIO;
	broker_freeze(w->broker);
	n = broker_save(w->broker, STATE_UPGRADE, id, w->state, STATE_MAX, fds,
			&n_fds);
	for (size_t i = 0; n >= 0 && i < n_fds; i++) {
		int r = give(&fds[i]);

		if (r < 0)
			n = r;
	}
	return n;
}

static void say_held(struct worker *w, long n)
{
	const struct ipc_msg m = {
		.type = IPC_HELD,
		.value = n < 0 ? (int32_t)n : 0,
		.size = n < 0 ? 0 : (uint32_t)n,
	};

	worker_say(w, &m, -1);
}

void worker_hold(struct worker *w)
{
	struct state_fd *fds;
	struct life_step step;
	long n = -ENOMEM;

	w->hold = false;
	await_services(w);
	if (w->stopping)
		return;
	if (!life_step(&step, w->life, LIFE_EV_HOLD, w->has_session) ||
	    (step.actions & LIFE_DO_REFUSE)) {
		say_held(w, -EBUSY);
		return;
	}
	worker_set_life(w, step.next);
	fds = calloc(STATE_FDS_MAX, sizeof(*fds));
	if (fds)
		n = hand_over(w, fds);
	free(fds);
	say_held(w, n);
	/* Also if it failed: the supervisor says how it goes on. */
	while (w->life == LIFE_HELD && !w->stopping && w->status == 0)
		worker_wait(w, -1);
}

/* ---- taking over ---- */

void worker_on_give(struct worker *w, const struct ipc_msg *m, int fd)
{
	if (!w->given)
		w->given = calloc(STATE_FDS_MAX, sizeof(*w->given));
	if (!w->given || w->n_given >= STATE_FDS_MAX) {
		close(fd);
		return;
	}
	w->given[w->n_given++] = (struct state_fd){
		.kind = (uint32_t)m->value,
		.fd = fd,
		.cookie = m->request,
	};
}

static void forget_given(struct worker *w)
{
	free(w->given);
	w->given = NULL;
	w->n_given = 0;
}

/* The predecessor can still write to the memory, and the guest may have it. */
static enum state_result load_copy(struct worker *w, size_t len)
{
	enum state_result r;
	uint8_t *copy = len <= STATE_MAX ? malloc(len ? len : 1) : NULL;

	if (!copy) {
		for (size_t i = 0; i < w->n_given; i++)
			close(w->given[i].fd);
		return STATE_LIMIT;
	}
	memcpy(copy, w->state, len);
	r = broker_load(w->broker, copy, len, w->given, w->n_given);
	free(copy);
	return r;
}

void worker_on_adopt(struct worker *w, const struct ipc_msg *m, int fd)
{
	struct ipc_msg answer = {.type = IPC_ADOPTED};
	enum state_result r = load_copy(w, m->size);

	(void)fd;
	forget_given(w);
	if (r != STATE_OK) {
		log_error("ev=adopt-failed why=%s", state_result_name(r));
		answer.value = -EINVAL;
	}
	w->has_session = r == STATE_OK;
	worker_say(w, &answer, -1);
}

/* ---- after a death ---- */

void worker_take_left(struct worker *w)
{
	for (size_t i = 0; i < w->n_given; i++) {
		const struct state_fd *one = &w->given[i];
		const struct ipc_msg drop = {
			.type = IPC_DROP,
			.request = one->cookie,
		};

		if (broker_adopt_fd(w->broker, one->cookie, one->fd))
			continue;
		shutdown(one->fd, SHUT_RDWR);
		close(one->fd);
		ipc_send_wait(WORKER_FD_PAIR, &drop, IPC_FROM_WORKER, -1,
			      GIVE_MS);
	}
	forget_given(w);
	broker_adopt_done(w->broker);
	w->has_session |= broker_has_loaded(w->broker);
}
