/* SPDX-License-Identifier: MIT */
/* ask.h - questions to the broker of this side */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <jansson.h>

/* What a broker answers from memory; a list must not hang on a sick one. */
#define ASK_QUICK_MS 3000
#define ASK_MS       20000

/**
 * ask_quiet() - call a method of org.vmchannel.Broker, report nothing
 * @method:     without the interface
 * @parameters: consumed; NULL: no memory for it
 * @ret_error:  the error's name, to be free()d, or NULL if it was none; then
 *              @ret has the error's parameters
 *
 * Return: 0, or a negative errno with vmc_strerror() set.
 */
int ask_quiet(const char *vm, const char *method, json_t *parameters,
	      int timeout_ms, json_t **ret, char **ret_error);

/* ask_report() - say what an error reply means. Return: the exit status. */
int ask_report(const char *vm, const char *error, const json_t *parameters);

/**
 * ask() - the same for a verb: failures are reported on stderr
 *
 * Return: CLI_OK with @ret, or the exit status.
 */
int ask(const char *vm, const char *method, json_t *parameters, json_t **ret);

/**
 * ask_list() - ask for a list of whatever length, in as many replies as it
 * takes
 * @key: the list's name in each reply
 *
 * Return: CLI_OK with an array, or the exit status.
 */
int ask_list(const char *vm, const char *method, const char *key, json_t **ret);

/* Members of an answer, for printing: "" or 0 when they are missing or not of
 * that type. */
const char *ask_text(const json_t *o, const char *key);
long long ask_number(const json_t *o, const char *key);

#endif /* CLI_ASK_H */
