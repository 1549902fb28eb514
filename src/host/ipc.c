/* SPDX-License-Identifier: MIT */
/*
 * ipc.c - the messages between supervisor and worker as bytes
 *
 *	u16 type, then the fields of that type in the order of enum field;
 *	numbers little-endian, strings as u16 length and bytes
 */
#include <string.h>

#include <vmchannel/session.h>

#include "base/bytes.h"
#include "host/ipc.h"

enum field {
	F_REQUEST = 1 << 0,
	F_VALUE = 1 << 1,
	F_ERROR = 1 << 2,
	F_SIZE = 1 << 3,
	F_NAME = 1 << 4,
	F_CALLER = 1 << 5,
	F_STREAM = 1 << 6,
	F_TEXT = 1 << 7,
};

enum fd_rule {
	FD_NEVER,
	FD_ALWAYS,
	FD_IF_ZERO, /* exactly when value is 0 */
};

#define FROM_BOTH (IPC_FROM_SUPERVISOR | IPC_FROM_WORKER)

static const struct kind {
	unsigned int from; /* enum ipc_side, or both */
	unsigned int fields;
	enum fd_rule fd;
} kinds[IPC_TYPE_NUM] = {
	[IPC_CONFIG] = {IPC_FROM_SUPERVISOR, F_VALUE | F_SIZE, FD_ALWAYS},
	[IPC_CONFIG_FAILED] = {IPC_FROM_SUPERVISOR, F_TEXT, FD_NEVER},
	[IPC_LINK] = {IPC_FROM_SUPERVISOR, 0, FD_ALWAYS},
	[IPC_LINK_DETAIL] = {IPC_FROM_SUPERVISOR, F_TEXT, FD_NEVER},
	[IPC_SERVICE] = {IPC_FROM_SUPERVISOR, F_REQUEST | F_VALUE, FD_IF_ZERO},
	[IPC_STOP] = {IPC_FROM_SUPERVISOR, F_VALUE, FD_NEVER},
	[IPC_BUS] = {IPC_FROM_SUPERVISOR, 0, FD_ALWAYS},
	[IPC_HOLD] = {IPC_FROM_SUPERVISOR, 0, FD_NEVER},
	[IPC_THAW] = {IPC_FROM_SUPERVISOR, 0, FD_NEVER},
	[IPC_ADOPT] = {IPC_FROM_SUPERVISOR, F_SIZE, FD_NEVER},
	[IPC_UPGRADE_FAILED] = {IPC_FROM_SUPERVISOR, F_TEXT, FD_NEVER},
	[IPC_CLAIMED] = {IPC_FROM_SUPERVISOR, F_VALUE, FD_NEVER},
	[IPC_READY] = {IPC_FROM_WORKER | IPC_FROM_QMP, 0, FD_NEVER},
	[IPC_LINK_ENDED] = {IPC_FROM_WORKER, F_VALUE | F_ERROR, FD_NEVER},
	[IPC_START] = {IPC_FROM_WORKER,
		       F_REQUEST | F_NAME | F_CALLER | F_STREAM, FD_NEVER},
	[IPC_RELOAD] = {IPC_FROM_WORKER, 0, FD_NEVER},
	[IPC_UPGRADE] = {IPC_FROM_WORKER, 0, FD_NEVER},
	[IPC_HELD] = {IPC_FROM_WORKER, F_VALUE | F_SIZE, FD_NEVER},
	[IPC_ADOPTED] = {IPC_FROM_WORKER, F_VALUE, FD_NEVER},
	[IPC_KEEP] = {IPC_FROM_WORKER, F_REQUEST | F_VALUE, FD_ALWAYS},
	[IPC_DROP] = {IPC_FROM_WORKER, F_REQUEST, FD_NEVER},
	[IPC_MOVED] = {IPC_FROM_WORKER, 0, FD_NEVER},
	[IPC_CLAIM] = {IPC_FROM_WORKER, F_TEXT, FD_NEVER},
	[IPC_GIVE] = {FROM_BOTH, F_REQUEST | F_VALUE, FD_ALWAYS},
	[IPC_LIFE] = {FROM_BOTH, F_VALUE, FD_NEVER},
	[IPC_VMSTATE] = {IPC_FROM_SUPERVISOR, F_VALUE, FD_NEVER},
	[IPC_VM] = {IPC_FROM_SUPERVISOR | IPC_FROM_QMP, F_VALUE, FD_NEVER},
	[IPC_LOOK] = {IPC_FROM_SUPERVISOR, 0, FD_NEVER},
	[IPC_MEND] = {IPC_FROM_SUPERVISOR, F_TEXT, FD_NEVER},
	[IPC_MENDED] = {IPC_FROM_QMP, F_VALUE, FD_NEVER},
};

/* ---- strings: each has a rule, the same both ways ----------------------- */

