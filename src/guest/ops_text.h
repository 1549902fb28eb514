/* SPDX-License-Identifier: MIT */
/*
 * ops_text.h - foreign text, as short as an interface file allows
 *
 * The rule: what is too long is cut after the last whole character that fits;
 * a byte that is no UTF-8 becomes '?'; a NUL ends it. Pure.
 */
#ifndef GUEST_OPS_TEXT_H
#define GUEST_OPS_TEXT_H

#include <jansson.h>
#include <stddef.h>

/**
 * op_cut() - a copy by the rule above
 * @size: of @dst, with the NUL: at least 1
 * @len:  of @src, which need not have a NUL
 *
 * Return: @dst
 */
char *op_cut(char *dst, size_t size, const char *src, size_t len);

/* op_text() - the same as a JSON string of at most @max bytes, which is not
 * more than OP_TEXT_MAX; @s: NULL is "" */
#define OP_TEXT_MAX 4096
json_t *op_text(const char *s, size_t max);
/* op_text_n() - of a field of @len bytes that may have no NUL */
json_t *op_text_n(const char *s, size_t len, size_t max);
/* op_text_or_null() - the same; NULL instead of an empty one, for "s:o*" */
json_t *op_text_or_null(const char *s, size_t max);

#endif /* GUEST_OPS_TEXT_H */
