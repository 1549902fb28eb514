/* SPDX-License-Identifier: MIT */
/* output.c - errors, notes, JSON lines and progress */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

/* cli_safe()'s buffers: a line rarely names more things than that. */
#define SAFE_BUFFERS 8
#define SAFE_MAX     512

static int output_errno; /* the first failed write to stdout */
static bool reported;    /* cli_error() has said something */

static struct {
	const char *what; /* NULL: none is running */
	uint64_t since;
	bool shown;
} progress;

uint64_t cli_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

int cli_timeout_ms(unsigned int seconds)
{
	return seconds == 0 || seconds > INT_MAX / 1000 ? VMC_NO_TIMEOUT
							: (int)seconds * 1000;
}

/* Takes the progress line off the screen so that another can be written. */
static void progress_hide(void)
{
	if (progress.shown)
		(void)fputs("\r\033[K", stderr);
	progress.shown = false;
}

static void say(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0)));

static void say(const char *fmt, va_list ap)
{
	progress_hide();
	(void)fflush(stdout);
	(void)fputs("vmchannel: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
}

int cli_error(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	reported = true;
	return status;
}

void cli_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int cli_vmc_error(int r)
{
	int status = CLI_FAILED;

	if (r == -ENOMEM)
		return cli_error(CLI_FAILED, "out of memory");
	if (r == -ENOENT)
		status = CLI_MISSING;
	else if (r == -EACCES)
		status = CLI_REFUSED;
	return cli_error(status, "%s", vmc_strerror());
}

/* UTF-8 passes, save for U+0080 to U+009F, which some terminals obey like
 * escape sequences. */
static bool is_c1(const char *s)
{
	return (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] >= 0x80 &&
	       (unsigned char)s[1] < 0xa0;
}

/* U+2028 to U+202E and U+2066 to U+2069: new lines, and what turns the order of
 * the characters behind it round, so that a line shows what it does not say. */
static bool is_reorder(const char *s)
{
	unsigned char last;

	if (strncmp(s, "\xe2\x80", 2) != 0 && strncmp(s, "\xe2\x81", 2) != 0)
		return false;
	last = (unsigned char)s[2];
	return (unsigned char)s[1] == 0x80 ? last >= 0xa8 && last <= 0xae
					   : last >= 0xa6 && last <= 0xa9;
}

/* In JSON text such a character can only stand in a string, where its escape
 * is the same character. */
void cli_put_json(const char *text)
{
	for (; *text != '\0'; text++) {
		if (is_c1(text)) {
			(void)printf("\\u%04x", (unsigned char)*++text);
		} else if (is_reorder(text)) {
			(void)printf("\\u20%02x",
				     (unsigned char)text[1] == 0x80
					     ? (unsigned char)text[2] - 0x80u
					     : (unsigned char)text[2] - 0x40u);
			text += 2;
		} else if (*text == 0x7f) {
			(void)fputs("\\u007f", stdout);
		} else {
			(void)putchar(*text);
		}
	}
	(void)putchar('\n');
}

int cli_print_json(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (!text)
		return cli_error(CLI_FAILED, "out of memory");
	cli_put_json(text);
	free(text);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

bool cli_flush(void)
{
	if (output_errno == 0 && fflush(stdout) != 0)
		output_errno = errno;
	return output_errno == 0;
}

int cli_finish_output(int status)
{
	progress_hide();
	if (cli_flush())
		return status;
	/* "vmchannel list | head": the reader has what it wanted. But what went
	 * wrong besides, or what a check has found, stays. */
	if (output_errno == EPIPE)
		return status == CLI_FAILED && !reported ? CLI_OK : status;
	return cli_error(CLI_FAILED, "cannot write to stdout: %s",
			 strerror(output_errno));
}

/* Bytes of the character there that a terminal must not see; 0: it may. All of
 * them: some terminals obey the second byte of a C1 alone. */
static size_t unsafe_bytes(const char *text)
{
	unsigned char c = (unsigned char)text[0];

	if (c < 0x20 || c == 0x7f)
		return 1;
	if (is_c1(text))
		return 2;
	return is_reorder(text) ? 3 : 0;
}

void cli_whole(char *text)
{
	size_t len = strlen(text), n = 0;

	/* Back to the first byte of the last character. */
	while (n < 3 && n < len &&
	       ((unsigned char)text[len - 1 - n] & 0xc0) == 0x80)
		n++;
	if (len == n)
		return;
	/* It says how many follow it: 110xxxxx one, 1110xxxx two, ... */
	if ((unsigned char)text[len - 1 - n] >= 0xc0 &&
	    (unsigned char)(text[len - 1 - n] << (n + 1)) >= 0x80)
		text[len - 1 - n] = '\0';
}

const char *cli_safe(const char *text)
{
	static char buffers[SAFE_BUFFERS][SAFE_MAX];
	static unsigned int next;
	char *to = buffers[next++ % SAFE_BUFFERS];
	size_t i, unsafe = 0;

	for (i = 0; text[i] != '\0' && i + 1 < SAFE_MAX; i++) {
		if (unsafe == 0)
			unsafe = unsafe_bytes(text + i);
		to[i] = text[i];
		if (unsafe > 0) {
			to[i] = '?';
			unsafe--;
		}
	}
	to[i] = '\0';
	if (text[i] != '\0')
		cli_whole(to);
	return to;
}

void cli_progress_begin(const char *what)
{
	progress.what = what;
	progress.since = cli_now_us();
}

void cli_progress_tick(void)
{
	uint64_t s;

	if (!progress.what || !isatty(STDERR_FILENO))
		return;
	s = (cli_now_us() - progress.since) / 1000000u;
	if (s < 1)
		return;
	(void)fprintf(stderr, "\r\033[K%s (%llu s)", progress.what,
		      (unsigned long long)s);
	progress.shown = true;
}

void cli_progress_end(void)
{
	progress_hide();
	progress.what = NULL;
}
