/* SPDX-License-Identifier: MIT */
/* names.c - the channels that either side advertises */
#include <string.h>

#include "session/internal.h"

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Labels of [A-Za-z0-9_-] joined by single dots; none is empty. */
bool vmc_name_valid(const char *name, size_t len)
{
	bool in_label = false;

	if (len < 1 || len > VMC_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '.' ? !in_label : !is_name_char(name[i]))
			return false;
		in_label = name[i] != '.';
	}
	return in_label;
}

struct name_entry *name_local(const struct vmc_session *s, uint32_t i)
{
	return (struct name_entry *)session_at(s, s->at.names_local) + i;
}

struct name_entry *name_peer(const struct vmc_session *s, uint32_t i)
{
	return (struct name_entry *)session_at(s, s->at.names_peer) + i;
}

/* The entry of @name, or else one that is free, or NULL. */
static struct name_entry *find(const struct vmc_session *s,
			       struct name_entry *table, const char *name,
			       size_t len, struct name_entry **ret_free)
{
	struct name_entry *unused = NULL;

	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		struct name_entry *e = &table[i];

		if (!(e->bits & NAME_USED)) {
			if (!unused)
				unused = e;
		} else if (e->len == len && !memcmp(e->name, name, len)) {
			return e;
		}
	}
	if (ret_free)
		*ret_free = unused;
	return NULL;
}

static void fill(struct name_entry *e, const char *name, size_t len,
		 uint32_t flags)
{
	e->bits = NAME_USED;
	e->flags = flags;
	e->len = (uint8_t)len;
	memcpy(e->name, name, len);
	e->name[len] = '\0';
}

int vmc_name_advertise(struct vmc_session *s, const char *name, uint32_t flags)
{
	size_t len = strnlen(name, VMC_NAME_MAX + 1);
	struct name_entry *e, *unused = NULL;

	if (!vmc_name_valid(name, len) || (flags & ~VMC_NAME_MESSAGES))
		return VMC_ERR_INVAL;
	e = find(s, name_local(s, 0), name, len, &unused);
	if (e && !(e->bits & NAME_GONE))
		return VMC_ERR_EXISTS;
	if (!e && !unused) {
		s->st.limit_names++;
		return VMC_ERR_LIMIT;
	}
	if (e) {
		/* The peer has not been told that it went: it only changes. */
		e->bits &= (uint8_t)~NAME_GONE;
		e->flags = flags;
	} else {
		e = unused;
		fill(e, name, len, flags);
	}
	e->bits |= NAME_WANT;
	s->names_want = true;
	s->n_names_local++;
	return 0;
}

int vmc_name_withdraw(struct vmc_session *s, const char *name)
{
	size_t len = strnlen(name, VMC_NAME_MAX + 1);
	struct name_entry *e = find(s, name_local(s, 0), name, len, NULL);

	if (!e || (e->bits & NAME_GONE))
		return VMC_ERR_NOT_FOUND;
	s->n_names_local--;
	if (e->bits & NAME_KNOWN) {
		e->bits |= NAME_GONE | NAME_WANT;
		s->names_want = true;
	} else {
		e->bits = 0;
	}
	return 0;
}

bool vmc_name_next(const struct vmc_session *s, uint32_t *pos,
		   const char **ret_name, uint32_t *ret_flags)
{
	while (*pos < s->cfg.max_names) {
		const struct name_entry *e = name_peer(s, (*pos)++);

		if ((e->bits & (NAME_USED | NAME_GONE)) != NAME_USED)
			continue;
		*ret_name = e->name;
		*ret_flags = e->flags;
		return true;
	}
	return false;
}

/* A new session: the peer knows none of ours, and its own are not known. */
void names_restart(struct vmc_session *s)
{
	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		struct name_entry *e = name_local(s, i);

		if (e->bits & NAME_GONE)
			e->bits = 0;
		else if (e->bits & NAME_USED)
			e->bits = NAME_USED | NAME_WANT;
		e = name_peer(s, i);
		if (e->bits & NAME_USED)
			e->bits |= NAME_GONE;
	}
	s->n_names_known = 0;
	s->names_want = s->n_names_local > 0;
	s->names_purge = s->n_names_peer > 0;
}

