/* SPDX-License-Identifier: MIT */
/*
 * ops_request_file.c - requests that outlive the process
 *
 * One JSON object per line: {"boot"} first, {"id", "method", "uid",
 * "parameters"} before an operation is begun, {"id", "reply"} after it. A line
 * that was cut off, or makes no sense, is left out.
 */
#include "guest/ops_request_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_internal.h"

/* Twice what is remembered, beginning and end of each. */
#define LINES_MAX (4u * OPS_REQUESTS_MAX)
#define FILE_MAX  ((off_t)LINES_MAX * 2 * VARLINK_MSG_MAX)

struct request_file {
	char path[PATH_MAX];
	char boot[OPS_BOOT_MAX + 1];
	int fd;
	unsigned int lines;
};

/* Consumes @line. */
static bool put(struct request_file *f, json_t *line)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	bool ok = text != NULL && f->fd >= 0;

	if (ok) {
		text[len++] = '\n'; /* in the place of the NUL */
		ok = write(f->fd, text, len) == (ssize_t)len;
		f->lines++;
	}
	free(text);
	json_decref(line);
	return ok;
}

static json_t *line_json(const struct request_line *l)
{
	if (l->method)
		return json_pack("{s:s,s:s,s:I,s:O}", "id", l->id, "method",
				 l->method, "uid", (json_int_t)l->uid,
				 "parameters", l->parameters);
	return json_pack("{s:s,s:o*}", "id", l->id, "reply",
			 l->text && l->len > 0
				 ? json_stringn(l->text, l->len - 1)
				 : NULL);
}

bool request_file_add(struct request_file *f, const struct request_line *line)
{
	return put(f, line_json(line)) && f->lines < LINES_MAX;
}

static void new_path(const struct request_file *f, char ret[PATH_MAX + 8])
{
	snprintf(ret, PATH_MAX + 8, "%s.new", f->path);
}

void request_file_anew(struct request_file *f)
{
	char path[PATH_MAX + 8];

	if (f->fd >= 0)
		close(f->fd);
	new_path(f, path);
	f->fd = open(path,
		     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC |
			     O_NOFOLLOW,
		     0600);
	f->lines = 0;
	put(f, json_pack("{s:s}", "boot", f->boot));
}

void request_file_take(struct request_file *f)
{
	char path[PATH_MAX + 8];

	new_path(f, path);
	if (f->fd < 0 || rename(path, f->path) < 0)
		log_warning("ev=requests-file path=%s error=\"%s\": requests "
			    "are not remembered beyond this process",
			    f->path, strerror(errno));
}

/* ---- what there is ------------------------------------------------------- */

static void load_line(const json_t *o, request_line_fn *fn, void *data)
{
	const json_t *reply = json_object_get(o, "reply");
	const json_t *uid = json_object_get(o, "uid");
	struct request_line l = {
		.id = json_string_value(json_object_get(o, "id")),
		.method = json_string_value(json_object_get(o, "method")),
		.uid = (uid_t)json_integer_value(uid),
		.parameters = json_object_get(o, "parameters"),
		.text = json_string_value(reply),
		.len = json_is_string(reply) ? json_string_length(reply) + 1
					     : 0,
	};

	if (l.id && (!l.method || json_is_object(l.parameters)))
		fn(&l, data);
}

static void load(const struct request_file *f, FILE *file, request_line_fn *fn,
		 void *data)
{
	char *line = NULL;
	size_t size = 0;
	bool ours = false;
	ssize_t n;

	while ((n = getline(&line, &size, file)) > 0) {
		json_t *o = json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES,
				       NULL);
		const char *boot =
			json_string_value(json_object_get(o, "boot"));

		if (boot)
			ours = strcmp(boot, f->boot) == 0;
		else if (ours)
			load_line(o, fn, data);
		json_decref(o);
	}
	free(line);
}

/* Only what this program has written itself. */
static bool is_own(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_uid == geteuid() && st.st_size <= FILE_MAX;
}

struct request_file *request_file_open(const char *path, const char *boot,
				       request_line_fn *fn, void *data)
{
	struct request_file *f = calloc(1, sizeof(*f));
	FILE *file = NULL;
	int fd;

	if (!f)
		return NULL;
	f->fd = -1;
	snprintf(f->path, sizeof(f->path), "%s", path);
	snprintf(f->boot, sizeof(f->boot), "%s", boot);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && is_own(fd))
		file = fdopen(fd, "r");
	if (file) {
		load(f, file, fn, data);
		(void)fclose(file);
	} else if (fd >= 0) {
		close(fd);
	}
	return f;
}

void request_file_close(struct request_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}
