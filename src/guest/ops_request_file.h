/* SPDX-License-Identifier: MIT */
/* ops_request_file.h - requests that outlive the process: one line for the
 * beginning of each, and one for its end */
#ifndef GUEST_OPS_REQUEST_FILE_H
#define GUEST_OPS_REQUEST_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct request_file;

/* What a line says; method is NULL at the end of one, text if it has no reply.
 * Borrowed. */
struct request_line {
	const char *id, *method;
	uid_t uid;
	const json_t *parameters;
	const char *text; /* with the NUL that ends a message */
	size_t len;
};

typedef void request_line_fn(const struct request_line *line, void *data);

/* request_file_open() - the file and what it holds of this boot; NULL: no
 * memory */
struct request_file *request_file_open(const char *path, const char *boot,
				       request_line_fn *fn, void *data);
void request_file_close(struct request_file *f);

/* request_file_add() - Return: false: the file must be made anew, with what
 * is still of use */
bool request_file_add(struct request_file *f, const struct request_line *line);

/* request_file_anew() - before request_file_add() of what is of use; then
 * request_file_take() puts it in the place of the old one */
void request_file_anew(struct request_file *f);
void request_file_take(struct request_file *f);

#endif /* GUEST_OPS_REQUEST_FILE_H */
