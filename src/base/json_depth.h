/* SPDX-License-Identifier: MIT */
/*
 * json_depth.h - how deeply a text of JSON is nested, before it is parsed
 *
 * jansson recurses per level and allows 2048 of them.
 */
#ifndef BASE_JSON_DEPTH_H
#define BASE_JSON_DEPTH_H

#include <stdbool.h>
#include <stddef.h>

/**
 * json_depth_ok() - does it stay within @max levels?
 *
 * Brackets within strings do not count; that the text is JSON at all is the
 * parser's to say.
 */
static inline bool json_depth_ok(const char *text, size_t len, unsigned int max)
{
	unsigned int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']') && depth > 0)
			depth--;
		if (depth > max)
			return false;
	}
	return true;
}

#endif /* BASE_JSON_DEPTH_H */
