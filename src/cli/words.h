/* SPDX-License-Identifier: MIT */
/* words.h - a growing, NULL-terminated argument vector */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Running out of memory sticks: add everything, then ask words_ok() once. */
struct words {
	char **v; /* NULL-terminated once something was added */
	size_t n, room;
	bool failed;
};

void words_add(struct words *w, const char *word);
void words_addf(struct words *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool words_ok(const struct words *w);
void words_done(struct words *w);

#endif /* CLI_WORDS_H */
