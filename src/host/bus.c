/* SPDX-License-Identifier: MIT */
/*
 * bus.c - Save and Load between QEMU and the worker
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "broker/log.h"
#include "broker/state.h"
#include "host/bus.h"
#include "host/bus_calls.h"

/* A state was taken from there; its pages are the system's again. */
static void give_back(struct bus *b, size_t at)
{
	(void)madvise(b->mem + at, BUS_AREA, MADV_REMOVE);
}

/* ---- the worker ---- */

static void tell_worker(struct bus *b, const struct bus_msg *m)
{
	/* One that is gone or does not read will not answer, and the deadline
	 * comes. */
	if (b->worker >= 0)
		(void)bus_ipc_send(b->worker, m, BUS_FROM_BUS, -1);
}

static void tell_connected(struct bus *b)
{
	const struct bus_msg m = {.type = BUS_QEMU, .result = b->conn != NULL};

	tell_worker(b, &m);
}

/* ---- answers to QEMU ---- */

static void end_call(struct bus *b)
{
	b->call = sd_bus_message_unref(b->call);
	b->deadline_us = BUS_US_NEVER;
}

/* Should: answer with an array of bytes, from @src.
 * Return: false if there is no memory; nothing was sent. */
static bool answer_bytes(struct bus *b, const uint8_t *src, size_t len)
{
	sd_bus_message *m = NULL;
	bool ok = sd_bus_message_new_method_return(b->call, &m) >= 0 &&
		  sd_bus_message_append_array(m, 'y', src, len) >= 0 &&
		  sd_bus_send(NULL, m, NULL) >= 0;

	sd_bus_message_unref(m);
	return ok;
}

static void answer_nothing(struct bus *b, const char *why)
{
	uint8_t nothing[STATE_HEADER_LEN];

	state_nothing(nothing);
	b->n.nothing++;
	log_limited(b->now_us, LOG_LEVEL_WARNING, "ev=save state=none why=%s",
		    why);
	/* Without memory: QEMU takes an error for a failure of the migration
	 * on the other host, so it is not told one; its own patience ends. */
	(void)answer_bytes(b, nothing, sizeof(nothing));
	end_call(b);
}

/* Return: why @blob is not what was asked for; NULL: it is. */
static const char *why_not(struct bus *b, const uint8_t *blob, size_t size)
{
	struct state_header h;
	enum state_result r = state_get_header(&h, blob, size);

	if (r == STATE_NONE)
		return "no-session";
	if (r == STATE_OK && h.kind == STATE_MOVE &&
	    memcmp(h.save_id, b->save_id, sizeof(h.save_id)) == 0)
		return NULL;
	b->n.nonsense++;
	return "no-state";
}

/* The copy is what is checked and sent; the worker can still write. */
static const char *answer_state(struct bus *b, uint32_t size)
{
	sd_bus_message *m = NULL;
	const char *why;
	void *copy;

	if (sd_bus_message_new_method_return(b->call, &m) < 0 ||
	    sd_bus_message_append_array_space(m, 'y', size, &copy) < 0) {
		why = "no-memory";
		goto out;
	}
	memcpy(copy, b->mem + BUS_SAVE_AT, size);
	why = why_not(b, copy, size);
	if (why)
		goto out;
	if (sd_bus_send(NULL, m, NULL) < 0)
		why = "no-memory";
out:
	sd_bus_message_unref(m);
	return why;
}

static void on_saved(struct bus *b, const struct bus_msg *m)
{
	const char *why = "no-session";

	if (!b->call || b->asked != BUS_SAVE ||
	    memcmp(m->id, b->save_id, sizeof(m->id)) != 0)
		return; /* late; counted when time was up */
	if (m->size > 0)
		why = answer_state(b, m->size);
	give_back(b, BUS_SAVE_AT);
	if (why) {
		answer_nothing(b, why);
		return;
	}
	b->n.saves++;
	log_limited(b->now_us, LOG_LEVEL_INFO, "ev=save state=%u", m->size);
	end_call(b);
}

static void answer_load(struct bus *b)
{
	if (!b->call || b->asked != BUS_LOAD)
		return;
	(void)sd_bus_reply_method_return(b->call, "");
	end_call(b);
}

