/* SPDX-License-Identifier: MIT */
/* text.c - text of the kernel and of /etc */
#include "guest/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a file with one value; those of sysfs are at most a page. */
#define SMALL_MAX  4096
#define READ_CHUNK 4096

struct text text_of(const char *s)
{
	return (struct text){.p = s, .left = strlen(s)};
}

static void skip(struct text *t, size_t n)
{
	t->p += n;
	t->left -= n;
}

struct text text_until(struct text *t, char c)
{
	const char *at = t->left ? memchr(t->p, c, t->left) : NULL;
	struct text r = {.p = t->p, .left = at ? (size_t)(at - t->p) : t->left};

	skip(t, r.left + (at ? 1 : 0));
	return r;
}

bool text_line(struct text *t, struct text *ret)
{
	if (t->left == 0)
		return false;
	*ret = text_until(t, '\n');
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool text_word(struct text *t, struct text *ret)
{
	while (t->left && is_blank(*t->p))
		skip(t, 1);
	*ret = (struct text){.p = t->p};
	while (t->left && !is_blank(*t->p)) {
		skip(t, 1);
		ret->left++;
	}
	return ret->left > 0;
}

bool text_skip(struct text *t, const char *prefix)
{
	size_t n = strlen(prefix);

	if (t->left < n || memcmp(t->p, prefix, n) != 0)
		return false;
	skip(t, n);
	return true;
}

bool text_is(struct text t, const char *s)
{
	return text_skip(&t, s) && t.left == 0;
}

struct text text_trim(struct text t)
{
	while (t.left && is_blank(*t.p))
		skip(&t, 1);
	while (t.left && is_blank(t.p[t.left - 1]))
		t.left--;
	return t;
}

bool text_number(struct text t, uint64_t *ret)
{
	uint64_t n = 0;

	if (t.left == 0)
		return false;
	for (; t.left; skip(&t, 1)) {
		unsigned int digit = (unsigned int)(*t.p - '0');

		if (*t.p < '0' || *t.p > '9' || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return true;
}

bool text_hundredths(struct text t, uint64_t *ret)
{
	struct text whole = text_until(&t, '.');
	char digits[] = "00";
	uint64_t n, part;

	for (size_t i = 0; i < 2 && i < t.left; i++)
		digits[i] = t.p[i];
	if (!text_number(whole, &n) || n > INT64_MAX / 100 ||
	    !text_number(text_of(digits), &part))
		return false;
	*ret = n * 100 + part;
	return true;
}

void text_copy(struct text t, char *ret, size_t size)
{
	size_t n = t.left < size ? t.left : size - 1;

	memcpy(ret, t.p, n);
	ret[n] = '\0';
}

/* ---- files --------------------------------------------------------------- */

/* Return: the length of all there is, or a negative errno. */
static long read_all(int fd, size_t max, char **ret)
{
	size_t len = 0, size = 0;
	char *buf = NULL;

	for (;;) {
		ssize_t n;

		if (size - len < READ_CHUNK) {
			char *grown = realloc(buf, size + 2 * READ_CHUNK + 1);

			if (!grown) {
				free(buf);
				return -ENOMEM;
			}
			buf = grown;
			size += 2 * READ_CHUNK;
		}
		n = read(fd, buf + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || len + (size_t)n > max) {
			int error = n < 0 ? errno : n > 0 ? EFBIG : 0;

			if (error != 0) {
				free(buf);
				return -error;
			}
			buf[len] = '\0';
			*ret = buf;
			return (long)len;
		}
		len += (size_t)n;
	}
}

long text_read(const char *root, const char *path, size_t max, char **ret)
{
	char full[PATH_MAX];
	int n = snprintf(full, sizeof(full), "%s%s", root, path);
	struct stat st;
	long r;
	int fd;

	*ret = NULL;
	if (n < 0 || (size_t)n >= sizeof(full))
		return -ENAMETOOLONG;
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	else
		r = read_all(fd, max, ret);
	close(fd);
	return r;
}

bool text_read_line(const char *root, const char *path, char *ret, size_t size)
{
	char *buf = NULL;
	long n = text_read(root, path, SMALL_MAX, &buf);
	struct text t, line = {.p = ""};

	ret[0] = '\0';
	if (n >= 0 && buf) {
		t = (struct text){.p = buf, .left = (size_t)n};
		(void)text_line(&t, &line);
		text_copy(text_trim(line), ret, size);
	}
	free(buf);
	return n >= 0;
}

bool text_read_number(const char *root, const char *path, uint64_t *ret)
{
	char line[32];

	return text_read_line(root, path, line, sizeof(line)) &&
	       text_number(text_of(line), ret);
}
