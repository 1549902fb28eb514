/* SPDX-License-Identifier: MIT */
/*
 * creds.c - who a caller is, as the kernel (or the peer's broker) says
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "broker/internal.h"
#include "varlink/idl.h"

/* SO_PEERGROUPS: first the size, then the groups. */
static int get_groups(int fd, struct creds *c)
{
	socklen_t len = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0)
		return 0; /* none */
	if (errno != ERANGE)
		return -errno;
	c->groups = malloc(len);
	if (!c->groups)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) < 0) {
		creds_done(c);
		return -errno;
	}
	c->n_groups = len / sizeof(gid_t);
	return 0;
}

int creds_get(const struct broker *b, int fd, struct creds *ret)
{
	struct creds c = {.peer = false};
	socklen_t len = sizeof(struct ucred);
	struct ucred u;
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) < 0)
		return -errno;
	c.who.kind = b->side;
	c.who.uid = u.uid;
	c.who.gid = u.gid;
	r = get_groups(fd, &c);
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

void creds_done(struct creds *c)
{
	free(c->groups);
	c->groups = NULL;
	c->n_groups = 0;
}

struct creds creds_of_peer(const struct broker *b,
			   const struct vmc_principal *who)
{
	return (struct creds){
		.peer = true,
		.who = {.kind = b->peer_side, .uid = who->uid, .gid = who->gid},
	};
}

bool creds_is_owner(const struct broker *b, const struct creds *c)
{
	return !c->peer && (c->who.uid == 0 || c->who.uid == b->owner);
}

bool creds_same_user(const struct creds *a, const struct creds *b)
{
	return principal_key(&a->who) == principal_key(&b->who);
}

uint64_t principal_key(const struct vmc_principal *who)
{
	return (uint64_t)who->kind << 32 | who->uid;
}

static const char *class_of(const char *method)
{
	const struct idl_method *m = idl_method(method);

	/* What is not ours is asked of an offered service, by root. */
	return idl_class_name(m ? m->class : IDL_FULL);
}

void creds_check(const struct broker *b, const struct creds *c,
		 enum policy_op op, const char *channel,
		 struct policy_verdict *ret)
{
	struct policy_caller who = {
		.side = c->who.kind,
		/* The host as a whole owns its guests. */
		.owner = c->peer ? b->peer_side == VMC_PRINCIPAL_HOST
				 : creds_is_owner(b, c),
		.uid = c->who.uid,
		.gid = c->who.gid,
		.groups = c->groups,
		.n_groups = c->n_groups,
	};

	*ret = (struct policy_verdict){.rule = "none"};
	if (b->policy && op == POLICY_CALL)
		policy_check_call(b->policy, channel, class_of(channel), &who,
				  ret);
	else if (b->policy)
		policy_check(b->policy, op, channel, &who, ret);
}
