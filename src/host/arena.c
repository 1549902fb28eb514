/* SPDX-License-Identifier: MIT */
/*
 * arena.c - map the shared session, judge what is in it
 */
#include "host/arena.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_MAGIC 0x316e657261636d76u /* "vmcaren1" */
#define HEAD_ROOM   64u		    /* keeps what follows aligned */

_Static_assert(sizeof(struct arena_head) <= HEAD_ROOM, "the head fits");

/* ---- which program is this? ---- */

static bool take_note(const ElfW(Nhdr) *n, uint8_t ret[ARENA_BUILD_LEN])
{
	const uint8_t *name = (const uint8_t *)(n + 1);
	size_t name_len = (n->n_namesz + 3u) & ~(size_t)3;
	size_t len = n->n_descsz;

	if (n->n_type != NT_GNU_BUILD_ID || n->n_namesz != 4 ||
	    memcmp(name, "GNU", 4) != 0)
		return false;
	memcpy(ret, name + name_len,
	       len < ARENA_BUILD_LEN ? len : ARENA_BUILD_LEN);
	return true;
}

static bool search_notes(const uint8_t *p, size_t len,
			 uint8_t ret[ARENA_BUILD_LEN])
{
	while (len >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *n = (const ElfW(Nhdr) *)(const void *)p;
		size_t all = sizeof(*n) + ((n->n_namesz + 3u) & ~(size_t)3) +
			     ((n->n_descsz + 3u) & ~(size_t)3);

		if (all > len)
			return false;
		if (take_note(n, ret))
			return true;
		p += all;
		len -= all;
	}
	return false;
}

/* The first object is the program itself. */
static int look_at_program(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	for (unsigned int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const uint8_t *p = (const uint8_t *)info->dlpi_addr;

		if (ph->p_type == PT_NOTE &&
		    search_notes(p + ph->p_vaddr, ph->p_memsz, data))
			return 1;
	}
	return -1;
}

/* Nothing is believed that a program without a build id has left: it cannot be
 * told from another. */
static bool build_id(uint8_t ret[ARENA_BUILD_LEN])
{
	memset(ret, 0, ARENA_BUILD_LEN);
	return dl_iterate_phdr(look_at_program, ret) == 1;
}

/* ---- the arena ---- */

static void set_head(struct arena *a)
{
	a->head->magic = 0; /* valid only when all of it is */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	a->head->turn = 1; /* until the first turn has ended */
	if (!build_id(a->head->build))
		return;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	a->head->magic = ARENA_MAGIC;
}

void arena_forget(struct arena *a)
{
	a->left = false;
	memset(a->mem, 0, a->size);
	set_head(a);
}

static bool same_program(const struct arena_head *h)
{
	uint8_t mine[ARENA_BUILD_LEN];

	return h->magic == ARENA_MAGIC && build_id(mine) &&
	       memcmp(h->build, mine, sizeof(mine)) == 0;
}

int arena_open(struct arena *ret, int fd)
{
	uint8_t *p = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct arena){
		.head = (struct arena_head *)(void *)p,
		.mem = p + HEAD_ROOM,
		.size = ARENA_SIZE - HEAD_ROOM,
	};
	ret->torn = ret->head->magic != 0 && ret->head->turn % 2 != 0;
	ret->left = same_program(ret->head) && !ret->torn;
	if (!ret->left && ret->head->magic != 0)
		arena_forget(ret);
	else if (!ret->left)
		set_head(ret);
	return 0;
}
