/* SPDX-License-Identifier: MIT */
/* words.c - a growing, NULL-terminated argument vector */
#include "cli/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_STEP 16

/* Appends an array element; @word is consumed, NULL: out of memory. */
static void append(struct words *w, char *word)
{
	char **v = w->v;

	if (w->n + 1 >= w->room) {
		v = realloc(w->v, (w->room + WORDS_STEP) * sizeof(*v));
		if (v) {
			w->v = v;
			w->room += WORDS_STEP;
		}
	}
	if (!word || !v || w->failed) {
		free(word);
		w->failed = true;
		return;
	}
	v[w->n++] = word;
	v[w->n] = NULL;
}

/* words_add() - append a copy of @word */
void words_add(struct words *w, const char *word)
{
	append(w, strdup(word));
}

/* words_addf() - append a formatted word */
void words_addf(struct words *w, const char *fmt, ...)
{
	char *word = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&word, fmt, ap) < 0)
		word = NULL;
	va_end(ap);
	append(w, word);
}

/* words_ok() - did everything that was added find room? */
bool words_ok(const struct words *w)
{
	return !w->failed;
}

/* words_done() - free the words; the struct is empty again */
void words_done(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words){0};
}
