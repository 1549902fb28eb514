/* SPDX-License-Identifier: MIT */
/* idl.c - values checked against the tables of the interfaces */
#include "varlink/idl.h"

#include <stdio.h>
#include <string.h>

/* A map's keys are names; nothing of ours needs longer ones. */
#define KEY_MAX 255

/* ---- names --------------------------------------------------------------- */

const char *idl_class_name(enum idl_class class)
{
	static const char *const names[] = {"", "read", "control", "full"};

	return names[class];
}

static const struct idl_interface *find(const char *name, size_t len)
{
	for (size_t i = 0; i < idl_n_interfaces; i++) {
		const char *n = idl_interfaces[i].name;

		if (strlen(n) == len && memcmp(n, name, len) == 0)
			return &idl_interfaces[i];
	}
	return NULL;
}

const struct idl_interface *idl_interface(const char *name)
{
	return find(name, strlen(name));
}

/* The interface of "INTERFACE.NAME"; @ret is NAME. */
static const struct idl_interface *split(const char *name, const char **ret)
{
	const char *dot = strrchr(name, '.');

	if (!dot)
		return NULL;
	*ret = dot + 1;
	return find(name, (size_t)(dot - name));
}

const struct idl_method *idl_method(const char *name)
{
	const struct idl_interface *i = split(name, &name);

	for (size_t n = 0; i && n < i->n_methods; n++)
		if (strcmp(i->methods[n].name, name) == 0)
			return &i->methods[n];
	return NULL;
}

static const struct idl_named *named(const struct idl_named *rows, size_t n,
				     const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

const struct idl_named *idl_error(const char *name)
{
	const struct idl_interface *i = split(name, &name);

	return i ? named(i->errors, i->n_errors, name) : NULL;
}

const struct idl_named *idl_event(const char *name)
{
	const struct idl_interface *i = split(name, &name);

	return i ? named(i->events, i->n_events, name) : NULL;
}

const char *idl_description(const char *interface)
{
	for (size_t i = 0; i < idl_n_texts; i++)
		if (strcmp(idl_texts[i].name, interface) == 0)
			return idl_texts[i].text;
	return NULL;
}

/* ---- values -------------------------------------------------------------- */

/* Where the check is: from the value up to the whole. */
struct place {
	const struct place *up;
	const char *name; /* of a member; NULL: an element */
	size_t index;
};

struct check {
	enum idl_unknown unknown;
	char *where;
};

/* A name of the peer's in a text of ours. */
static size_t put_name(char *to, size_t room, const char *name)
{
	size_t n = 0;

	for (; *name != '\0' && n + 1 < room; name++) {
		char c = '?';

		if (*name > ' ' && *name <= '~')
			c = *name;
		to[n++] = c;
	}
	to[n] = '\0';
	return n;
}

static size_t put_place(char *to, size_t room, const struct place *p)
{
	size_t n = p->up ? put_place(to, room, p->up) : 0;

	if (p->name && n > 0 && n + 1 < room)
		to[n++] = '.';
	if (p->name)
		return n + put_name(to + n, room - n, p->name);
	if (p->up && room - n > 24)
		n += (size_t)snprintf(to + n, room - n, "[%zu]", p->index);
	return n;
}

static bool wrong(const struct check *c, const struct place *p)
{
	c->where[0] = '\0';
	put_place(c->where, IDL_WHERE_MAX, p);
	return false;
}

static bool in_range(const struct idl_type *t, size_t n)
{
	/* A message has 64 KiB: n is small. */
	return (int64_t)n >= t->min && (int64_t)n <= t->max;
}

static bool is_word(const struct idl_type *t, const json_t *v)
{
	const char *s = json_string_value(v);

	for (const char *const *w = t->words; s && *w; w++)
		if (strcmp(*w, s) == 0)
			return true;
	return false;
}

static bool check_struct(const struct check *c, const struct idl_struct *s,
			 json_t *object, const struct place *at);
static bool check_value(const struct check *c, const struct idl_type *t,
			json_t *v, const json_t *in, const struct place *at);

static bool check_array(const struct check *c, const struct idl_type *t,
			json_t *v, const struct place *at)
{
	struct place p = {.up = at};

	if (!json_is_array(v) || !in_range(t, json_array_size(v)))
		return wrong(c, at);
	for (; p.index < json_array_size(v); p.index++)
		if (!check_value(c, t->of, json_array_get(v, p.index), NULL,
				 &p))
			return false;
	return true;
}

static bool check_map(const struct check *c, const struct idl_type *t,
		      json_t *v, const struct place *at)
{
	struct place p = {.up = at};
	json_t *element;

	if (!json_is_object(v) || !in_range(t, json_object_size(v)))
		return wrong(c, at);
	json_object_foreach(v, p.name, element)
	{
		if (strlen(p.name) > KEY_MAX)
			return wrong(c, at);
		if (!check_value(c, t->of, element, NULL, &p))
			return false;
	}
	return true;
}

/* An object that the string beside it gives a type. */
static bool check_object(const struct check *c, const struct idl_type *t,
			 json_t *v, const json_t *in, const struct place *at)
{
	const char *name;
	const struct idl_named *type;

	if (!json_is_object(v))
		return wrong(c, at);
	if (!t->tag)
		return true;
	name = json_string_value(json_object_get(in, t->tag));
	type = name ? idl_event(name) : NULL;
	if (type)
		return check_struct(c, type->fields, v, at);
	if (c->unknown == IDL_REFUSE)
		return wrong(c, at);
	json_object_clear(v);
	return true;
}

/* @in: the object that @v is a member of */
static bool check_value(const struct check *c, const struct idl_type *t,
			json_t *v, const json_t *in, const struct place *at)
{
	bool ok = false;

	switch (t->kind) {
	case IDL_BOOL:
		ok = json_is_boolean(v);
		break;
	case IDL_INT:
		ok = json_is_integer(v) && json_integer_value(v) >= t->min &&
		     json_integer_value(v) <= t->max;
		break;
	case IDL_FLOAT:
		ok = json_is_number(v);
		break;
	case IDL_STRING:
		ok = json_is_string(v) && in_range(t, json_string_length(v));
		break;
	case IDL_ENUM:
		ok = is_word(t, v);
		break;
	case IDL_OBJECT:
		return check_object(c, t, v, in, at);
	case IDL_STRUCT:
		return check_struct(c, t->fields, v, at);
	case IDL_ARRAY:
		return check_array(c, t, v, at);
	case IDL_MAP:
		return check_map(c, t, v, at);
	}
	return ok || wrong(c, at);
}

static const struct idl_field *field_of(const struct idl_struct *s,
					const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->fields[i].name, name) == 0)
			return &s->fields[i];
	return NULL;
}

