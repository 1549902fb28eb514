/* SPDX-License-Identifier: MIT */
/* table.h - columns for people, made of JSON objects */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <jansson.h>
#include <stddef.h>

/* A cell is never longer; one line rarely is. */
#define TABLE_CELL_MAX    512
#define TABLE_COLUMNS_MAX 14

enum table_kind {
	TABLE_TEXT,   /* foreign text, escaped */
	TABLE_NUMBER, /* an int */
	TABLE_BYTES,  /* an int: 1.5G */
	TABLE_TIME,   /* us since 1970: 2026-11-23 08:05, local time */
	TABLE_AGO,    /* the same, as the time since: 3:05, 2 d */
	TABLE_FLAG,   /* true: the column's head in small letters */
};

/* What stands where a member is absent or null, or a text empty. */
#define TABLE_NONE "-"

struct table_column {
	const char *head;
	const char *key; /* of the object */
	enum table_kind kind;
	/* Instead of key and kind: writes at most TABLE_CELL_MAX bytes; what
	 * is foreign in them goes through cli_safe(). "" is TABLE_NONE. */
	void (*text)(const json_t *row, long long now_us, char *ret);
};

/**
 * table_print() - a line of heads and one for each object, columns as wide as
 * they must be
 * @columns: up to TABLE_COLUMNS_MAX; one without head ends them
 * @rows:    array of objects
 * @now_us:  the present by the clock that the times are of; 0: not known, and
 *           TABLE_AGO is TABLE_NONE
 *
 * Return: CLI_OK, or CLI_FAILED with the reason on stderr.
 */
int table_print(const struct table_column *columns, const json_t *rows,
		long long now_us);

/* ---- cells: each writes at most @size bytes --------------------------------
 */

/* table_bytes() - 0, 512, 1.5K, 20M */
void table_bytes(long long n, char *ret, size_t size);
/* table_time() - 2026-11-23 08:05 */
void table_time(long long us, char *ret, size_t size);
/* table_duration() - 45s, 12:05 (minutes and seconds), 3h05, 2d03h */
void table_duration(long long us, char *ret, size_t size);

#endif /* CLI_TABLE_H */
