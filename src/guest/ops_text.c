/* SPDX-License-Identifier: MIT */
/* ops_text.c - foreign text, bounded and in UTF-8 */
#include "guest/ops_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Is the lead byte that of a character of two, three or four bytes, and what is
 * the least that may be written with so many? */
static const struct {
	uint8_t mask, lead;
	size_t len;
	uint32_t least;
} kinds[] = {
	{0x80, 0x00, 1, 0},
	{0xe0, 0xc0, 2, 0x80},
	{0xf0, 0xe0, 3, 0x800},
	{0xf8, 0xf0, 4, 0x10000},
};

static bool is_scalar(uint32_t c, uint32_t least)
{
	return c >= least && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

/* Return: bytes of the character that @s begins with, 0 if it is none. */
static size_t character(const uint8_t *s, size_t len)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		uint32_t c;

		if ((s[0] & kinds[k].mask) != kinds[k].lead)
			continue;
		if (kinds[k].len > len)
			return 0;
		c = s[0] & (uint8_t)~kinds[k].mask;
		for (size_t i = 1; i < kinds[k].len; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		return is_scalar(c, kinds[k].least) ? kinds[k].len : 0;
	}
	return 0;
}

char *op_cut(char *dst, size_t size, const char *src, size_t len)
{
	size_t at = 0;

	len = strnlen(src, len);
	for (size_t i = 0; i < len;) {
		size_t n = character((const uint8_t *)src + i, len - i);
		bool ok = n > 0;

		n = ok ? n : 1;
		if (at + n >= size)
			break;
		if (ok)
			memcpy(dst + at, src + i, n);
		else
			dst[at] = '?';
		at += n;
		i += n;
	}
	dst[at] = '\0';
	return dst;
}

json_t *op_text_n(const char *s, size_t len, size_t max)
{
	char buf[OP_TEXT_MAX + 1];

	return json_string(
		op_cut(buf, max < OP_TEXT_MAX ? max + 1 : sizeof(buf), s, len));
}

json_t *op_text(const char *s, size_t max)
{
	return op_text_n(s ? s : "", s ? strlen(s) : 0, max);
}

json_t *op_text_or_null(const char *s, size_t max)
{
	return s && s[0] != '\0' ? op_text(s, max) : NULL;
}
