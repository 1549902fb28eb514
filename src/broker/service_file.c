/* SPDX-License-Identifier: MIT */
/*
 * service_file.c - one services.d file: ini syntax by inih, meaning by a table
 *
 * inih forgives much that a person would want to hear of (long lines are cut
 * and go on as new ones, ';' starts a comment inside a value), so the text is
 * fed to it line by line and refused where it would be misread.
 */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <vmchannel/session.h>

#include "broker/service_file.h"
#include "broker/users.h"

#define SECTION "Service"

struct reader {
	const char *file;
	const char *rest;
	size_t left;
	unsigned int line;
	bool failed;
	char *err;
	size_t err_size;
	unsigned int seen; /* bit per key */
	struct service svc;
};

/* The first error is the one to show. */
__attribute__((format(printf, 3, 4))) static void
fail(struct reader *rd, unsigned int line, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (rd->failed)
		return;
	rd->failed = true;
	n = snprintf(rd->err, rd->err_size, "%s:%u: ", rd->file,
		     line ? line : 1); /* 0: an empty file */
	if (n < 0 || (size_t)n >= rd->err_size)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(rd->err + n, rd->err_size - (size_t)n, fmt, ap);
	va_end(ap);
}

/* ---- keys ------------------------------------------------------------- */

/* Takes one word that may have quoted parts, in place.
 * Return: behind it, or NULL if a quote is not closed. */
static char *take_word(char *p, char *out)
{
	bool quoted = false;

	for (; *p && (quoted || (*p != ' ' && *p != '\t')); p++) {
		if (*p == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		*out++ = *p;
	}
	if (quoted)
		return NULL;
	if (*p)
		p++;
	*out = '\0';
	return p;
}

/* Cuts @p in place; argv[0] is where it begins. */
static const char *split_in_place(char **argv, char *p)
{
	size_t n = 0;

	while (*p) {
		char *word = p;

		if (n == SERVICE_ARGS_MAX)
			return "more than 32 words; use a script";
		p = take_word(p, word);
		if (!p)
			return "a double quote is not closed";
		argv[n++] = word;
		p += strspn(p, " \t");
	}
	return n ? NULL : "the command is empty";
}

_Static_assert(SERVICE_ARGS_MAX == 32, "the message above says 32");

const char *service_split(char *argv[SERVICE_ARGS_MAX + 1], const char *text)
{
	char *copy = strdup(text + strspn(text, " \t"));
	const char *why;

	memset(argv, 0, (SERVICE_ARGS_MAX + 1) * sizeof(argv[0]));
	if (!copy)
		return "out of memory";
	why = split_in_place(argv, copy);
	if (why) {
		free(copy);
		memset(argv, 0, (SERVICE_ARGS_MAX + 1) * sizeof(argv[0]));
	}
	return why;
}

static void set_command(struct reader *rd, const char *v)
{
	const char *why = service_split(rd->svc.argv, v);

	if (why)
		fail(rd, rd->line, "Command: %s", why);
	else if (rd->svc.argv[0][0] != '/')
		fail(rd, rd->line,
		     "Command: \"%.60s\" must begin with / (there is no "
		     "search path)",
		     rd->svc.argv[0]);
}

static void set_copy(struct reader *rd, char **field, const char *v)
{
	*field = strdup(v);
	if (!*field)
		fail(rd, rd->line, "out of memory");
}

static void set_socket(struct reader *rd, const char *v)
{
	struct sockaddr_un sa;

	if (v[0] != '/')
		fail(rd, rd->line, "Socket: \"%.60s\" must begin with /", v);
	else if (strlen(v) >= sizeof(sa.sun_path))
		fail(rd, rd->line, "Socket: the path is longer than %zu bytes",
		     sizeof(sa.sun_path) - 1);
	else
		set_copy(rd, &rd->svc.socket, v);
}

static void set_user(struct reader *rd, const char *v)
{
	if (!*v || strlen(v) > USER_NAME_MAX || v[strcspn(v, " \t")])
		fail(rd, rd->line, "User: expected a user's name or number");
	else
		set_copy(rd, &rd->svc.user, v);
}

static void set_max_streams(struct reader *rd, const char *v)
{
	size_t digits = strspn(v, "0123456789");
	unsigned long n = digits && digits <= 4 ? strtoul(v, NULL, 10) : 0;

	if (v[digits] || n < 1 || n > SERVICE_STREAMS_MAX)
		fail(rd, rd->line, "MaxStreams: \"%.20s\": expected 1..%d", v,
		     SERVICE_STREAMS_MAX);
	else
		rd->svc.max_streams = (unsigned int)n;
}

static void set_messages(struct reader *rd, const char *v)
{
	if (!strcmp(v, "yes"))
		rd->svc.messages = true;
	else if (strcmp(v, "no") != 0)
		fail(rd, rd->line, "Messages: \"%.20s\": expected yes or no",
		     v);
}

static const struct key {
	const char *name;
	void (*set)(struct reader *rd, const char *value);
} keys[] = {
	{"Command", set_command},   {"Socket", set_socket},
	{"User", set_user},         {"MaxStreams", set_max_streams},
	{"Messages", set_messages},
};

static int on_value(void *data, const char *section, const char *name,
		    const char *value)
{
	struct reader *rd = data;

	if (strcmp(section, SECTION) != 0) {
		fail(rd, rd->line, "expected the section [" SECTION "]");
		return 0;
	}
	for (unsigned int i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(name, keys[i].name) != 0)
			continue;
		if (rd->seen & (1u << i))
			fail(rd, rd->line, "%s is given twice", name);
		else
			keys[i].set(rd, value);
		rd->seen |= 1u << i;
		return !rd->failed;
	}
	fail(rd, rd->line,
	     "\"%.40s\": unknown key; legal are Command, Socket, User, "
	     "MaxStreams, Messages",
	     name);
	return 0;
}

