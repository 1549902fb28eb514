/* SPDX-License-Identifier: MIT */
/* fields.c - members of a reply's parameters, checked */
#include "client/fields.h"

#include <string.h>

/* Absent and null are the same. */
static const json_t *get(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_null(v) ? NULL : v;
}

static bool printable(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s < 0x21 || *s > 0x7e)
			return false;
	return true;
}

bool fields_string(const json_t *o, const char *key, bool must, char *ret,
		   size_t size)
{
	const json_t *v = get(o, key);
	const char *s = json_string_value(v);

	ret[0] = '\0';
	if (!v)
		return !must;
	if (!s || json_string_length(v) >= size || !printable(s))
		return false;
	memcpy(ret, s, json_string_length(v) + 1);
	return true;
}

bool fields_u64(const json_t *o, const char *key, bool must, uint64_t *ret)
{
	const json_t *v = get(o, key);

	*ret = 0;
	if (!v)
		return !must;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

bool fields_bool(const json_t *o, const char *key, bool must, bool *ret)
{
	const json_t *v = get(o, key);

	*ret = json_is_true(v);
	return v ? json_is_boolean(v) : !must;
}

bool fields_caller(const json_t *o, struct vmc_caller *ret)
{
	const json_t *caller = get(o, "caller");
	char side[8];
	uint64_t uid, gid;

	if (!json_is_object(caller) ||
	    !fields_string(caller, "side", true, side, sizeof(side)) ||
	    !fields_u64(caller, "uid", true, &uid) || uid > UINT32_MAX ||
	    !fields_u64(caller, "gid", true, &gid) || gid > UINT32_MAX)
		return false;
	if (strcmp(side, "host") != 0 && strcmp(side, "guest") != 0)
		return false;
	ret->side = strcmp(side, "host") == 0 ? VMC_PRINCIPAL_HOST
					      : VMC_PRINCIPAL_GUEST;
	ret->uid = (uid_t)uid;
	ret->gid = (gid_t)gid;
	return true;
}

const char *fields_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

unsigned int fields_reason(const char *word)
{
	static const struct {
		const char *name;
		unsigned int value;
	} rows[] = {
#define X(id, value, name, text) {name, value},
		VMC_REASONS(X)
#undef X
		/* All that is left of a number that has no word. */
		{"vendor", VMC_REASON_VENDOR},
		{"application", VMC_REASON_APP},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, word) == 0)
			return rows[i].value;
	return FIELDS_REASON_UNKNOWN;
}