/* Members that the type does not have. */
static bool check_unknown(const struct check *c, const struct idl_struct *s,
			  json_t *object, const struct place *at)
{
	struct place p = {.up = at};
	json_t *v;
	void *next;

	json_object_foreach_safe(object, next, p.name, v)
	{
		if (field_of(s, p.name))
			continue;
		if (c->unknown == IDL_REFUSE)
			return wrong(c, &p);
		json_object_del(object, p.name);
	}
	return true;
}

static bool check_struct(const struct check *c, const struct idl_struct *s,
			 json_t *object, const struct place *at)
{
	if (!json_is_object(object))
		return wrong(c, at);
	for (size_t i = 0; i < s->n; i++) {
		const struct idl_field *f = &s->fields[i];
		json_t *v = json_object_get(object, f->name);
		struct place p = {.up = at, .name = f->name};

		if (f->type.nullable && (!v || json_is_null(v)))
			continue;
		if (!v)
			return wrong(c, &p);
		if (!check_value(c, &f->type, v, object, &p))
			return false;
	}
	return check_unknown(c, s, object, at);
}

/* NOLINTBEGIN(readability-non-const-parameter): wrong() writes to it */
bool idl_check(const struct idl_struct *type, json_t *object,
	       enum idl_unknown unknown, char *ret_where)
{
	const struct check c = {.unknown = unknown, .where = ret_where};
	const struct place whole = {.name = ""};

	return check_struct(&c, type, object, &whole);
}
/* NOLINTEND(readability-non-const-parameter) */
