/* SPDX-License-Identifier: MIT */
/*
 * worker_life.c - the rows of life.h done with a broker, and the bus process
 * that asks for them
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/log.h"
#include "host/bus_ipc.h"
#include "host/worker.h"

/* Two layers name the same thing today; they must not part unseen. */
/* NOLINTBEGIN(misc-redundant-expression) */
_Static_assert(BUS_AREA == STATE_MAX, "a state fits");
_Static_assert((size_t)BUS_ID_SIZE == (size_t)STATE_ID_LEN, "the same ids");
/* NOLINTEND(misc-redundant-expression) */

/* ---- answers to the bus process ---- */

static void answer(struct worker *w, enum bus_type type, uint32_t size,
		   int32_t result)
{
	struct bus_msg m = {
		.type = type,
		.version = (uint16_t)w->bus_version,
		.size = size,
		.result = result,
	};
	int r;

	if (w->bus < 0)
		return;
	memcpy(m.id, w->bus_id, sizeof(m.id));
	r = bus_ipc_send(w->bus, &m, BUS_FROM_WORKER, -1);
	if (r < 0)
		log_warning("ev=bus-deaf error=\"%s\"", strerror(-r));
}

/* How long QEMU has waited: the VM stands still. */
static unsigned long long waited_us(const struct worker *w)
{
	return uv_hrtime() / 1000u - w->asked_us;
}

static void do_save(struct worker *w)
{
	long n = -ENOMEM;

	if (w->bus_mem)
		n = broker_save(w->broker, STATE_MOVE, w->bus_id,
				w->bus_mem + BUS_SAVE_AT, BUS_AREA, NULL, NULL);
	if (n < 0)
		log_error("ev=save-failed error=\"%s\"", strerror((int)-n));
	answer(w, BUS_SAVED, n < 0 ? 0 : (uint32_t)n, 0);
	if (n >= 0)
		log_info("ev=saved bytes=%ld us=%llu", n, waited_us(w));
}

static void do_nothing(struct worker *w)
{
	answer(w, BUS_SAVED, 0, 0);
}

/* What the bus process shares can change while we look at it. */
static enum state_result load_copy(struct worker *w)
{
	enum state_result r;
	uint8_t *copy = malloc(w->bus_size);

	if (!copy || !w->bus_mem) {
		free(copy);
		return STATE_LIMIT;
	}
	memcpy(copy, w->bus_mem + BUS_LOAD_AT, w->bus_size);
	r = broker_load(w->broker, copy, w->bus_size, NULL, 0);
	free(copy);
	return r;
}

/* The broker greets the guest anew, or explains why not, by itself. */
static void do_load(struct worker *w)
{
	enum state_result r = load_copy(w);

	w->has_session = r == STATE_OK;
	if (r == STATE_OK)
		log_info("ev=loaded bytes=%u us=%llu",
			 (unsigned int)w->bus_size, waited_us(w));
	else
		log_warning("ev=load-refused why=%s", state_result_name(r));
}

static void do_explain(struct worker *w)
{
	broker_explain(w->broker, w->explain);
}

static void do_freeze(struct worker *w)
{
	broker_freeze(w->broker);
}

static void do_moved(struct worker *w)
{
	worker_say(w, &(struct ipc_msg){.type = IPC_MOVED}, -1);
	broker_moved(w->broker, NULL);
	w->has_session = false;
}

static void do_thaw(struct worker *w)
{
	broker_thaw(w->broker);
}

static void do_resync(struct worker *w)
{
	broker_resync_now(w->broker);
}

/* In the order of doing. ATTACH and DETACH are the broker's own doing when it
 * is told of a link; RENEW, ADOPT and EXIT happen where the process begins
 * and ends. */
static const struct deed {
	enum life_action action;
	void (*fn)(struct worker *w);
} deeds[] = {
	{LIFE_DO_FREEZE, do_freeze},   {LIFE_DO_SAVE, do_save},
	{LIFE_DO_NOTHING, do_nothing}, {LIFE_DO_LOAD, do_load},
	{LIFE_DO_EXPLAIN, do_explain}, {LIFE_DO_MOVED, do_moved},
	{LIFE_DO_THAW, do_thaw},       {LIFE_DO_RESYNC, do_resync},
};

