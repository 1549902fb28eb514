/* SPDX-License-Identifier: MIT */
/*
 * opframe.h - the frames of org.vmchannel.Exec and .File
 *
 * Source: docs/operations.md, "Frames". Both ends use this: the operations
 * process in the guest and the command on the host. Which types may come in
 * which state is theirs to check.
 */
#ifndef BASE_OPFRAME_H
#define BASE_OPFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPFRAME_HEAD 8u
/* One frame is one read and one write of a pipe that was made large; a larger
 * one would let a side that reads slowly hold up what comes behind it. */
#define OPFRAME_MAX 65536u
#define OPFRAME_SUM 32u /* SHA-256 */

/* Data that a command did not take yet, at most: the guest keeps it, so that a
 * signal gets past. Two round trips of a busy guest are filled with it. */
#define OPFRAME_WINDOW (256u << 10)

enum opframe_type {
	OPFRAME_DATA,
	OPFRAME_OUT,
	OPFRAME_ERR,
	OPFRAME_END,
	OPFRAME_SIZE,
	OPFRAME_SIGNAL,
	OPFRAME_EXIT,
	OPFRAME_SUM_OF,
	OPFRAME_ERROR,
	OPFRAME_TOOK,
	OPFRAME_TYPES
};

/**
 * struct opframe - what a head says
 * @len: bytes that follow it, of a number that this type can have
 */
struct opframe {
	enum opframe_type type;
	uint32_t len;
};

/**
 * opframe_get() - read the head of a frame
 * @p: OPFRAME_HEAD bytes
 *
 * Return: false if it is none: an unknown type, bytes that are not zero, a
 * length that the type does not have.
 */
bool opframe_get(const uint8_t *p, struct opframe *ret);

/* opframe_put() - write the head of a frame to OPFRAME_HEAD bytes at @p */
void opframe_put(uint8_t *p, enum opframe_type type, size_t len);

/* Bodies. get: false if a value is out of its range. */

struct opframe_size {
	uint16_t rows, columns; /* 1.. */
};

#define OPFRAME_SIZE_LEN 4u
bool opframe_get_size(const uint8_t *p, struct opframe_size *ret);
void opframe_put_size(uint8_t *p, const struct opframe_size *size);

struct opframe_exit {
	bool killed;   /* by a signal */
	uint8_t value; /* the exit status, or the signal: 1..64 */
};

#define OPFRAME_EXIT_LEN 2u
bool opframe_get_exit(const uint8_t *p, struct opframe_exit *ret);
void opframe_put_exit(uint8_t *p, const struct opframe_exit *how);

#define OPFRAME_SIGNAL_LEN 1u
#define OPFRAME_SIGNAL_MAX 64u
/* opframe_get_signal() - 1..OPFRAME_SIGNAL_MAX, or 0: none */
unsigned int opframe_get_signal(const uint8_t *p);

#define OPFRAME_TOOK_LEN 4u
/* opframe_get_took() - bytes, 1..OPFRAME_WINDOW, or 0: not a number of those */
uint32_t opframe_get_took(const uint8_t *p);
void opframe_put_took(uint8_t *p, uint32_t bytes);

#endif /* BASE_OPFRAME_H */
