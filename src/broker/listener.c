/* SPDX-License-Identifier: MIT */
/*
 * listener.c - a listening socket of the broker: lets callers in
 */
#include "broker/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/internal.h"
#include "broker/log.h"

/* New callers per wake-up; streams come first. */
#define LISTENER_BATCH 16

static bool out_of_resources(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS ||
	       err == ENOMEM;
}

static void pause_on(struct listener *l, int err)
{
	struct broker *b = l->b;

	b->count.limit_files++;
	log_limited(broker_now_us(), LOG_LEVEL_WARNING,
		    "ev=accept-paused error=\"%s\"", strerror(err));
	l->paused = true;
	uv_poll_stop(&l->poll);
	broker_sweep_need(b);
}

static void welcome(struct listener *l, int fd)
{
	struct creds creds;

	if (creds_get(l->b, fd, &creds) < 0) {
		close(fd);
		return;
	}
	if (l->let_in(l->b, fd, &creds))
		return;
	creds_done(&creds);
	close(fd);
}

static void on_callers(uv_poll_t *h, int status, int events)
{
	struct listener *l = h->data;
	int listening;

	(void)events;
	if (status < 0 || uv_fileno((uv_handle_t *)h, &listening) < 0)
		return;
	for (int i = 0; i < LISTENER_BATCH; i++) {
		int fd = accept4(listening, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (out_of_resources(errno))
				pause_on(l, errno);
			return;
		}
		welcome(l, fd);
	}
}

void listener_sweep(struct listener *l)
{
	if (!l->paused)
		return;
	l->paused = false;
	l->b->touched = true;
	uv_poll_start(&l->poll, UV_READABLE, on_callers);
}

int listener_init(struct listener *l, struct broker *b, int fd,
		  listener_let_in_fn *let_in)
{
	int r = uv_poll_init(b->loop, &l->poll, fd);

	if (r < 0)
		return r;
	l->b = b;
	l->let_in = let_in;
	l->poll.data = l;
	b->n_handles++;
	return uv_poll_start(&l->poll, UV_READABLE, on_callers);
}

static void on_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	broker_unref(l->b);
}

void listener_close(struct listener *l)
{
	if (l->b)
		uv_close((uv_handle_t *)&l->poll, on_closed);
}
