/* SPDX-License-Identifier: MIT */
/*
 * idl.h - the project's interfaces as tables, and the one check against them
 *
 * tools/idl makes the tables from interfaces/ at build time. The operations
 * process checks calls and its own replies by them, the client library what a
 * guest replies. Pure.
 *
 * The codec (varlink.h) has bounded a message's size and depth and checked its
 * UTF-8 before anything of it comes here; a type may contain itself, so it is
 * the value's depth that ends the recursion.
 */
#ifndef VARLINK_IDL_H
#define VARLINK_IDL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum idl_kind {
	IDL_BOOL,
	IDL_INT,
	IDL_FLOAT,
	IDL_STRING,
	IDL_OBJECT, /* any object, or one that a tag names */
	IDL_ENUM,
	IDL_STRUCT,
	IDL_ARRAY,
	IDL_MAP,
};

struct idl_struct;

struct idl_type {
	enum idl_kind kind;
	bool nullable;             /* may be null, or not there */
	int64_t min, max;          /* of an int; bytes; elements */
	const struct idl_type *of; /* of an array's or map's elements */
	const struct idl_struct *fields;
	const char *const *words; /* of an enum, NULL-terminated */
	const char *tag; /* object: the string beside it that names its event
			    type; NULL: any object */
};

struct idl_field {
	const char *name;
	struct idl_type type;
};

struct idl_struct {
	const struct idl_field *fields;
	size_t n;
};

/* The policy class of a method. */
enum idl_class {
	IDL_NO_CLASS, /* policy does not ask about it */
	IDL_READ,
	IDL_CONTROL,
	IDL_FULL,
};

struct idl_method {
	const char *name; /* without the interface */
	enum idl_class class;
	bool more, upgrade; /* must be called so */
	struct idl_struct in, out;
};

/* An error, or the type of an event's parameters. */
struct idl_named {
	const char *name;
	const struct idl_struct *fields;
};

struct idl_interface {
	const char *name;
	const struct idl_method *methods;
	size_t n_methods;
	const struct idl_named *errors;
	size_t n_errors;
	const struct idl_named *events;
	size_t n_events;
};

extern const struct idl_interface idl_interfaces[];
extern const size_t idl_n_interfaces;

/* The files themselves, for GetInterfaceDescription. */
struct idl_text {
	const char *name; /* of the interface */
	const char *text;
};

extern const struct idl_text idl_texts[];
extern const size_t idl_n_texts;

/* idl_class_name() - "read", "control", "full"; "" for none */
const char *idl_class_name(enum idl_class class);

/* idl_interface() - by its name; NULL: not one of ours */
const struct idl_interface *idl_interface(const char *name);

/* The same for "INTERFACE.NAME". */
const struct idl_method *idl_method(const char *name);
const struct idl_named *idl_error(const char *name);
const struct idl_named *idl_event(const char *name);

/* idl_description() - the text of an interface, or NULL */
const char *idl_description(const char *interface);

/* What becomes of members that the type does not have. */
enum idl_unknown {
	IDL_REFUSE, /* calls: the caller means something that we would not do */
	IDL_DROP,   /* replies: of a newer version; removed, as unchecked */
};

/* Room for where a value is wrong: "sessions[3].uid". */
#define IDL_WHERE_MAX 128

/**
 * idl_check() - is that object what the type says?
 * @object:    foreign; with IDL_DROP, members are removed
 * @ret_where: IDL_WHERE_MAX bytes: the first member that is wrong, or missing;
 *             printable ASCII
 *
 * Members that may be absent may be null instead. An object whose event type
 * is not known (of a newer version) is emptied with IDL_DROP.
 */
bool idl_check(const struct idl_struct *type, json_t *object,
	       enum idl_unknown unknown, char *ret_where);

#endif /* VARLINK_IDL_H */
