/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the frame of the command: verbs, options, output
 *
 * A verb is a "const struct cli_verb verb_NAME" in a file verb_*.c and one row
 * in verbs.def. Those that are one operation of the guest: guest_verb.h. The
 * frame parses its arguments, prints its help, and calls run(); what run()
 * returns is the exit status.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of our own; others are passed on from a child. */
enum cli_exit {
	CLI_OK = 0,
	CLI_NO = 1,       /* the answer is no: an error reply, a failed check */
	CLI_FAILED = 125, /* vmchannel itself failed; wrong usage */
	CLI_REFUSED = 126, /* policy does not allow it */
	CLI_MISSING = 127, /* no such VM or channel */
};

/* As many variables may be added to the environment of a guest's command. */
#define CLI_LIST_MAX 256

/* The values of an option that can be given more than once. */
struct cli_list {
	unsigned int n;
	const char *v[CLI_LIST_MAX + 1]; /* NULL-terminated */
};

/* One option of a verb; one of flag, text, number and list is set, or flag and
 * number: then the value may be left out, --NAME or --NAME=VALUE. Else --NAME
 * VALUE and --NAME=VALUE both work. Before and after the arguments. */
struct cli_option {
	const char *name;  /* without "--"; NULL ends the table */
	char letter;       /* "-t" is the same; 0: none */
	const char *value; /* what stands for the value in help; NULL: flag */
	const char *help;  /* one line; NULL: known only to be refused */
	bool *flag;
	const char **text;
	unsigned int *number; /* decimal, 0..INT_MAX */
	struct cli_list *list;
	unsigned int most; /* of a list; 0: CLI_LIST_MAX */
};

struct cli_args {
	int n; /* arguments without options, up to "--" */
	char **v;
	int n_rest;  /* what came after "--" */
	char **rest; /* NULL-terminated; NULL if there was no "--" */
};

struct cli_verb {
	const char *name;
	const char *args;    /* "VM CHANNEL [-- COMMAND...]", for the usage */
	const char *summary; /* one line, no full stop */
	const char *help;    /* paragraphs and an example; may be NULL */
	const struct cli_option *options; /* may be NULL */
	int min_args, max_args;
	bool takes_rest; /* may have "-- COMMAND..." */
	bool needs_rest;
	int (*run)(const struct cli_args *a);
};

/* Every verb, NULL-terminated, in the order of the help. */
extern const struct cli_verb *const cli_verbs[];
const struct cli_verb *cli_find_verb(const char *name);

/* --json was given. --dir has become VMCHANNEL_DIR in the environment. */
extern bool cli_json;

/* cli_timeout_ms() - of an option in seconds, for the library; 0: for ever */
int cli_timeout_ms(unsigned int seconds);

/* ---- help (help.c) --------------------------------------------------- */

void cli_help_overview(void);
void cli_help_verb(const struct cli_verb *v);

/* ---- output (output.c) ----------------------------------------------- */

/**
 * cli_error() - one line on stderr: the thing and the remedy
 *
 * Return: @status, to be returned by the verb.
 */
int cli_error(int status, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* cli_note() - one line on stderr that is not an error */
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * cli_vmc_error() - report vmc_strerror() for a failed library call
 * @r: the negative errno that the call returned
 *
 * Return: the exit status for it: CLI_MISSING for -ENOENT, CLI_REFUSED for
 * -EACCES, else CLI_FAILED.
 */
int cli_vmc_error(int r);

/**
 * cli_call_error() - report the error reply of a service at the other side
 * @text: its parameters, as JSON
 *
 * Return: the exit status: CLI_REFUSED if policy there does not allow it, else
 * CLI_NO.
 */
int cli_call_error(const char *vm, const char *method, const char *error,
		   const char *text);

/**
 * cli_print_json() - one object as one line on stdout, flushed; consumes it
 * @object: NULL (json_pack() failed) is reported as an error
 *
 * Return: CLI_OK, or CLI_FAILED: a loop ends then, and the frame says why.
 */
int cli_print_json(json_t *object);

/* cli_put_json() - JSON text as one line on stdout; what a terminal would obey
 * is escaped */
void cli_put_json(const char *text);

/* cli_flush() - for loops that print lines: false when stdout is broken */
bool cli_flush(void);

/**
 * cli_finish_output() - did everything reach stdout? The frame asks.
 *
 * Return: @status; CLI_OK if all that went wrong is that the reader of stdout
 * has gone; CLI_FAILED with a message if it could not be written.
 */
int cli_finish_output(int status);

/* cli_safe() - @text for a terminal: control characters become '?'; one of a
 * few static buffers, valid for the next 8 calls */
const char *cli_safe(const char *text);

/* cli_whole() - UTF-8 that was cut: without the piece of a character at its
 * end */
void cli_whole(char *text);

/* ---- progress (output.c) --------------------------------------------- */

/*
 * For whatever may take longer than a second: nothing is shown before, and
 * nothing ever unless stderr is a terminal.
 *
 *	cli_progress_begin("waiting for the guest's agent");
 *	while (...) { poll(..., CLI_PROGRESS_MS); cli_progress_tick(); }
 *	cli_progress_end();
 */
#define CLI_PROGRESS_MS 200
void cli_progress_begin(const char *what);
void cli_progress_tick(void);
void cli_progress_end(void);

/* cli_now_us() - CLOCK_MONOTONIC in microseconds */
uint64_t cli_now_us(void);

#endif /* CLI_CLI_H */
