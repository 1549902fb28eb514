/* SPDX-License-Identifier: MIT */
/* net_table.c - the interfaces and addresses that there are */
#include "guest/net_table.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for one more. Return: false: there is none. */
static bool grow(void **list, size_t n, size_t max, size_t size)
{
	void *p;

	/* It doubles: there is room unless n is a power of two. */
	if (n >= max)
		return false;
	if (n & (n - 1))
		return true;
	p = reallocarray(*list, n ? 2 * n : 1, size);
	if (p)
		*list = p;
	return p != NULL;
}

/* ---- interfaces ---------------------------------------------------------- */

static struct net_link *find_link(const struct net_table *t, int index)
{
	for (size_t i = 0; i < t->n_links; i++)
		if (t->links[i].index == index)
			return &t->links[i];
	return NULL;
}

static void drop_addrs(struct net_table *t, int index)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_addrs; i++)
		if (t->addrs[i].index != index)
			t->addrs[n++] = t->addrs[i];
	t->n_addrs = n;
}

static void drop_link(struct net_table *t, int index)
{
	struct net_link *l = find_link(t, index);

	if (!l)
		return;
	drop_addrs(t, index);
	memmove(l, l + 1,
		(size_t)(t->links + t->n_links - (l + 1)) * sizeof(*l));
	t->n_links--;
}

static void put_link(struct net_table *t, const struct net_link *link)
{
	struct net_link *l = find_link(t, link->index);
	void *list = t->links;

	if (!l && grow(&list, t->n_links, NET_LINKS_MAX, sizeof(*l))) {
		t->links = list;
		l = &t->links[t->n_links++];
	}
	if (l)
		*l = *link;
	else
		t->left_out++;
}

/* ---- addresses ----------------------------------------------------------- */

static struct net_addr *find_addr(const struct net_table *t,
				  const struct net_addr *addr)
{
	for (size_t i = 0; i < t->n_addrs; i++)
		if (t->addrs[i].index == addr->index &&
		    t->addrs[i].family == addr->family &&
		    t->addrs[i].prefix == addr->prefix &&
		    memcmp(t->addrs[i].addr, addr->addr, sizeof(addr->addr)) ==
			    0)
			return &t->addrs[i];
	return NULL;
}

static void drop_addr(struct net_table *t, const struct net_addr *addr)
{
	struct net_addr *a = find_addr(t, addr);

	if (!a)
		return;
	memmove(a, a + 1,
		(size_t)(t->addrs + t->n_addrs - (a + 1)) * sizeof(*a));
	t->n_addrs--;
}

static void put_addr(struct net_table *t, const struct net_addr *addr)
{
	struct net_addr *a = find_addr(t, addr);
	void *list = t->addrs;

	if (!a && grow(&list, t->n_addrs, NET_ADDRS_MAX, sizeof(*a))) {
		t->addrs = list;
		a = &t->addrs[t->n_addrs++];
	}
	if (a)
		*a = *addr;
	else
		t->left_out++;
}

/* ---- the table ----------------------------------------------------------- */

void net_table_feed(const struct net_msg *m, void *data)
{
	struct net_table *t = data;
	struct net_link link;
	struct net_addr addr;

	if (net_link_parse(m, &link)) {
		if (m->type == RTM_DELLINK)
			drop_link(t, link.index);
		else
			put_link(t, &link);
	} else if (net_addr_parse(m, &addr)) {
		if (m->type == RTM_DELADDR)
			drop_addr(t, &addr);
		else
			put_addr(t, &addr);
	}
}

void net_table_done(struct net_table *t)
{
	free(t->links);
	free(t->addrs);
	*t = (struct net_table){.links = NULL};
}

const struct net_link *net_table_link(const struct net_table *t, int index)
{
	return find_link(t, index);
}

const struct net_addr *net_table_addr(const struct net_table *t, int index,
				      size_t *at)
{
	while (*at < t->n_addrs)
		if (t->addrs[(*at)++].index == index)
			return &t->addrs[*at - 1];
	return NULL;
}

static bool has_addr(const struct net_table *t, const struct net_addr *addr)
{
	const struct net_addr *a = find_addr(t, addr);

	return a && net_addr_same(a, addr);
}

static bool addrs_within(const struct net_table *a, const struct net_table *b,
			 int index)
{
	const struct net_addr *addr;
	size_t at = 0;

	while ((addr = net_table_addr(a, index, &at)) != NULL)
		if (!has_addr(b, addr))
			return false;
	return true;
}

bool net_table_same(const struct net_table *a, const struct net_table *b,
		    int index)
{
	const struct net_link *x = find_link(a, index);
	const struct net_link *y = find_link(b, index);

	if (!x || !y)
		return !x && !y;
	return x->up == y->up && x->state == y->state &&
	       strcmp(x->name, y->name) == 0 && addrs_within(a, b, index) &&
	       addrs_within(b, a, index);
}

/* As much room as grow() believes to be there. */
static void *copy_list(const void *list, size_t n, size_t size)
{
	size_t room = 1;
	void *p;

	while (room < n)
		room *= 2;
	p = reallocarray(NULL, room, size);
	if (p && n > 0)
		memcpy(p, list, n * size);
	return p;
}

bool net_table_copy(struct net_table *to, const struct net_table *from)
{
	struct net_link *links =
		copy_list(from->links, from->n_links, sizeof(*links));
	struct net_addr *addrs =
		copy_list(from->addrs, from->n_addrs, sizeof(*addrs));

	if (!links || !addrs) {
		free(links);
		free(addrs);
		return false;
	}
	net_table_done(to);
	*to = *from;
	to->links = links;
	to->addrs = addrs;
	return true;
}
