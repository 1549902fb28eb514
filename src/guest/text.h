/* SPDX-License-Identifier: MIT */
/*
 * text.h - what the kernel and /etc say in text, through a bounded cursor
 *
 * These files are foreign bytes like any other: lines may be missing, longer
 * than expected or no UTF-8. A cursor is a pointer and a length; nothing is
 * read beyond it and nothing needs a NUL. Pure, but for text_read().
 */
#ifndef GUEST_TEXT_H
#define GUEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	const char *p;
	size_t left;
};

/* text_of() - a NUL-terminated string */
struct text text_of(const char *s);

/* text_line() - take the next line, without its newline. Return: false: there
 * is none. */
bool text_line(struct text *t, struct text *ret);

/* text_word() - take the next word between blanks. Return: false: there is
 * none. */
bool text_word(struct text *t, struct text *ret);

/* text_until() - take what is before @c, and @c; all if it is not there */
struct text text_until(struct text *t, char c);

/* text_skip() - does it begin with @prefix? It is taken then. */
bool text_skip(struct text *t, const char *prefix);

/* text_is() - is it exactly @s? */
bool text_is(struct text t, const char *s);

/* text_trim() - without blanks at both ends */
struct text text_trim(struct text t);

/* text_number() - all of it is a decimal number that fits. */
bool text_number(struct text t, uint64_t *ret);

/* text_hundredths() - "12.3456" as 1234; the rest is cut off */
bool text_hundredths(struct text t, uint64_t *ret);

/* text_copy() - as a string; what does not fit is cut off */
void text_copy(struct text t, char *ret, size_t size);

/**
 * text_read() - all of a regular file below @root
 * @root: "" for the real one; another in tests
 * @path: begins with a slash
 * @max:  a larger one is an error
 * @ret:  to be freed; NUL-terminated beyond its end
 *
 * Return: its length, or a negative errno.
 */
long text_read(const char *root, const char *path, size_t max, char **ret);

/* text_read_line() - the first line of a small file, trimmed, as a string.
 * Return: false: it cannot be read; @ret is "" then. */
bool text_read_line(const char *root, const char *path, char *ret, size_t size);

/* text_read_number() - the same, as a number */
bool text_read_number(const char *root, const char *path, uint64_t *ret);

#endif /* GUEST_TEXT_H */