static void on_loaded(struct bus *b, const struct bus_msg *m)
{
	if (!b->load_waits || memcmp(m->id, b->load_id, sizeof(m->id)) != 0)
		return; /* of one that was replaced */
	b->load_waits = false;
	b->n.loads++;
	log_limited(b->now_us, LOG_LEVEL_INFO, "ev=load state=%u result=%d",
		    b->load_size, (int)m->result);
	give_back(b, BUS_LOAD_AT);
	answer_load(b);
}

/* Should: ask the worker that is there for the state that QEMU waits for. */
static void ask_save(struct bus *b)
{
	struct bus_msg m = {.type = BUS_SAVE};

	if (!b->call || b->asked != BUS_SAVE)
		return;
	memcpy(m.id, b->save_id, sizeof(m.id));
	tell_worker(b, &m);
}

/* Should: offer the state that waits, if any, to the worker that is there. */
static void offer_load(struct bus *b)
{
	struct bus_msg m = {.type = BUS_LOAD, .size = b->load_size};

	if (!b->load_waits || b->worker < 0)
		return;
	if (b->load_tries++ >= BUS_LOAD_TRIES) {
		b->load_waits = false;
		log_limited(b->now_us, LOG_LEVEL_ERROR,
			    "ev=load-given-up tries=%u", BUS_LOAD_TRIES);
		give_back(b, BUS_LOAD_AT);
		answer_load(b);
		return;
	}
	memcpy(m.id, b->load_id, sizeof(m.id));
	tell_worker(b, &m);
}

/* ---- what QEMU asks ---- */

/* Return: false if one is in progress; QEMU never does that. */
static bool begin_call(struct bus *b, sd_bus_message *call, enum bus_type type,
		       unsigned int ms)
{
	if (b->call)
		return false;
	b->call = sd_bus_message_ref(call);
	b->asked = type;
	b->deadline_us = b->now_us + ms * 1000u;
	return true;
}

static bool draw_id(uint8_t id[BUS_ID_SIZE])
{
	return getrandom(id, BUS_ID_SIZE, 0) == BUS_ID_SIZE;
}

int bus_on_save(struct bus *b, sd_bus_message *call)
{
	if (!begin_call(b, call, BUS_SAVE, BUS_SAVE_MS))
		return -EBUSY;
	if (draw_id(b->save_id))
		ask_save(b);
	else
		answer_nothing(b, "no-entropy");
	return 0;
}

/* Return: bytes of @blob that a worker is to see; 0: it is no state. */
static uint32_t load_size(const void *blob, size_t len)
{
	struct state_header h;

	if (len > BUS_AREA || state_get_header(&h, blob, len) == STATE_BAD)
		return 0;
	return (uint32_t)len;
}

int bus_on_load(struct bus *b, sd_bus_message *call)
{
	const void *blob;
	size_t len;

	if (sd_bus_message_read_array(call, 'y', &blob, &len) < 0)
		return -EINVAL;
	if (!begin_call(b, call, BUS_LOAD, BUS_LOAD_MS))
		return -EBUSY;
	b->load_size = load_size(blob, len);
	if (b->load_size > 0)
		memcpy(b->mem + BUS_LOAD_AT, blob, b->load_size);
	else
		b->n.bad_loads++;
	b->load_tries = 0;
	b->load_waits = draw_id(b->load_id);
	if (b->load_waits)
		offer_load(b);
	else
		answer_load(b);
	return 0;
}

/* ---- the connection ---- */

static void drop_qemu(struct bus *b, const char *why)
{
	log_limited(b->now_us, LOG_LEVEL_INFO, "ev=vmstate-closed why=%s", why);
	end_call(b);
	b->conn = sd_bus_close_unref(b->conn);
	tell_connected(b);
}

static int on_message(sd_bus_message *m, void *data, sd_bus_error *err)
{
	struct bus *b = data;

	(void)err;
	if (sd_bus_message_is_method_call(m, NULL, NULL) > 0 && !bus_call(b, m))
		b->n.refused++;
	return 1; /* nothing of it is for sd-bus's own objects */
}

/* Should: make @fd a server's end of a D-Bus connection. */
static int start(sd_bus *conn, int fd, void *data)
{
	sd_id128_t id;
	int r = sd_id128_randomize(&id);

	if (r >= 0)
		r = sd_bus_set_server(conn, 1, id);
	if (r >= 0)
		r = sd_bus_set_bus_client(conn, 0);
	if (r >= 0)
		r = sd_bus_negotiate_fds(conn, 0);
	if (r >= 0)
		r = sd_bus_add_filter(conn, NULL, on_message, data);
	if (r >= 0)
		r = sd_bus_set_fd(conn, fd, fd);
	return r;
}

