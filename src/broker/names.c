/* SPDX-License-Identifier: MIT */
/*
 * names.c - the channels that are announced on this side
 */
#include <errno.h>
#include <string.h>

#include "broker/internal.h"
#include "broker/log.h"

struct channel *channel_find(struct broker *b, const char *name)
{
	for (uint32_t i = 0; i < b->n_channels; i++) {
		struct channel *ch = &b->channels[i];

		if (ch->kind != CHANNEL_FREE && strcmp(ch->name, name) == 0)
			return ch;
	}
	return NULL;
}

static struct channel *free_slot(struct broker *b)
{
	for (uint32_t i = 0; i < b->n_channels; i++) {
		if (b->channels[i].kind == CHANNEL_FREE)
			return &b->channels[i];
	}
	return b->n_channels < CHANNELS_MAX ? &b->channels[b->n_channels++]
					    : NULL;
}

static bool is_owner(const struct broker *b, uid_t uid)
{
	return uid == 0 || uid == b->owner;
}

/* How many users other than the owner have, and how many of them @uid. */
static unsigned int count_others(const struct broker *b, uid_t uid,
				 unsigned int *ret_of_uid)
{
	unsigned int n = 0;

	*ret_of_uid = 0;
	for (uint32_t i = 0; i < b->n_channels; i++) {
		const struct channel *ch = &b->channels[i];

		if (ch->kind == CHANNEL_FREE || is_owner(b, ch->uid))
			continue;
		n++;
		*ret_of_uid += ch->uid == uid;
	}
	return n;
}

static int check_share(const struct broker *b, uid_t uid)
{
	unsigned int all, own;

	if (is_owner(b, uid))
		return 0;
	all = count_others(b, uid, &own);
	if (own >= CHANNELS_UID_MAX)
		return -EDQUOT;
	return all < CHANNELS_MAX - CHANNELS_RESERVED ? 0 : -ENOSPC;
}

static int too_many(struct broker *b, int r)
{
	b->count.limit_channels++;
	return r;
}

int channel_add(struct broker *b, struct channel **ret, enum channel_kind kind,
		const char *name, bool messages, uid_t uid)
{
	struct channel *ch;
	int r;

	if (channel_find(b, name))
		return -EEXIST;
	r = check_share(b, uid);
	if (r < 0)
		return too_many(b, r);
	ch = free_slot(b);
	if (!ch)
		return too_many(b, -ENOSPC);
	r = vmc_name_advertise(b->session, name,
			       messages ? VMC_NAME_MESSAGES : 0);
	if (r < 0)
		return too_many(b, -ENOSPC);
	*ch = (struct channel){
		.kind = kind,
		.messages = messages,
		.keep = true,
		.uid = uid,
		.since_ms = broker_now_us() / 1000u,
	};
	strcpy(ch->name, name);
	broker_emit_channel(b, EVENT_CHANNEL_ADDED, name, false, messages);
	if (kind == CHANNEL_LISTENER)
		keep_need(b);
	if (ret)
		*ret = ch;
	return 0;
}

void channel_remove(struct broker *b, struct channel *ch)
{
	incoming_forget_channel(b, ch);
	keep_listener_end(b, ch);
	vmc_name_withdraw(b->session, ch->name);
	ch->kind = CHANNEL_FREE;
	broker_emit_channel(b, EVENT_CHANNEL_REMOVED, ch->name, false,
			    ch->messages);
	pump_kick(b);
}

void channels_advertise(struct broker *b)
{
	for (uint32_t i = 0; i < b->n_channels; i++) {
		const struct channel *ch = &b->channels[i];

		/* There is room: as many were there before. */
		if (ch->kind != CHANNEL_FREE)
			vmc_name_advertise(b->session, ch->name,
					   ch->messages ? VMC_NAME_MESSAGES
							: 0);
	}
}

/* The owner's services are subject to policy, too. */
static bool may_announce(const struct broker *b, const struct service *svc)
{
	struct creds own = {
		.who = {.kind = b->side, .uid = b->owner},
	};
	struct policy_verdict v;

	creds_check(b, &own, POLICY_LISTEN, svc->name, &v);
	if (!v.allowed)
		log_warning("ev=service-denied channel=%s rule=%s", svc->name,
			    v.rule);
	return v.allowed;
}

static void announce(struct broker *b, const struct service *svc)
{
	struct channel *ch = channel_find(b, svc->name);
	int r;

	if (!may_announce(b, svc))
		return;
	if (ch && ch->kind == CHANNEL_SERVICE &&
	    ch->messages == svc->messages) {
		ch->keep = true;
		return;
	}
	if (ch && ch->kind == CHANNEL_SERVICE)
		channel_remove(b, ch);
	r = channel_add(b, NULL, CHANNEL_SERVICE, svc->name, svc->messages,
			b->owner);
	if (r < 0)
		log_warning("ev=service-not-announced channel=%s why=%s",
			    svc->name,
			    r == -EEXIST ? "name-in-use" : "too-many");
}

void channels_set_services(struct broker *b)
{
	for (uint32_t i = 0; i < b->n_channels; i++)
		b->channels[i].keep = b->channels[i].kind != CHANNEL_SERVICE;
	for (size_t i = 0; i < b->services.n; i++)
		announce(b, &b->services.list[i]);
	for (uint32_t i = 0; i < b->n_channels; i++) {
		struct channel *ch = &b->channels[i];

		if (ch->kind != CHANNEL_FREE && !ch->keep)
			channel_remove(b, ch);
	}
}
