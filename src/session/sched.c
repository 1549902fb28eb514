/* SPDX-License-Identifier: MIT */
/* sched.c - two-level deficit round robin, fresh members first */
#include "session/sched.h"

#include <assert.h>
#include <string.h>

#include "base/list.h"

enum fq_where {
	FQ_ABSENT,
	FQ_FRESH,
	FQ_OLD,
};

/* A member of a queue: a stream of an owner, or an owner. */
struct fq_node {
	int32_t deficit; /* bytes left of this turn; may be below 0 */
	uint8_t where;   /* enum fq_where */
	uint8_t weight;  /* 0: not in use */
	uint8_t backlogged;
	uint16_t owner; /* streams only: index of the owner */
};

struct fq {
	struct list fresh, old;
};

struct owner {
	uint64_t key;
	struct fq streams;
	uint16_t n_streams, n_backlogged;
};

struct sched {
	uint32_t n;
	int32_t quantum;
	struct fq owners;
};

static struct owner *owners_of(const struct sched *sc)
{
	/* The block is never const, only some callers' view of it is. */
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	return (struct owner *)((uintptr_t)sc + sizeof(*sc));
}

static struct fq_node *stream_nodes(const struct sched *sc)
{
	return (struct fq_node *)(void *)(owners_of(sc) + sc->n);
}

static struct fq_node *owner_nodes(const struct sched *sc)
{
	return stream_nodes(sc) + sc->n;
}

static struct link *stream_links(const struct sched *sc)
{
	return (struct link *)(void *)(owner_nodes(sc) + sc->n);
}

static struct link *owner_links(const struct sched *sc)
{
	return stream_links(sc) + sc->n;
}

size_t sched_size(uint32_t n)
{
	return sizeof(struct sched) +
	       n * (sizeof(struct owner) + 2 * sizeof(struct fq_node) +
		    2 * sizeof(struct link));
}

static void fq_init(struct fq *q)
{
	list_init(&q->fresh);
	list_init(&q->old);
}

void sched_init(struct sched *sc, uint32_t n, uint32_t quantum)
{
	memset(sc, 0, sched_size(n));
	sc->n = n;
	sc->quantum = (int32_t)quantum;
	fq_init(&sc->owners);
	link_init(stream_links(sc), 2 * n);
}

void sched_set_quantum(struct sched *sc, uint32_t quantum)
{
	sc->quantum = (int32_t)quantum;
}

static void fq_leave(struct fq *q, struct fq_node *node, struct link *links,
		     uint16_t i)
{
	if (node->where == FQ_ABSENT)
		return;
	list_remove(links, node->where == FQ_FRESH ? &q->fresh : &q->old, i);
	node->where = FQ_ABSENT;
}

static void fq_to_old(struct fq *q, struct fq_node *node, struct link *links,
		      uint16_t i)
{
	fq_leave(q, node, links, i);
	list_append(links, &q->old, i);
	node->where = FQ_OLD;
}

static void fq_set(const struct sched *sc, struct fq *q, struct fq_node *node,
		   struct link *links, uint16_t i, bool backlogged)
{
	if (node->backlogged == backlogged)
		return;
	node->backlogged = backlogged;
	if (!backlogged) {
		/* Its turn ends here, as it would at the next pick. */
		if (node->deficit <= 0)
			node->deficit += sc->quantum * node->weight;
		fq_to_old(q, node, links, i);
		return;
	}
	if (node->where != FQ_ABSENT)
		return;
	node->deficit = sc->quantum * node->weight;
	list_append(links, &q->fresh, i);
	node->where = FQ_FRESH;
}

static uint16_t fq_pick(const struct sched *sc, struct fq *q,
			struct fq_node *nodes, struct link *links)
{
	for (;;) {
		uint16_t i =
			!list_empty(&q->fresh) ? q->fresh.first : q->old.first;

		if (i == LIST_NIL)
			return SCHED_NONE;
		if (!nodes[i].backlogged) {
			fq_leave(q, &nodes[i], links, i);
			continue;
		}
		if (nodes[i].deficit > 0)
			return i;
		nodes[i].deficit += sc->quantum * nodes[i].weight;
		fq_to_old(q, &nodes[i], links, i);
	}
}

