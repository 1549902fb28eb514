/* SPDX-License-Identifier: MIT */
/*
 * guest_verb.h - verbs that are one operation of the guest
 *
 * Most are a row: what to ask and how the answer is shown.
 */
#ifndef CLI_GUEST_VERB_H
#define CLI_GUEST_VERB_H

#include "cli/guest_call.h"
#include "cli/table.h"

/* A verb that shows a list. */
struct guest_list {
	const char *method; /* such as GUEST "Session.ListSessions" */
	const char *list;   /* the member that has it */
	const struct table_column *columns;
	bool (*shown)(const json_t *element); /* NULL: all of them */
	const char *none; /* said of a list without any; "VM: " goes before */
	bool clock;       /* a column is TABLE_AGO: the guest's time is asked */
};

/**
 * guest_list() - ask, and print a table; with --json each element as one line,
 * as the interface file has it, with "vm"
 * @parameters: consumed; NULL: none
 */
int guest_list(const char *vm, const struct guest_list *l, json_t *parameters);

/* A verb that does something. */
struct guest_act {
	const char *method;
	bool request;      /* it takes one */
	const char *count; /* member that is not to be 0, or the answer is no */
	/* one line on stdout about the reply, without "VM: " and newline */
	void (*say)(const json_t *reply);
};

/**
 * guest_act() - do it, and say so; with --json the reply with "vm"
 * @parameters: consumed; NULL: none
 */
int guest_act(const char *vm, const struct guest_act *act, json_t *parameters);

/* guest_print() - @o with "vm" as one line of JSON; borrowed. Return: as
 * cli_print_json(). */
int guest_print(const char *vm, const json_t *o);

/**
 * guest_user() - the uid of somebody who is logged in, by name or number
 *
 * Return: CLI_OK, or the exit status with the reason on stderr.
 */
int guest_user(const char *vm, const char *user, json_int_t *ret);

#endif /* CLI_GUEST_VERB_H */
