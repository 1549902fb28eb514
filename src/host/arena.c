/* SPDX-License-Identifier: MIT */
/*
 * arena.c - map the shared session, judge what is in it
 */
#include "host/arena.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define ARENA_MAGIC 0x316e657261636d76u /* "vmcaren1" */
#define HEAD_ROOM   64u                 /* keeps what follows aligned */

_Static_assert(sizeof(struct arena_head) <= HEAD_ROOM, "the head fits");

/* ---- which program is this? ---- */

#if __SIZEOF_POINTER__ == 8
typedef Elf64_Phdr elf_phdr;
typedef Elf64_Nhdr elf_nhdr;
#else
typedef Elf32_Phdr elf_phdr;
typedef Elf32_Nhdr elf_nhdr;
#endif

static size_t padded(size_t n)
{
	return (n + 3u) & ~(size_t)3;
}

static bool is_build_id(const elf_nhdr *n)
{
	return n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
	       memcmp(n + 1, "GNU", 4) == 0;
}

static bool search_notes(const uint8_t *p, size_t len,
			 uint8_t ret[ARENA_BUILD_LEN])
{
	while (len >= sizeof(elf_nhdr)) {
		const elf_nhdr *n = (const elf_nhdr *)(const void *)p;
		size_t head = sizeof(*n) + padded(n->n_namesz);
		size_t id = n->n_descsz;

		if (head + padded(id) > len)
			return false;
		if (is_build_id(n)) {
			memcpy(ret, p + head,
			       id < ARENA_BUILD_LEN ? id : ARENA_BUILD_LEN);
			return true;
		}
		p += head + padded(id);
		len -= head + padded(id);
	}
	return false;
}

/* Nothing is believed that a program without a build id has left: it cannot be
 * told from another. */
static bool build_id(uint8_t ret[ARENA_BUILD_LEN])
{
	/* Where the kernel has put the program's own headers. */
	uintptr_t at = getauxval(AT_PHDR);
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel's number */
	const elf_phdr *ph = (const elf_phdr *)at;
	unsigned long n = at ? getauxval(AT_PHNUM) : 0;
	uintptr_t base = 0;

	memset(ret, 0, ARENA_BUILD_LEN);
	for (unsigned long i = 0; i < n; i++) {
		if (ph[i].p_type == PT_PHDR)
			base = at - ph[i].p_vaddr;
	}
	for (unsigned long i = 0; i < n; i++) {
		if (ph[i].p_type != PT_NOTE)
			continue;
		at = base + ph[i].p_vaddr;
		/* NOLINTNEXTLINE(performance-no-int-to-ptr): as above */
		if (search_notes((const uint8_t *)at, ph[i].p_memsz, ret))
			return true;
	}
	return false;
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
	if (same_program(ret->head)) {
		ret->torn = ret->head->turn % 2 != 0;
		ret->left = !ret->torn;
		ret->head->turn |= 1u; /* until our first turn has ended */
		return 0;
	}
	if (ret->head->magic != 0)
		arena_forget(ret);
	else
		set_head(ret);
	return 0;
}
