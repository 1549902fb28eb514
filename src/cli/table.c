/* SPDX-License-Identifier: MIT */
/* table.c - columns for people, made of JSON objects */
#include "cli/table.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/cli.h"

#define GAP 2 /* between columns */

struct table {
	const struct table_column *columns;
	size_t n;                        /* columns */
	size_t width[TABLE_COLUMNS_MAX]; /* characters */
	json_t *cells;                   /* texts, row by row */
};

void table_bytes(long long n, char *ret, size_t size)
{
	static const char units[] = "KMGTPE";
	double v = (double)n;
	size_t unit = 0;

	if (n < 1024) {
		snprintf(ret, size, "%lld", n);
		return;
	}
	/* What would be shown as 1024 is 1.0 of the next one. */
	for (v /= 1024; v >= 1023.5 && unit + 2 < sizeof(units); unit++)
		v /= 1024;
	snprintf(ret, size, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[unit]);
}

void table_time(long long us, char *ret, size_t size)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;

	if (!localtime_r(&s, &tm) ||
	    strftime(ret, size, "%Y-%m-%d %H:%M", &tm) == 0)
		snprintf(ret, size, "%s", TABLE_NONE);
}

void table_duration(long long us, char *ret, size_t size)
{
	long long s = us < 0 ? 0 : us / 1000000;

	if (s < 60)
		snprintf(ret, size, "%llds", s);
	else if (s < 3600)
		snprintf(ret, size, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(ret, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(ret, size, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static void put_flag(const struct table_column *c, const json_t *v, char *ret)
{
	size_t i = 0;

	if (json_is_true(v))
		for (; c->head[i] != '\0' && i + 1 < TABLE_CELL_MAX; i++)
			ret[i] = (char)tolower((unsigned char)c->head[i]);
	ret[i] = '\0';
}

static void put_int(const struct table_column *c, long long n, long long now_us,
		    char *ret)
{
	if (c->kind == TABLE_NUMBER)
		snprintf(ret, TABLE_CELL_MAX, "%lld", n);
	else if (c->kind == TABLE_BYTES)
		table_bytes(n, ret, TABLE_CELL_MAX);
	else if (c->kind == TABLE_TIME)
		table_time(n, ret, TABLE_CELL_MAX);
	else if (now_us > 0)
		table_duration(now_us - n, ret, TABLE_CELL_MAX);
}

static void put_cell(const struct table_column *c, const json_t *row,
		     long long now_us, char *ret)
{
	const json_t *v = c->key ? json_object_get(row, c->key) : NULL;

	ret[0] = '\0';
	if (c->text)
		c->text(row, now_us, ret);
	else if (c->kind == TABLE_TEXT)
		snprintf(ret, TABLE_CELL_MAX, "%s", ask_text(row, c->key));
	else if (c->kind == TABLE_FLAG)
		put_flag(c, v, ret);
	else if (json_is_integer(v))
		put_int(c, json_integer_value(v), now_us, ret);
	if (ret[0] == '\0')
		snprintf(ret, TABLE_CELL_MAX, "%s", TABLE_NONE);
}

static bool is_number(const struct table_column *c)
{
	return !c->text && (c->kind == TABLE_NUMBER || c->kind == TABLE_BYTES);
}

/* Characters, not bytes: of UTF-8 that was checked. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static bool add_row(struct table *t, const json_t *row, long long now_us)
{
	char text[TABLE_CELL_MAX];

	for (size_t i = 0; i < t->n; i++) {
		size_t width;

		if (row)
			put_cell(&t->columns[i], row, now_us, text);
		else
			snprintf(text, sizeof(text), "%s", t->columns[i].head);
		cli_whole(text);
		/* Whatever it is, it was checked before. */
		if (json_array_append_new(t->cells, json_string_nocheck(text)))
			return false;
		width = width_of(text);
		if (width > t->width[i])
			t->width[i] = width;
	}
	return true;
}

static void put_row(const struct table *t, size_t row)
{
	for (size_t i = 0; i < t->n; i++) {
		const char *text = json_string_value(
			json_array_get(t->cells, row * t->n + i));
		int pad = (int)(t->width[i] - width_of(text));
		bool right = is_number(&t->columns[i]), last = i + 1 == t->n;

		printf("%*s%s", right ? pad : 0, "", text);
		if (!last)
			printf("%*s", (right ? 0 : pad) + GAP, "");
	}
	(void)putchar('\n');
}

int table_print(const struct table_column *columns, const json_t *rows,
		long long now_us)
{
	struct table t = {.columns = columns, .cells = json_array()};
	size_t i, n = json_array_size(rows);
	bool good;

	while (t.n < TABLE_COLUMNS_MAX && columns[t.n].head)
		t.n++;
	good = add_row(&t, NULL, 0);
	for (i = 0; good && i < n; i++)
		good = add_row(&t, json_array_get(rows, i), now_us);
	for (i = 0; good && i <= n; i++)
		put_row(&t, i);
	json_decref(t.cells);
	if (!good)
		return cli_error(CLI_FAILED, "out of memory");
	return cli_flush() ? CLI_OK : CLI_FAILED;
}
