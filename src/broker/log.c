/* SPDX-License-Identifier: MIT */
/*
 * log.c - one line per message on standard error
 */
#include "broker/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* Longer lines are cut: a log line is not a data path. */
#define LOG_LINE_MAX 1024

static const char *log_program = "vmchannel";
static enum log_level log_max = LOG_LEVEL_INFO;

void log_init(const char *program)
{
	log_program = program;
}

void log_set_level(enum log_level level)
{
	log_max = level;
}

static const char *level_name(enum log_level level)
{
	static const char *const names[LOG_LEVEL_NUM] = {
		"error",
		"warning",
		"info",
		"debug",
	};

	return names[level];
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	size_t len = 0;
	va_list ap;
	int n;

	if (level > log_max)
		return;
	n = snprintf(line, sizeof(line), "%s: %s: ", log_program,
		     level_name(level));
	if (n < 0)
		return;
	len = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len += (size_t)n;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	line[len++] = '\n';
	/* Nobody to tell if that fails. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

bool log_allowed(struct log_limit *l, uint64_t now_us,
		 unsigned int *ret_suppressed)
{
	uint64_t gained;

	if (!l->started) {
		l->started = true;
		l->tokens = LOG_LIMIT_BURST;
		l->refilled_us = now_us;
	}
	gained = (now_us - l->refilled_us) / LOG_LIMIT_PERIOD_US;
	if (gained > 0) {
		l->refilled_us += gained * LOG_LIMIT_PERIOD_US;
		if (gained > LOG_LIMIT_BURST - l->tokens)
			gained = LOG_LIMIT_BURST - l->tokens;
		l->tokens += (unsigned int)gained;
	}
	if (l->tokens == 0) {
		l->suppressed++;
		return false;
	}
	l->tokens--;
	*ret_suppressed = l->suppressed;
	l->suppressed = 0;
	return true;
}