static uint16_t owner_find(const struct sched *sc, uint64_t key)
{
	const struct owner *owners = owners_of(sc);
	uint16_t unused = SCHED_NONE;

	for (uint16_t i = 0; i < sc->n; i++) {
		if (!owners[i].n_streams) {
			if (unused == SCHED_NONE)
				unused = i;
		} else if (owners[i].key == key) {
			return i;
		}
	}
	return unused;
}

void sched_add(struct sched *sc, uint16_t i, uint64_t owner,
	       unsigned int weight)
{
	struct fq_node *node = &stream_nodes(sc)[i];
	uint16_t o = owner_find(sc, owner);
	struct owner *ow = &owners_of(sc)[o];

	assert(i < sc->n && !node->weight);
	assert(weight >= 1 && weight <= SCHED_WEIGHT_MAX);
	if (!ow->n_streams) {
		ow->key = owner;
		fq_init(&ow->streams);
		owner_nodes(sc)[o].weight = 1;
	}
	ow->n_streams++;
	*node = (struct fq_node){.weight = (uint8_t)weight, .owner = o};
}

/* The owner's round has passed, and so have the places of its streams. */
static void forget_places(const struct sched *sc, struct owner *ow)
{
	uint16_t i;

	while ((i = ow->streams.old.first) != LIST_NIL)
		fq_leave(&ow->streams, &stream_nodes(sc)[i], stream_links(sc),
			 i);
}

void sched_set(struct sched *sc, uint16_t i, bool backlogged)
{
	struct fq_node *node = &stream_nodes(sc)[i];
	struct owner *ow = &owners_of(sc)[node->owner];

	if (!node->weight || node->backlogged == backlogged)
		return;
	if (owner_nodes(sc)[node->owner].where == FQ_ABSENT)
		forget_places(sc, ow);
	fq_set(sc, &ow->streams, node, stream_links(sc), i, backlogged);
	if (backlogged)
		ow->n_backlogged++;
	else
		ow->n_backlogged--;
	fq_set(sc, &sc->owners, &owner_nodes(sc)[node->owner], owner_links(sc),
	       node->owner, ow->n_backlogged > 0);
}

void sched_remove(struct sched *sc, uint16_t i)
{
	struct fq_node *node = &stream_nodes(sc)[i];
	struct owner *ow = &owners_of(sc)[node->owner];
	struct fq_node *onode = &owner_nodes(sc)[node->owner];

	if (!node->weight)
		return;
	sched_set(sc, i, false);
	fq_leave(&ow->streams, node, stream_links(sc), i);
	node->weight = 0;
	if (--ow->n_streams)
		return;
	fq_leave(&sc->owners, onode, owner_links(sc), node->owner);
	onode->weight = 0;
}

uint16_t sched_pick(struct sched *sc)
{
	uint16_t o = fq_pick(sc, &sc->owners, owner_nodes(sc), owner_links(sc));

	if (o == SCHED_NONE)
		return SCHED_NONE;
	return fq_pick(sc, &owners_of(sc)[o].streams, stream_nodes(sc),
		       stream_links(sc));
}

void sched_charge(struct sched *sc, uint16_t i, uint32_t bytes)
{
	struct fq_node *node = &stream_nodes(sc)[i];

	node->deficit -= (int32_t)bytes;
	owner_nodes(sc)[node->owner].deficit -= (int32_t)bytes;
}

void sched_give_way(struct sched *sc, uint16_t i)
{
	struct fq_node *node = &stream_nodes(sc)[i];
	struct fq_node *onode = &owner_nodes(sc)[node->owner];
	struct owner *ow = &owners_of(sc)[node->owner];

	if (node->where == FQ_FRESH)
		fq_to_old(&ow->streams, node, stream_links(sc), i);
	if (onode->where == FQ_FRESH && list_empty(&ow->streams.fresh))
		fq_to_old(&sc->owners, onode, owner_links(sc), node->owner);
}

