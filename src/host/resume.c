/* SPDX-License-Identifier: MIT */
/*
 * resume.c - the supervisor's own state as bytes
 */
#include "host/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

#define RESUME_MAGIC 0x31304d5355534d56u /* "VMSUSM01" */

enum item_kind {
	ITEM_FD,   /* int; left out if there is none */
	ITEM_INT,  /* int or an enum of its size */
	ITEM_TIME, /* uint64_t */
	ITEM_FLAG, /* bool */
};

/* Numbers are for ever: an item that is given up leaves a hole. */
enum {
	TYPE_CHILD = 64, /* u32 pid, service */
	TYPE_KEPT = 65,  /* u32 fd, u32 kind, u64 request */
};

#define AT(member) offsetof(struct supervisor, member)

static const struct item {
	uint16_t type;
	enum item_kind kind;
	size_t at;
} items[] = {
	{1, ITEM_FD, AT(vm_fds[0])},
	{2, ITEM_FD, AT(vm_fds[1])},
	{3, ITEM_FD, AT(vm_fds[2])},
	{4, ITEM_FD, AT(pair)},
	{5, ITEM_INT, AT(worker)},
	{6, ITEM_FLAG, AT(worker_ready)},
	{7, ITEM_FD, AT(link_fd)},
	{8, ITEM_FLAG, AT(link.was_up)},
	{9, ITEM_TIME, AT(link.since_ms)},
	{10, ITEM_FD, AT(state_fd)},
	{11, ITEM_FD, AT(arena_fd)},
	{12, ITEM_FLAG, AT(announced)},
	{13, ITEM_INT, AT(life)},
	{14, ITEM_FLAG, AT(up.asked)},
	{15, ITEM_TIME, AT(linger_ms)},
	{16, ITEM_TIME, AT(started_ms)},
	{17, ITEM_INT, AT(n_deaths)},
	{18, ITEM_TIME, AT(deaths[0])},
	{19, ITEM_TIME, AT(deaths[1])},
	{20, ITEM_TIME, AT(deaths[2])},
	{21, ITEM_TIME, AT(deaths[3])},
	{22, ITEM_TIME, AT(deaths[4])},
	{23, ITEM_FLAG, AT(link.searching)},
	/* Or an upgrade would make the worker free to ask for more. */
	{24, ITEM_INT, AT(upgrades.n)},
	{25, ITEM_TIME, AT(upgrades.at_ms[0])},
	{26, ITEM_TIME, AT(upgrades.at_ms[1])},
	{27, ITEM_TIME, AT(upgrades.at_ms[2])},
	{28, ITEM_TIME, AT(upgrades.at_ms[3])},
	{29, ITEM_TIME, AT(upgrades.at_ms[4])},
	{30, ITEM_TIME, AT(upgrades.at_ms[5])},
	{31, ITEM_TIME, AT(upgrades.at_ms[6])},
	{32, ITEM_TIME, AT(upgrades.at_ms[7])},
	{33, ITEM_INT, AT(upgrades.refused)},
	{34, ITEM_FLAG, AT(bus_lost)},
	/* A worker that hears of it is of a program that has it. */
	{35, ITEM_FLAG, AT(qmp.listens)},
	{40, ITEM_FD, AT(bus_listener)},
	{41, ITEM_FD, AT(bus_pair)},
	{42, ITEM_FD, AT(bus_fd)},
	{43, ITEM_INT, AT(bus_pid)},
	{44, ITEM_TIME, AT(bus_start_ms)},
	{45, ITEM_TIME, AT(bus_restart_ms)},
};

_Static_assert(DEATHS_MAX == 5, "all deaths have their item");
_Static_assert(RATE_MAX == 8, "all upgrades have their item");
_Static_assert(sizeof(pid_t) == sizeof(int) && sizeof(enum life) == sizeof(int),
	       "as items[] says");

#define N_ITEMS (sizeof(items) / sizeof(items[0]))

/* ---- writing ---- */

static void put(struct wr *w, uint16_t type, const void *bytes, size_t len)
{
	wr_u16(w, type);
	wr_u16(w, (uint16_t)len);
	wr_bytes(w, bytes, len);
}

static uint64_t get_value(const struct supervisor *s, const struct item *i)
{
	const char *p = (const char *)s + i->at;
	uint64_t time;
	bool flag;
	int n;

	switch (i->kind) {
	case ITEM_TIME:
		memcpy(&time, p, sizeof(time));
		return time;
	case ITEM_FLAG:
		memcpy(&flag, p, sizeof(flag));
		return flag;
	case ITEM_FD:
	case ITEM_INT:
		break;
	}
	memcpy(&n, p, sizeof(n));
	return (uint64_t)(int64_t)n;
}

static void put_items(struct wr *w, const struct supervisor *s)
{
	for (size_t i = 0; i < N_ITEMS; i++) {
		uint8_t bytes[8];
		uint64_t v = get_value(s, &items[i]);

		if (items[i].kind == ITEM_FD && (int64_t)v < 0)
			continue;
		le64_put(bytes, v);
		put(w, items[i].type, bytes, sizeof(bytes));
	}
}

