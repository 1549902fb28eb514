/* SPDX-License-Identifier: MIT */
/*
 * broker.c - make, configure, stop and free a broker
 */
#include "broker/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "broker/internal.h"
#include "broker/state.h"

/* How long broker_stop() waits for a link that takes nothing, and how often it
 * looks. */
#define STOP_FLUSH_MS 500u
#define STOP_STEP_MS  5

void broker_unref(struct broker *b)
{
	if (--b->n_handles > 0)
		return;
	streams_done(b);
	events_done(&b->events);
	services_done(&b->services);
	policy_free(b->policy);
	arena_done(b);
	free(b->vm);
	free(b->uuid);
	free(b);
}

static int init_session(struct broker *b, const struct broker_config *cfg)
{
	struct vmc_session_config s;

	vmc_session_config_default(&s, cfg->role);
	if (cfg->session)
		s = *cfg->session;
	if (getrandom(&s.instance, sizeof(s.instance), 0) != sizeof(s.instance))
		return -EIO;
	b->instance = s.instance;
	snprintf(b->instance_text, sizeof(b->instance_text), "%016" PRIx64,
		 b->instance);
	memcpy(b->id_text, b->instance_text, sizeof(b->id_text));
	b->max_streams = s.max_streams;
	if (vmc_session_size(&s) == 0)
		return -EINVAL;
	b->session_cfg = s;
	return 0;
}

static int init_tables(struct broker *b, const struct broker_config *cfg)
{
	b->vm = strdup(cfg->vm);
	b->uuid = cfg->uuid ? strdup(cfg->uuid) : NULL;
	if (!b->vm || (cfg->uuid && !b->uuid) || events_init(&b->events) < 0)
		return -ENOMEM;
	if (streams_init(b) < 0)
		return -ENOMEM;
	return arena_init(b, cfg);
}

static int init_loop(struct broker *b, const struct broker_config *cfg)
{
	int r = pump_init(b);

	if (r < 0)
		return r;
	r = watchdog_init(b);
	if (r < 0)
		return r;
	r = control_server_init(b, cfg->control_fd);
	if (r < 0)
		return r;
	r = connect_server_init(b, cfg->connect_fd);
	if (r < 0)
		return r;
	if (channel_find(b, CHANNEL_BUILTIN_NAME))
		return 0; /* adopted */
	r = channel_add(b, NULL, CHANNEL_BUILTIN, CHANNEL_BUILTIN_NAME, false,
			b->owner);
	return r;
}

int broker_new(struct broker **ret, uv_loop_t *loop,
	       const struct broker_config *cfg)
{
	struct broker *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->loop = loop;
	b->ops = cfg->ops;
	b->data = cfg->data;
	b->role = cfg->role;
	b->owner = cfg->owner;
	b->expecting = cfg->incoming;
	b->turn = cfg->turn;
	b->side = cfg->role == VMC_ROLE_HOST ? VMC_PRINCIPAL_HOST
					     : VMC_PRINCIPAL_GUEST;
	b->peer_side = cfg->role == VMC_ROLE_HOST ? VMC_PRINCIPAL_GUEST
						  : VMC_PRINCIPAL_HOST;
	b->inner = b->timer = -1;
	b->link.fd = -1;
	b->n_handles = 1; /* the daemon's own reference */
	r = init_session(b, cfg);
	if (r == 0)
		r = init_tables(b, cfg);
	if (r == 0)
		r = init_loop(b, cfg);
	if (r < 0) {
		broker_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

/* A link that is full takes the goodbye when the other end has read: without
 * it the peer would wait for us to come back. */
static void flush_last(struct broker *b, uint64_t now_us)
{
	uint64_t end_us = now_us + STOP_FLUSH_MS * 1000u;

	while (!link_flush(b, now_us) && b->link.fd >= 0 && now_us < end_us) {
		struct pollfd p = {.fd = b->link.fd, .events = POLLOUT};

		poll(&p, 1, STOP_STEP_MS);
		if (p.revents & (POLLERR | POLLHUP))
			return;
		link_set_writable(b, true);
		now_us = broker_now_us();
	}
}

void broker_stop(struct broker *b)
{
	uint64_t now_us = broker_now_us();
	struct vmc_event ev;

	b->stopping = true;
	/* Whether it runs here or elsewhere nobody knows any more. */
	if (b->frozen)
		broker_moved(b, NULL);
	vmc_session_bye(b->session, VMC_REASON_SHUTDOWN, now_us);
	while (vmc_session_next_event(b->session, &ev, now_us))
		session_event(b, &ev, now_us);
	flush_last(b, now_us);
	broker_link_detach(b);
	session_tell(b, now_us);
}

void broker_free(struct broker *b)
{
	if (!b)
		return;
	control_server_close(b);
	connect_server_close(b);
	watchdog_close(b);
	pump_close(b);
	broker_unref(b);
}

void broker_set_policy(struct broker *b, struct policy *p)
{
	policy_free(b->policy);
	b->policy = p;
}

void broker_set_services(struct broker *b, struct services *s)
{
	services_done(&b->services);
	b->services = *s;
	free(s);
	channels_set_services(b);
	b->services_wait = true;
	pump_kick(b);
}

void broker_set_life(struct broker *b, const char *life)
{
	b->life = life;
}

void broker_set_vmstate(struct broker *b, const char *vmstate)
{
	b->vmstate = vmstate;
}

void broker_link_detail(struct broker *b, const char *text)
{
	snprintf(b->detail, sizeof(b->detail), "%s", text);
}