static bool is_caller(const char *s)
{
	size_t n;

	if (!strncmp(s, "host:", 5))
		s += 5;
	else if (!strncmp(s, "guest:", 6))
		s += 6;
	else
		return false;
	n = strspn(s, "0123456789");
	return n > 0 && n <= 10 && s[n] == '\0';
}

/* Becomes an environment variable of a service. */
static bool is_stream(const char *s)
{
	return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789.:-_")] == '\0';
}

static bool is_text(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	}
	return true;
}

static bool is_name(const char *s)
{
	return vmc_name_valid(s, strlen(s));
}

static const struct string {
	unsigned int field;
	size_t offset;
	size_t max;
	bool (*valid)(const char *s);
} strings[] = {
	{F_NAME, offsetof(struct ipc_msg, name), VMC_NAME_MAX, is_name},
	{F_CALLER, offsetof(struct ipc_msg, caller), IPC_CALLER_MAX, is_caller},
	{F_STREAM, offsetof(struct ipc_msg, stream), IPC_STREAM_MAX, is_stream},
	{F_TEXT, offsetof(struct ipc_msg, text), IPC_TEXT_MAX, is_text},
};

#define N_STRINGS (sizeof(strings) / sizeof(strings[0]))

static bool fd_is_right(const struct kind *k, const struct ipc_msg *m,
			bool has_fd)
{
	switch (k->fd) {
	case FD_NEVER:
		return !has_fd;
	case FD_ALWAYS:
		return has_fd;
	case FD_IF_ZERO:
		return has_fd == (m->value == 0) && m->value <= 0;
	}
	return false;
}

static void put_string(struct wr *w, const struct ipc_msg *m,
		       const struct string *s)
{
	const char *text = (const char *)m + s->offset;
	size_t len = strnlen(text, s->max + 1);

	if (len > s->max || !s->valid(text)) {
		w->bad = true;
		return;
	}
	wr_u16(w, (uint16_t)len);
	wr_bytes(w, text, len);
}

size_t ipc_encode(const struct ipc_msg *m, enum ipc_side from, bool has_fd,
		  uint8_t buf[IPC_BYTES_MAX])
{
	struct wr w = wr_init(buf, IPC_BYTES_MAX);
	const struct kind *k;

	if (m->type <= IPC_NONE || m->type >= IPC_TYPE_NUM)
		return 0;
	k = &kinds[m->type];
	if (!(k->from & (unsigned int)from) || !fd_is_right(k, m, has_fd))
		return 0;
	wr_u16(&w, (uint16_t)m->type);
	if (k->fields & F_REQUEST)
		wr_u64(&w, m->request);
	if (k->fields & F_VALUE)
		wr_u32(&w, (uint32_t)m->value);
	if (k->fields & F_ERROR)
		wr_u32(&w, (uint32_t)m->error);
	if (k->fields & F_SIZE)
		wr_u32(&w, m->size);
	for (size_t i = 0; i < N_STRINGS; i++) {
		if (k->fields & strings[i].field)
			put_string(&w, m, &strings[i]);
	}
	return w.bad ? 0 : IPC_BYTES_MAX - w.left;
}

static void get_string(struct rd *r, struct ipc_msg *m, const struct string *s)
{
	char *text = (char *)m + s->offset;
	size_t len = rd_u16(r);
	const uint8_t *p;

	if (len > s->max) {
		r->bad = true;
		return;
	}
	p = rd_bytes(r, len);
	if (!p)
		return;
	memcpy(text, p, len);
	text[len] = '\0';
	if (memchr(text, '\0', len) || !s->valid(text))
		r->bad = true;
}

bool ipc_decode(struct ipc_msg *ret, enum ipc_side from, bool has_fd,
		const uint8_t *buf, size_t len)
{
	struct rd r = rd_init(buf, len);
	struct ipc_msg m = {0};
	unsigned int type = rd_u16(&r);
	const struct kind *k;

	if (r.bad || type <= IPC_NONE || type >= IPC_TYPE_NUM)
		return false;
	m.type = (enum ipc_type)type;
	k = &kinds[type];
	if (!(k->from & (unsigned int)from))
		return false;
	if (k->fields & F_REQUEST)
		m.request = rd_u64(&r);
	if (k->fields & F_VALUE)
		m.value = (int32_t)rd_u32(&r);
	if (k->fields & F_ERROR)
		m.error = (int32_t)rd_u32(&r);
	if (k->fields & F_SIZE)
		m.size = rd_u32(&r);
	for (size_t i = 0; i < N_STRINGS; i++) {
		if (k->fields & strings[i].field)
			get_string(&r, &m, &strings[i]);
	}
	if (!rd_done(&r) || !fd_is_right(k, &m, has_fd))
		return false;
	*ret = m;
	return true;
}
