/* SPDX-License-Identifier: MIT */
/*
 * bus_ipc.c - the messages between bus process and worker as bytes
 *
 *	u16 version, u16 type, u32 result, u32 size, u8[16] id; little-endian;
 *	a field that the type does not have is 0
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/bus_ipc.h"
#include "host/packet.h"

enum field {
	F_RESULT = 1 << 0,
	F_SIZE = 1 << 1,
	F_ID = 1 << 2,
};

_Static_assert(12 + BUS_ID_SIZE == BUS_MSG_BYTES, "all fields");

static const struct kind {
	enum bus_side from;
	unsigned int fields;
	bool fd;
} kinds[BUS_TYPE_NUM] = {
	[BUS_WORKER] = {BUS_FROM_SUPERVISOR, 0, true},
	[BUS_STATE] = {BUS_FROM_BUS, 0, true},
	[BUS_QEMU] = {BUS_FROM_BUS, F_RESULT, false},
	[BUS_SAVE] = {BUS_FROM_BUS, F_ID, false},
	[BUS_SAVED] = {BUS_FROM_WORKER, F_SIZE | F_ID, false},
	[BUS_LOAD] = {BUS_FROM_BUS, F_SIZE | F_ID, false},
	[BUS_LOADED] = {BUS_FROM_WORKER, F_RESULT | F_ID, false},
};

/* The same rules both ways. */
static bool is_legal(const struct bus_msg *m, enum bus_side from, bool has_fd)
{
	static const uint8_t zero[BUS_ID_SIZE];
	const struct kind *k;

	if (m->type <= BUS_NONE || m->type >= BUS_TYPE_NUM)
		return false;
	k = &kinds[m->type];
	if (k->from != from || k->fd != has_fd || m->size > BUS_AREA)
		return false;
	return (k->fields & F_RESULT || m->result == 0) &&
	       (k->fields & F_SIZE || m->size == 0) &&
	       (k->fields & F_ID || memcmp(m->id, zero, sizeof(zero)) == 0);
}

bool bus_encode(const struct bus_msg *m, enum bus_side from, bool has_fd,
		uint8_t buf[BUS_MSG_BYTES])
{
	if (!is_legal(m, from, has_fd))
		return false;
	le16_put(buf, m->version ? m->version : BUS_VERSION);
	le16_put(buf + 2, (uint16_t)m->type);
	le32_put(buf + 4, (uint32_t)m->result);
	le32_put(buf + 8, m->size);
	memcpy(buf + 12, m->id, sizeof(m->id));
	return true;
}

bool bus_decode(struct bus_msg *ret, enum bus_side from, bool has_fd,
		const uint8_t *buf, size_t len)
{
	struct rd r = rd_init(buf, len);
	struct bus_msg m = {0};
	const uint8_t *id;
	unsigned int type;

	m.version = rd_u16(&r);
	type = rd_u16(&r);
	m.result = (int32_t)rd_u32(&r);
	m.size = rd_u32(&r);
	id = rd_bytes(&r, sizeof(m.id));
	if (!id || !rd_done(&r) || type >= BUS_TYPE_NUM ||
	    m.version < BUS_VERSION_OLD || m.version > BUS_VERSION)
		return false;
	memcpy(m.id, id, sizeof(m.id));
	m.type = (enum bus_type)type;
	if (!is_legal(&m, from, has_fd))
		return false;
	*ret = m;
	return true;
}

int bus_ipc_send(int sock, const struct bus_msg *m, enum bus_side from, int fd)
{
	uint8_t buf[BUS_MSG_BYTES];

	if (!bus_encode(m, from, fd >= 0, buf))
		return -EINVAL;
	return packet_send(sock, buf, sizeof(buf), fd);
}

int bus_ipc_recv(int sock, struct bus_msg *ret, enum bus_side from, int *ret_fd)
{
	/* One more than a message, so that a longer one is seen. */
	uint8_t buf[BUS_MSG_BYTES + 1];
	int fd = -1;
	ssize_t n = packet_recv(sock, buf, sizeof(buf), &fd);

	if (n <= 0)
		return (int)n;
	if (bus_decode(ret, from, fd >= 0, buf, (size_t)n)) {
		*ret_fd = fd;
		return 1;
	}
	if (fd >= 0)
		close(fd);
	return -EPROTO;
}