int bus_connect(struct bus *b, int fd)
{
	sd_bus *conn = NULL;
	int r = sd_bus_new(&conn);

	if (r >= 0)
		r = start(conn, fd, b);
	if (r < 0) {
		close(fd);
		sd_bus_unref(conn);
		return r;
	}
	/* From here on it is the connection's to close. */
	r = sd_bus_start(conn);
	if (r < 0) {
		sd_bus_close_unref(conn);
		return r;
	}
	if (b->conn)
		drop_qemu(b, "replaced");
	b->load_waits = false; /* it was another QEMU's */
	b->conn = conn;
	b->n.connections++;
	log_limited(b->now_us, LOG_LEVEL_INFO, "ev=vmstate-connected");
	tell_connected(b);
	return 0;
}

/* ---- turns ---- */

/* What it was asked is asked of the next one: after an upgrade or a death that
 * is there soon, and may well hold the session. */
static void drop_worker(struct bus *b)
{
	close(b->worker);
	b->worker = -1;
}

void bus_set_worker(struct bus *b, int fd)
{
	if (b->worker >= 0)
		drop_worker(b);
	b->worker = fd;
	tell_connected(b);
	ask_save(b);
	offer_load(b);
}

static void hear_worker(struct bus *b)
{
	while (b->worker >= 0) {
		struct bus_msg m;
		int fd = -1;
		int r = bus_ipc_recv(b->worker, &m, BUS_FROM_WORKER, &fd);

		if (r == -EAGAIN)
			return;
		if (r == 1 && m.type == BUS_SAVED) {
			on_saved(b, &m);
		} else if (r == 1) {
			on_loaded(b, &m);
		} else {
			b->n.nonsense += r < 0;
			drop_worker(b);
		}
	}
}

static void hear_qemu(struct bus *b)
{
	uint64_t queued = 0;
	int r = 1;

	for (int i = 0; b->conn && r > 0 && i < BUS_MESSAGES_PER_TURN; i++)
		r = sd_bus_process(b->conn, NULL);
	if (!b->conn)
		return;
	if (r < 0 || sd_bus_is_open(b->conn) <= 0) {
		drop_qemu(b, "end");
		return;
	}
	if (sd_bus_get_n_queued_write(b->conn, &queued) < 0 ||
	    queued > BUS_QUEUE_MAX) {
		b->n.dropped++;
		drop_qemu(b, "does-not-read");
	}
}

static void check_time(struct bus *b)
{
	if (!b->call || b->now_us < b->deadline_us)
		return;
	b->n.late++;
	if (b->asked == BUS_SAVE)
		answer_nothing(b, b->worker < 0 ? "no-worker" : "late");
	else
		answer_load(b); /* the worker has it and may still take it */
}

void bus_turn(struct bus *b, uint64_t now_us)
{
	b->now_us = now_us;
	hear_worker(b);
	hear_qemu(b);
	check_time(b);
}

void bus_poll(const struct bus *b, struct bus_poll *ret)
{
	uint64_t until = BUS_US_NEVER;
	int events;

	*ret = (struct bus_poll){.qemu_fd = -1, .until_us = BUS_US_NEVER};
	if (b->conn) {
		events = sd_bus_get_events(b->conn);
		ret->qemu_fd = sd_bus_get_fd(b->conn);
		if (events > 0)
			ret->qemu_events = (short)events;
		if (events < 0 || sd_bus_get_timeout(b->conn, &until) < 0)
			until = 0; /* the next turn finds out why */
		ret->until_us = until;
	}
	if (b->call && b->deadline_us < ret->until_us)
		ret->until_us = b->deadline_us;
}

void bus_init(struct bus *b, uint8_t *mem)
{
	*b = (struct bus){
		.worker = -1,
		.deadline_us = BUS_US_NEVER,
	};
	b->mem = mem;
}

void bus_done(struct bus *b)
{
	end_call(b);
	sd_bus_close_unref(b->conn);
	if (b->worker >= 0)
		close(b->worker);
}
