/* SPDX-License-Identifier: MIT */
/*
 * list.h - doubly linked lists of array indices
 *
 * No pointers, so that the array may be mapped at another address later. The
 * links of all elements lie in one array of struct link, an element's index
 * there is its name. An element is on at most one list that uses that array.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stdint.h>

#define LIST_NIL      0xffffu /* no element */
#define LIST_UNLINKED 0xfffeu /* in .next: on no list */

struct link {
	uint16_t next, prev;
};

struct list {
	uint16_t first, last;
};

static inline void list_init(struct list *l)
{
	l->first = l->last = LIST_NIL;
}

static inline void link_init(struct link *links, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		links[i].next = links[i].prev = LIST_UNLINKED;
}

static inline bool list_empty(const struct list *l)
{
	return l->first == LIST_NIL;
}

static inline bool list_has(const struct link *links, uint16_t i)
{
	return links[i].next != LIST_UNLINKED;
}

static inline void list_append(struct link *links, struct list *l, uint16_t i)
{
	links[i].next = LIST_NIL;
	links[i].prev = l->last;
	if (l->last == LIST_NIL)
		l->first = i;
	else
		links[l->last].next = i;
	l->last = i;
}

static inline void list_remove(struct link *links, struct list *l, uint16_t i)
{
	uint16_t next = links[i].next, prev = links[i].prev;

	if (prev == LIST_NIL)
		l->first = next;
	else
		links[prev].next = next;
	if (next == LIST_NIL)
		l->last = prev;
	else
		links[next].prev = prev;
	links[i].next = links[i].prev = LIST_UNLINKED;
}

#endif /* BASE_LIST_H */