void worker_set_life(struct worker *w, enum life l)
{
	const struct ipc_msg m = {.type = IPC_LIFE, .value = (int32_t)l};

	broker_set_life(w->broker, life_name(l)); /* also the first one */
	if (l == w->life)
		return;
	log_info("ev=life from=%s to=%s", life_name(w->life), life_name(l));
	w->life = l;
	worker_say(w, &m, -1);
	if (l == LIFE_FENCED)
		worker_fence(w);
	else
		uv_timer_stop(&w->fence);
}

void worker_happened(struct worker *w, enum life_event ev)
{
	struct life_step step;

	if (!life_step(&step, w->life, ev, w->has_session))
		return;
	/* Loading greets; twice would use up the guest's answers. */
	if (step.actions & LIFE_DO_LOAD)
		step.actions &= ~(unsigned int)LIFE_DO_RESYNC;
	worker_set_life(w, step.next);
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
		if (step.actions & deeds[i].action)
			deeds[i].fn(w);
	}
}

void worker_peer_up(void *data, bool resumed)
{
	struct worker *w = data;

	(void)resumed;
	w->has_session = true;
	if (w->life != LIFE_FENCED)
		worker_happened(w, LIFE_EV_UP);
	else if (!broker_is_frozen(w->broker))
		worker_happened(w, LIFE_EV_PROVED);
}

/* ---- the pair to the bus process ---- */

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

static void bus_close(struct worker *w)
{
	if (w->bus < 0)
		return;
	if (w->bus_poll)
		uv_close((uv_handle_t *)w->bus_poll, on_poll_closed);
	w->bus_poll = NULL;
	close(w->bus);
	w->bus = -1;
	/* It is the pair's: another one brings its own. */
	if (w->bus_mem)
		munmap(w->bus_mem, BUS_STATE_SIZE);
	w->bus_mem = NULL;
	w->claiming = false;
}

/* ---- what the bus process says ---- */

/* A pair's first message, and the supervisor's, since it has put it in before
 * the bus process got its end. That one may have been taken over by QEMU: what
 * else it sends is not mapped. */
static void on_state(struct worker *w, const struct bus_msg *m, int fd)
{
	int r = -EPROTO;

	(void)m;
	if (!w->bus_mem)
		r = bus_map_state(fd, &w->bus_mem);
	close(fd);
	if (r < 0) {
		w->bus_refused++;
		log_error("ev=bus-memory error=\"%s\" refused=%u", strerror(-r),
			  w->bus_refused);
		broker_set_vmstate(w->broker, "off");
		bus_close(w);
		return;
	}
	broker_set_vmstate(w->broker, "waiting");
}

static void on_qemu(struct worker *w, const struct bus_msg *m, int fd)
{
	(void)fd;
	broker_set_vmstate(w->broker, m->result ? "connected" : "waiting");
}

static void on_save(struct worker *w, const struct bus_msg *m, int fd)
{
	const struct ipc_msg again = {.type = IPC_LIFE, .value = LIFE_FENCED};
	bool fenced = w->life == LIFE_FENCED;

	(void)m;
	(void)fd;
	worker_happened(w, LIFE_EV_SAVE);
	if (fenced) {
		worker_fence(w); /* another journey */
		worker_say(w, &again, -1);
	}
	/* The guest must read this here to end the fence; it is behind all
	 * that was written before the state was taken. */
	worker_happened(w, LIFE_EV_PROBE);
}

static void loaded(struct worker *w, bool good)
{
	worker_happened(w, good ? LIFE_EV_LOAD : LIFE_EV_LOAD_BAD);
	answer(w, BUS_LOADED, 0, good ? 0 : -EINVAL);
}

/* A state that was loaded on this host before is a clone's. */
static void claim(struct worker *w, const struct state_header *h)
{
	struct ipc_msg m = {.type = IPC_CLAIM};

	for (size_t i = 0; i < STATE_ID_LEN; i++)
		snprintf(m.text + 2 * i, 3, "%02x", h->save_id[i]);
	w->claiming = true;
	worker_say(w, &m, -1);
}

