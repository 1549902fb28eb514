/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line per message on standard error, with stable keys
 *
 *	vmchannel-agent: warning: ev=link-ended why=eof
 *
 * Everything that a peer or a local program can trigger goes through
 * log_limited(): a burst, then a trickle, and the number left out is told.
 */
#ifndef BROKER_LOG_H
#define BROKER_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,   /* we failed at something */
	LOG_LEVEL_WARNING, /* we go on; the line says how */
	LOG_LEVEL_INFO,    /* rare and of interest to the administrator */
	LOG_LEVEL_DEBUG,   /* only if log_set_level() allowed it */
	LOG_LEVEL_NUM
};

/* State of one call site's limit; all zero at first. */
struct log_limit {
	uint64_t refilled_us;
	unsigned int tokens;
	unsigned int suppressed;
	bool started;
};

#define LOG_LIMIT_BURST     10       /* lines at once per call site */
#define LOG_LIMIT_PERIOD_US 6000000u /* then one line in this time */

/* log_init() - name that starts every line; borrowed for ever */
void log_init(const char *program);
/* log_set_level() - the most talkative level that is still printed */
void log_set_level(enum log_level level);

/**
 * log_line() - print one message
 * @fmt: printf-like, without program, level or newline; foreign strings must
 *       have been checked or escaped
 */
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * log_allowed() - may this call site print now?
 * @l:               its state
 * @now_us:          monotonic
 * @ret_suppressed:  lines left out since the last one printed
 *
 * Pure, so that it can be tested.
 */
bool log_allowed(struct log_limit *l, uint64_t now_us,
		 unsigned int *ret_suppressed);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define log_limited(now_us, level, ...)                             \
	do {                                                        \
		static struct log_limit limit_;                     \
		unsigned int left_out_;                             \
                                                                    \
		if (!log_allowed(&limit_, (now_us), &left_out_))    \
			break;                                      \
		if (left_out_ > 0)                                  \
			log_line((level), "ev=suppressed lines=%u", \
				 left_out_);                        \
		log_line((level), __VA_ARGS__);                     \
	} while (0)

#endif /* BROKER_LOG_H */
