/* SPDX-License-Identifier: MIT */
/*
 * ops_events.c - the last events of this boot, in memory and in a file
 *
 * A subscriber is a number: the next event that it has not got. It is served
 * when its stream has room, so a slow one costs nothing but what it misses, and
 * it is told how much that was.
 *
 * The file has one event per line, in JSON; it is made anew when it has twice
 * as many as are remembered. It only has to outlive the process: a line that
 * was cut off, or is of another boot, is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_internal.h"

#define RING_MAX 1024u
/* Of one line; a longer event is a mistake of ours. */
#define EVENT_MAX  16384u
#define FILE_LINES (2 * RING_MAX)
#define FILE_MAX   ((off_t)FILE_LINES * EVENT_MAX)
#define TYPES_MAX  64

struct subscriber {
	LIST_ENTRY(subscriber) link;
	struct op_call *call;
	uint64_t next;
	json_t *types; /* NULL: all */
};

struct ops_events {
	json_t *ring[RING_MAX]; /* event @seq in seq % RING_MAX */
	uint64_t last;          /* its number; 0: none yet */
	uint64_t first;         /* the oldest that is remembered */
	char boot[OPS_BOOT_MAX + 1];
	char path[PATH_MAX];
	int fd; /* -1: there is no file */
	unsigned int lines;
	LIST_HEAD(, subscriber) subscribers;
};

static json_t *event_at(const struct ops_events *e, uint64_t seq)
{
	return e->ring[seq % RING_MAX];
}

/* Consumes @event. */
static void remember(struct ops_events *e, uint64_t seq, json_t *event)
{
	json_t **slot = &e->ring[seq % RING_MAX];

	json_decref(*slot);
	*slot = event;
	e->last = seq;
	if (e->first == 0 || seq - e->first >= RING_MAX)
		e->first = e->first == 0 ? seq : seq - RING_MAX + 1;
}

/* ---- the file ------------------------------------------------------------ */

static bool write_event(int fd, const json_t *event)
{
	char *text = json_dumps(event, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;
	bool ok = text != NULL;

	if (ok) {
		text[len++] = '\n'; /* in the place of the NUL */
		ok = write(fd, text, len) == (ssize_t)len;
	}
	free(text);
	return ok;
}

/* The whole ring into a new file, which then takes the old one's place. */
static void rewrite(struct ops_events *e)
{
	char path[PATH_MAX + 8];
	int fd;
	bool ok = true;

	snprintf(path, sizeof(path), "%s.new", e->path);
	fd = open(path,
		  O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC |
			  O_NOFOLLOW,
		  0600);
	for (uint64_t s = e->first; fd >= 0 && ok && s != 0 && s <= e->last;
	     s++)
		ok = write_event(fd, event_at(e, s));
	if (fd < 0 || !ok || rename(path, e->path) < 0) {
		log_warning("ev=events-file path=%s error=\"%s\": events do "
			    "not outlive this process",
			    e->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	if (e->fd >= 0)
		close(e->fd);
	e->fd = fd;
	e->lines = e->last == 0 ? 0 : (unsigned int)(e->last - e->first + 1);
}

static void store(struct ops_events *e, const json_t *event)
{
	if (e->fd < 0)
		return;
	if (e->lines >= FILE_LINES || !write_event(e->fd, event))
		rewrite(e); /* the new one is in the ring already */
	else
		e->lines++;
}

/* One line of the file; what does not fit is left out. */
static void load_line(struct ops_events *e, const char *line, size_t len)
{
	json_t *event = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *boot = json_string_value(json_object_get(event, "boot"));
	json_int_t seq = json_integer_value(json_object_get(event, "seq"));

	if (boot && strcmp(boot, e->boot) == 0 && seq > 0 &&
	    (e->last == 0 || (uint64_t)seq == e->last + 1))
		remember(e, (uint64_t)seq, event);
	else
		json_decref(event);
}

static void load(struct ops_events *e, FILE *f)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, f)) > 0)
		load_line(e, line, (size_t)n);
	free(line);
}

static void read_file(struct ops_events *e)
{
	int fd = open(e->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	FILE *f;

	if (fd < 0)
		return;
	/* Only what this program has written itself. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid() && st.st_size <= FILE_MAX &&
	    (f = fdopen(fd, "r")) != NULL) {
		load(e, f);
		(void)fclose(f);
		return;
	}
	close(fd);
}

static void read_boot(char ret[OPS_BOOT_MAX + 1])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || !fgets(ret, OPS_BOOT_MAX, f))
		snprintf(ret, OPS_BOOT_MAX, "unknown");
	ret[strcspn(ret, "\n")] = '\0';
	if (f)
		(void)fclose(f);
}

int ops_events_new(struct ops_events **ret, const char *path)
{
	struct ops_events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->fd = -1;
	read_boot(e->boot);
	if (path) {
		snprintf(e->path, sizeof(e->path), "%s", path);
		read_file(e);
		rewrite(e);
	}
	*ret = e;
	return 0;
}

void ops_events_free(struct ops_events *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < RING_MAX; i++)
		json_decref(e->ring[i]);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
}

const char *ops_boot(const struct ops *o)
{
	return o->events->boot;
}

/* ---- subscribers --------------------------------------------------------- */

/* "INTERFACE.NAME", or "INTERFACE.*" for all of it. */
static bool type_matches(const char *pattern, const char *type)
{
	size_t len = strlen(pattern);

	if (len > 2 && strcmp(pattern + len - 2, ".*") == 0)
		return strncmp(pattern, type, len - 1) == 0;
	return strcmp(pattern, type) == 0;
}

static bool wants(const struct subscriber *s, const json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "type"));
	size_t i;
	json_t *v;

	if (!s->types)
		return true;
	json_array_foreach(s->types, i, v)
	{
		if (type_matches(json_string_value(v), type))
			return true;
	}
	return false;
}