static void on_load(struct worker *w, const struct bus_msg *m, int fd)
{
	struct state_header h;
	enum state_result r = STATE_BAD;
	uint8_t head[STATE_HEADER_LEN];

	(void)fd;
	w->bus_size = m->size;
	w->explain = VMC_REASON_MIGRATED;
	if (w->bus_mem && m->size >= sizeof(head)) {
		memcpy(head, w->bus_mem + BUS_LOAD_AT, sizeof(head));
		r = state_get_header(&h, head, m->size);
	}
	/* Only where it would be taken: a loadvm is no clone. */
	if (r == STATE_OK && w->life == LIFE_INCOMING)
		claim(w, &h);
	else
		loaded(w, r == STATE_OK);
}

/* QEMU waits for our answer, so the VM does not run before. */
void worker_on_claimed(struct worker *w, const struct ipc_msg *m, int fd)
{
	(void)fd;
	if (!w->claiming)
		return;
	w->claiming = false;
	if (m->value == -EEXIST) {
		log_warning("ev=load-refused why=loaded-before");
		w->explain = VMC_REASON_CLONED;
	} else if (m->value < 0) {
		log_warning("ev=load-unrecorded error=\"%s\"",
			    strerror(-m->value));
	}
	loaded(w, m->value != -EEXIST);
}

static void (*const bus_handlers[BUS_TYPE_NUM])(struct worker *w,
						const struct bus_msg *m,
						int fd) = {
	[BUS_STATE] = on_state,
	[BUS_QEMU] = on_qemu,
	[BUS_SAVE] = on_save,
	[BUS_LOAD] = on_load,
};

static void on_bus(uv_poll_t *h, int status, int events)
{
	struct worker *w = h->data;
	struct bus_msg m;
	int fd = -1;
	int r;

	(void)status;
	(void)events;
	r = bus_ipc_recv(w->bus, &m, BUS_FROM_BUS, &fd);
	if (r == -EAGAIN)
		return;
	if (r == 1 && bus_handlers[m.type]) {
		w->asked_us = uv_hrtime() / 1000u;
		memcpy(w->bus_id, m.id, sizeof(w->bus_id));
		w->bus_version = m.version;
		bus_handlers[m.type](w, &m, fd);
		return;
	}
	if (r == 1 && fd >= 0)
		close(fd);
	log_warning("ev=bus-gone error=\"%s\"", r < 0 ? strerror(-r) : "end");
	/* If it has ended the supervisor says what is true now. */
	if (r != 0)
		broker_set_vmstate(w->broker, "off");
	bus_close(w);
}

static int bus_watch(struct worker *w)
{
	uv_poll_t *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	r = uv_poll_init(&w->loop, h, w->bus);
	if (r < 0) {
		free(h);
		return r;
	}
	h->data = w;
	w->bus_poll = h;
	return uv_poll_start(h, UV_READABLE, on_bus);
}

void worker_on_vmstate(struct worker *w, const struct ipc_msg *m, int fd)
{
	static const char *const words[IPC_VMSTATE_NUM] = {
		[IPC_VMSTATE_OFF] = "off",
		[IPC_VMSTATE_WAITING] = "waiting",
		[IPC_VMSTATE_LOST] = "lost",
	};

	(void)fd;
	if (m->value >= 0 && m->value < IPC_VMSTATE_NUM)
		broker_set_vmstate(w->broker, words[m->value]);
}

void worker_on_bus(struct worker *w, const struct ipc_msg *m, int fd)
{
	int r;

	(void)m;
	bus_close(w);
	w->bus = fd;
	r = bus_watch(w);
	if (r < 0) {
		log_error("ev=bus-watch error=\"%s\"", strerror(-r));
		bus_close(w);
	}
}

int worker_life_init(struct worker *w)
{
	int r = uv_timer_init(&w->loop, &w->fence);

	w->fence.data = w;
	return r;
}

void worker_life_close(struct worker *w)
{
	bus_close(w);
	uv_close((uv_handle_t *)&w->fence, NULL);
}