static void put_child(struct wr *w, const struct child *c)
{
	uint8_t bytes[4 + VMC_NAME_MAX];
	size_t len = strlen(c->service);

	le32_put(bytes, (uint32_t)c->pid);
	memcpy(bytes + 4, c->service, len);
	put(w, TYPE_CHILD, bytes, 4 + len);
}

static void put_kept(struct wr *w, const struct kept *k)
{
	uint8_t bytes[16];

	le32_put(bytes, (uint32_t)k->fd);
	le32_put(bytes + 4, (uint32_t)k->kind);
	le64_put(bytes + 8, k->request);
	put(w, TYPE_KEPT, bytes, sizeof(bytes));
}

static int to_memfd(const uint8_t *buf, size_t len)
{
	int fd = memfd_create("vmchannel-supervisor", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, buf, len) == (ssize_t)len)
		return fd;
	close(fd);
	return -EIO;
}

int resume_write(const struct supervisor *s)
{
	uint8_t *buf = malloc(RESUME_MAX);
	struct wr w = wr_init(buf, RESUME_MAX);
	int r;

	if (!buf)
		return -ENOMEM;
	wr_u64(&w, RESUME_MAGIC);
	put_items(&w, s);
	for (size_t i = 0; i < s->children.n; i++)
		put_child(&w, &s->children.list[i]);
	for (size_t i = 0; i < s->keep.n; i++)
		put_kept(&w, &s->keep.list[i]);
	r = w.bad ? -E2BIG : to_memfd(buf, RESUME_MAX - w.left);
	free(buf);
	return r;
}

/* ---- reading ---- */

static void set_value(struct supervisor *s, const struct item *i, uint64_t v)
{
	char *p = (char *)s + i->at;
	bool flag = v != 0;
	int n = (int)v;

	switch (i->kind) {
	case ITEM_TIME:
		memcpy(p, &v, sizeof(v));
		return;
	case ITEM_FLAG:
		memcpy(p, &flag, sizeof(flag));
		return;
	case ITEM_FD:
	case ITEM_INT:
		memcpy(p, &n, sizeof(n));
		return;
	}
}

static int get_child(struct supervisor *s, struct rd r)
{
	char service[VMC_NAME_MAX + 1] = "";
	uint32_t pid = rd_u32(&r);
	size_t len = r.left;
	const uint8_t *p;
	int error;

	if (r.bad || len >= sizeof(service))
		return -EBADMSG;
	p = rd_bytes(&r, len);
	if (p)
		memcpy(service, p, len);
	error = children_reserve(&s->children, service, CHILDREN_MAX);
	if (error == 0)
		children_add(&s->children, (pid_t)pid, service);
	return error;
}

static int get_kept(struct supervisor *s, struct rd r)
{
	uint32_t fd = rd_u32(&r);
	uint32_t kind = rd_u32(&r);
	uint64_t request = rd_u64(&r);

	if (!rd_done(&r))
		return -EBADMSG;
	return keep_add(&s->keep, request, (int32_t)kind, (int)fd);
}

static int get_item(struct supervisor *s, unsigned int type, struct rd r)
{
	if (type == TYPE_CHILD)
		return get_child(s, r);
	if (type == TYPE_KEPT)
		return get_kept(s, r);
	for (size_t i = 0; i < N_ITEMS; i++) {
		uint64_t v;

		if (items[i].type != type)
			continue;
		v = rd_u64(&r);
		if (!rd_done(&r))
			return -EBADMSG;
		set_value(s, &items[i], v);
	}
	return 0;
}

static int get_all(struct supervisor *s, struct rd r)
{
	int error = rd_u64(&r) == RESUME_MAGIC ? 0 : -EPROTONOSUPPORT;

	while (error == 0 && !r.bad && r.left > 0) {
		unsigned int type = rd_u16(&r);
		size_t len = rd_u16(&r);
		const uint8_t *p = rd_bytes(&r, len);

		if (p)
			error = get_item(s, type, rd_init(p, len));
	}
	return error == 0 && r.bad ? -EBADMSG : error;
}

int resume_read(struct supervisor *s, int fd)
{
	uint8_t *buf = malloc(RESUME_MAX);
	ssize_t n;
	int r;

	if (!buf)
		return -ENOMEM;
	n = pread(fd, buf, RESUME_MAX, 0);
	r = n < 0 ? -errno : get_all(s, rd_init(buf, (size_t)n));
	free(buf);
	return r;
}

/* ---- descriptors ---- */

static void inherit(int fd, bool yes)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, yes ? 0 : FD_CLOEXEC);
}

void resume_inherit(const struct supervisor *s, bool yes)
{
	for (size_t i = 0; i < N_ITEMS; i++) {
		if (items[i].kind == ITEM_FD)
			inherit((int)get_value(s, &items[i]), yes);
	}
	for (size_t i = 0; i < s->keep.n; i++)
		inherit(s->keep.list[i].fd, yes);
}