/* op_pump_fn */
static bool next_event(struct op_call *call, void *data)
{
	const struct ops_events *e = op_ops(call)->events;
	struct subscriber *s = data;

	if (e->last != 0 && s->next < e->first) {
		json_int_t lost = (json_int_t)(e->first - s->next);

		s->next = e->first;
		op_reply_part(call, json_pack("{s:I}", "lost", lost));
		return true;
	}
	for (; s->next <= e->last; s->next++) {
		json_t *event = event_at(e, s->next);

		if (!wants(s, event))
			continue;
		s->next++;
		op_reply_part(call, json_pack("{s:O}", "event", event));
		return true;
	}
	return false;
}

static void on_cancel(struct op_call *call, void *data)
{
	struct subscriber *s = data;

	op_ops(call)->n_subscribers--;
	LIST_REMOVE(s, link);
	json_decref(s->types);
	free(s);
}

/* Where to begin, and how many before that are gone. */
static uint64_t begin(const struct ops_events *e, const json_t *after,
		      uint64_t *ret_lost)
{
	const char *boot = json_string_value(json_object_get(after, "boot"));
	uint64_t seq;

	*ret_lost = 0;
	if (!boot)
		return e->last + 1;
	seq = (uint64_t)json_integer_value(json_object_get(after, "seq"));
	if (strcmp(boot, e->boot) != 0)
		seq = 0;
	/* Numbers that were not given yet: nothing of ours counted them. */
	if (seq >= e->last)
		return e->last + 1;
	if (seq + 1 < e->first)
		*ret_lost = e->first - seq - 1;
	return seq + 1 + *ret_lost;
}

void ops_subscribe(struct op_call *call, json_t *p)
{
	struct ops *o = op_ops(call);
	struct ops_events *e = o->events;
	json_t *types = json_object_get(p, "types");
	struct subscriber *s;
	uint64_t lost;

	if (o->n_subscribers >= OPS_SUBSCRIBERS_MAX) {
		op_error(call, OP_COMMON "LimitReached",
			 json_pack("{s:s,s:i}", "limit", "subscribers", "value",
				   OPS_SUBSCRIBERS_MAX));
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		op_failed(call, ENOMEM, "");
		return;
	}
	s->call = call;
	s->next = begin(e, json_object_get(p, "after"), &lost);
	s->types = json_is_array(types) ? json_incref(types) : NULL;
	o->n_subscribers++;
	LIST_INSERT_HEAD(&e->subscribers, s, link);
	op_on_cancel(call, on_cancel, s);
	op_reply_part(call, json_pack("{s:{s:s,s:I},s:I}", "position", "boot",
				      e->boot, "seq", (json_int_t)(s->next - 1),
				      "lost", (json_int_t)lost));
	op_stream(call, next_event, s);
}

/* ---- new ones ------------------------------------------------------------ */

static json_int_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (json_int_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool is_right(const char *type, json_t *parameters)
{
	const struct idl_named *t = idl_event(type);
	char where[IDL_WHERE_MAX] = "its type";

	if (t && parameters &&
	    idl_check(t->fields, parameters, IDL_REFUSE, where) &&
	    json_dumpb(parameters, NULL, 0, JSON_COMPACT) < EVENT_MAX - 512)
		return true;
	log_error("ev=bad-event type=%s at=\"%s\"", type, where);
	return false;
}

void ops_emit(struct ops *o, const char *type, json_t *parameters)
{
	struct ops_events *e = o->events;
	struct subscriber *s;
	json_t *event = NULL;
	uint64_t seq = e->last + 1;

	if (is_right(type, parameters))
		event = json_pack("{s:s,s:I,s:I,s:s,s:O}", "boot", e->boot,
				  "seq", (json_int_t)seq, "time_us", now_us(),
				  "type", type, "parameters", parameters);
	json_decref(parameters);
	if (!event)
		return;
	remember(e, seq, event);
	store(e, event);
	/* A wake-up ends no call: those end from the loop. */
	LIST_FOREACH(s, &e->subscribers, link)
	op_wake(s->call);
}

bool ops_emitted(const struct ops *o, const char *type)
{
	const struct ops_events *e = o->events;

	if (e->first > 1)
		return true;
	for (uint64_t s = e->first; s != 0 && s <= e->last; s++)
		if (strcmp(json_string_value(
				   json_object_get(event_at(e, s), "type")),
			   type) == 0)
			return true;
	return false;
}

bool ops_delivered(const struct ops *o)
{
	const struct ops_events *e = o->events;
	const struct subscriber *s;

	LIST_FOREACH(s, &e->subscribers, link)
	if (s->next <= e->last || !ops_conn_taken(s->call->conn))
		return false;
	return true;
}