uint16_t sched_owner(const struct sched *sc, uint16_t i)
{
	const struct fq_node *node = &stream_nodes(sc)[i];

	return node->weight ? node->owner : (uint16_t)SCHED_NONE;
}

uint64_t sched_key(const struct sched *sc, uint16_t i)
{
	const struct fq_node *node = &stream_nodes(sc)[i];

	return node->weight ? owners_of(sc)[node->owner].key : 0;
}

unsigned int sched_weight(const struct sched *sc, uint16_t i)
{
	return stream_nodes(sc)[i].weight;
}

uint16_t sched_owner_streams(const struct sched *sc, uint16_t owner)
{
	return owners_of(sc)[owner].n_streams;
}

bool sched_is_fresh(const struct sched *sc, uint16_t i)
{
	return stream_nodes(sc)[i].where == FQ_FRESH;
}

/* Members of both lists; more than @n if one of them is not a list. */
static uint32_t fq_count(const struct fq *q, const struct fq_node *nodes,
			 const struct link *links, uint32_t n)
{
	uint32_t count = 0;

	for (int fresh = 0; fresh < 2; fresh++) {
		const struct list *l = fresh ? &q->fresh : &q->old;
		uint16_t prev = LIST_NIL;

		for (uint16_t i = l->first; i != LIST_NIL; i = links[i].next) {
			if (i >= n || links[i].prev != prev || count == n ||
			    nodes[i].where != (fresh ? FQ_FRESH : FQ_OLD))
				return n + 1;
			prev = i;
			count++;
		}
		if (prev != l->last)
			return n + 1;
	}
	return count;
}

/* A member that waits without a weight would be waited for without end. */
static bool node_fits(const struct fq_node *node, uint32_t n)
{
	return node->owner < n && (node->where == FQ_ABSENT || node->weight);
}

bool sched_fits(const struct sched *sc, uint32_t n, uint32_t quantum)
{
	const struct fq_node *nodes = stream_nodes(sc);
	const struct fq_node *onodes = owner_nodes(sc);
	uint32_t streams = 0, placed = 0, owners_placed = 0;

	if (sc->n != n || sc->quantum != (int32_t)quantum)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct owner *ow = &owners_of(sc)[i];

		if (!node_fits(&nodes[i], n) || !node_fits(&onodes[i], n))
			return false;
		placed += nodes[i].where != FQ_ABSENT;
		owners_placed += onodes[i].where != FQ_ABSENT;
		if (ow->n_streams)
			streams += fq_count(&ow->streams, nodes,
					    stream_links(sc), n);
	}
	return streams == placed &&
	       fq_count(&sc->owners, onodes, owner_links(sc), n) ==
		       owners_placed;
}

static const char *check_node(const struct sched *sc,
			      const struct fq_node *node,
			      const struct link *links, uint32_t i)
{
	if (node->backlogged && node->where == FQ_ABSENT)
		return "sched: backlogged but on no list";
	if ((node->where != FQ_ABSENT) != list_has(links, (uint16_t)i))
		return "sched: place and links disagree";
	if (node->weight > SCHED_WEIGHT_MAX)
		return "sched: weight out of range";
	if (node->deficit > sc->quantum * (int32_t)SCHED_WEIGHT_MAX)
		return "sched: deficit above one turn";
	return NULL;
}

const char *sched_check(const struct sched *sc)
{
	const struct fq_node *nodes = stream_nodes(sc);
	uint32_t backlogged = 0, counted = 0;

	for (uint32_t i = 0; i < sc->n; i++) {
		const char *bad =
			check_node(sc, &nodes[i], stream_links(sc), i);

		if (!bad)
			bad = check_node(sc, &owner_nodes(sc)[i],
					 owner_links(sc), i);
		if (bad)
			return bad;
		backlogged += nodes[i].backlogged;
		counted += owners_of(sc)[i].n_backlogged;
	}
	return backlogged == counted ? NULL : "sched: backlog count is wrong";
}