/* ---- lines -------------------------------------------------------------- */

/* What inih would silently read as something else. */
static bool line_is_plain(struct reader *rd, const char *s, size_t len)
{
	const char *why = NULL;

	if (memchr(s, '\0', len))
		why = "a NUL byte is not allowed here";
	else if (memchr(s, '\r', len))
		why = "carriage return; save the file with Unix line ends";
	else if (len > 0 && (*s == ' ' || *s == '\t') && strspn(s, " \t") < len)
		why = "remove the space at the beginning of the line";
	else if (*s != ';' && *s != '#' && memmem(s, len, " ;", 2))
		why = "\" ;\" would start a comment; put it in a script";
	else if (len > 0 && *s == '[' && strncmp(s, "[" SECTION "]", len) != 0)
		why = "expected the section [" SECTION "]";
	if (why)
		fail(rd, rd->line, "%s", why);
	return !why;
}

/* As fgets(). inih calls the handler before it asks for the next line, so
 * rd->line is the handler's line too. */
static char *next_line(char *buf, int size, void *data)
{
	struct reader *rd = data;
	const char *nl = memchr(rd->rest, '\n', rd->left);
	size_t n = nl ? (size_t)(nl - rd->rest) : rd->left;

	if (rd->left == 0 || rd->failed)
		return NULL;
	rd->line++;
	if (size < 2 || n > (size_t)size - 2) {
		fail(rd, rd->line, "the line is longer than %d bytes",
		     size - 2);
		return NULL;
	}
	memcpy(buf, rd->rest, n);
	buf[n] = '\0';
	if (!line_is_plain(rd, buf, n))
		return NULL;
	buf[n] = '\n';
	buf[n + 1] = '\0';
	rd->rest += n + (nl ? 1 : 0);
	rd->left -= n + (nl ? 1 : 0);
	return buf;
}

/* ---- the whole ----------------------------------------------------------- */

static void check_whole(struct reader *rd)
{
	const struct service *s = &rd->svc;

	if (!s->argv[0] && !s->socket)
		fail(rd, rd->line, "Command or Socket is missing");
	else if (s->argv[0] && s->socket)
		fail(rd, rd->line, "Command and Socket exclude each other");
	else if (s->user && s->socket)
		fail(rd, rd->line, "User means nothing with Socket; remove it");
}

int service_parse(struct service *ret, const char *name, const char *file,
		  const char *text, size_t len, char *ret_err, size_t err_size)
{
	struct reader rd = {
		.file = file,
		.rest = text,
		.left = len,
		.err_size = err_size,
		.svc.max_streams = SERVICE_STREAMS_DEFAULT,
	};
	int bad_line;

	rd.err = ret_err;
	if (!vmc_name_valid(name, strlen(name))) {
		fail(&rd, 1, "\"%.64s\" is not a channel name; rename the file",
		     name);
		return -EINVAL;
	}
	bad_line = ini_parse_stream(next_line, &rd, on_value, &rd);
	if (bad_line > 0)
		fail(&rd, (unsigned int)bad_line, "expected KEY=VALUE");
	if (!rd.failed)
		check_whole(&rd);
	if (!rd.failed)
		set_copy(&rd, &rd.svc.origin, file);
	if (rd.failed || bad_line) {
		if (!rd.failed)
			fail(&rd, rd.line, "cannot be read");
		service_clear(&rd.svc);
		return -EINVAL;
	}
	memcpy(rd.svc.name, name, strlen(name) + 1);
	*ret = rd.svc;
	return 0;
}

void service_clear(struct service *s)
{
	free(s->argv[0]); /* the others lie behind it */
	free(s->socket);
	free(s->user);
	free(s->origin);
	memset(s, 0, sizeof(*s));
}
