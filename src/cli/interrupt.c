/* SPDX-License-Identifier: MIT */
/* interrupt.c - last words of a command that a signal ends */
#include "cli/interrupt.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 512

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
#define N_SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* Written only while the signals are blocked. */
static char words[WORDS_MAX];

static void on_signal(int sig)
{
	/* Nothing can be done about words that cannot be said. */
	if (write(STDERR_FILENO, words, strlen(words)) < 0) {
	}
	(void)raise(sig); /* SA_RESETHAND: this one ends us */
}

static void format_words(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0)));

static void format_words(const char *fmt, va_list ap)
{
	/* A terminal has "^C" in that line, or a progress line. */
	int n = snprintf(words, sizeof(words),
			 "%svmchannel: ", isatty(STDERR_FILENO) ? "\n" : "");

	n += vsnprintf(words + n, sizeof(words) - (size_t)n - 1, fmt, ap);
	if ((size_t)n > sizeof(words) - 2)
		n = (int)sizeof(words) - 2;
	memcpy(words + n, "\n", 2);
}

static void set_handler(int sig, bool on)
{
	struct sigaction now,
		to = {.sa_handler = SIG_DFL, .sa_flags = (int)SA_RESETHAND};

	if (sigaction(sig, NULL, &now) || now.sa_handler == SIG_IGN)
		return;
	if (on)
		to.sa_handler = on_signal;
	(void)sigaction(sig, &to, NULL);
}

void interrupt_say(const char *fmt, ...)
{
	sigset_t set, before;
	va_list ap;

	sigemptyset(&set);
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaddset(&set, signals[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &before);
	if (fmt) {
		va_start(ap, fmt);
		format_words(fmt, ap);
		va_end(ap);
	}
	for (size_t i = 0; i < N_SIGNALS; i++)
		set_handler(signals[i], fmt != NULL);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
}