bool names_purge_next(struct vmc_session *s, struct vmc_event *ev)
{
	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		struct name_entry *e = name_peer(s, i);

		if (!(e->bits & NAME_GONE))
			continue;
		e->bits = 0;
		s->n_names_peer--;
		ev->type = VMC_EV_NAME_REMOVED;
		ev->flags = e->flags;
		memcpy(ev->name, e->name, (size_t)e->len + 1);
		return true;
	}
	s->names_purge = false;
	return false;
}

static bool build_one(struct vmc_session *s, struct name_entry *e, uint64_t now)
{
	uint8_t payload[WIRE_CONTROL_MAX];
	struct wire_name a = {.flags = e->flags, .name_len = e->len};
	bool gone = e->bits & NAME_GONE;

	memcpy(a.name, e->name, e->len);
	if (!tx_control(s, gone ? WIRE_WITHDRAW : WIRE_ADVERTISE, 0, 0, payload,
			gone ? wire_put_withdraw(payload, &a)
			     : wire_put_advertise(payload, &a),
			NIL, now))
		return false;
	if (gone) {
		e->bits = 0;
		s->n_names_known--;
	} else {
		if (!(e->bits & NAME_KNOWN))
			s->n_names_known++;
		e->bits = NAME_USED | NAME_KNOWN;
	}
	return true;
}

/* One name that the peer must be told of; false: no room for the frame. */
bool names_build(struct vmc_session *s, uint64_t now)
{
	for (uint32_t i = 0; i < s->cfg.max_names; i++) {
		struct name_entry *e = name_local(s, i);

		if (!(e->bits & NAME_WANT))
			continue;
		/* The peer's table is full: the name waits for a withdrawal. */
		if (!(e->bits & (NAME_GONE | NAME_KNOWN)) &&
		    s->n_names_known >= s->peer_names)
			continue;
		return build_one(s, e, now);
	}
	s->names_want = false;
	return true;
}

int names_restore(struct vmc_session *s, bool ours, const char *name,
		  size_t len, uint32_t flags)
{
	struct name_entry *table = ours ? name_local(s, 0) : name_peer(s, 0);
	struct name_entry *unused;

	if (find(s, table, name, len, &unused))
		return VMC_ERR_BLOB;
	if (!unused)
		return VMC_ERR_LIMIT;
	fill(unused, name, len, flags);
	if (!ours) {
		s->n_names_peer++;
		return 0;
	}
	/* Nobody here offers it yet. */
	unused->bits |= NAME_KNOWN | NAME_GONE | NAME_WANT;
	s->n_names_known++;
	s->names_want = true;
	return 0;
}

/* ---- frames of the peer -------------------------------------------------- */

static void tell(struct vmc_event *ev, enum vmc_event_type type,
		 const struct name_entry *e)
{
	ev->type = type;
	ev->stream = 0;
	ev->flags = e->flags;
	memcpy(ev->name, e->name, (size_t)e->len + 1);
}

void on_advertise(struct vmc_session *s, const struct rx_frame *f,
		  struct vmc_event *ev)
{
	struct name_entry *e, *unused = NULL;
	struct wire_name a;

	if (!wire_get_advertise(f->payload, f->h.len, &a)) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	e = find(s, name_peer(s, 0), a.name, a.name_len, &unused);
	if (!e && !unused) {
		s->st.limit_names++;
		return;
	}
	if (!e) {
		s->n_names_peer++;
		e = unused;
	} else if (e->flags == a.flags) {
		return;
	}
	fill(e, a.name, a.name_len, a.flags);
	tell(ev, VMC_EV_NAME_ADDED, e);
}

void on_withdraw(struct vmc_session *s, const struct rx_frame *f,
		 struct vmc_event *ev)
{
	struct name_entry *e;
	struct wire_name a;

	if (!wire_get_withdraw(f->payload, f->h.len, &a)) {
		session_violation(s, VMC_REASON_PROTOCOL, f->now);
		return;
	}
	e = find(s, name_peer(s, 0), a.name, a.name_len, NULL);
	if (!e)
		return;
	e->bits = 0;
	s->n_names_peer--;
	tell(ev, VMC_EV_NAME_REMOVED, e);
}
