/* SPDX-License-Identifier: MIT */
/*
 * resume.h - what a supervisor leaves to the program that takes its place
 *
 * A memfd: u64 magic, then u16 type, u16 length and bytes of each item,
 * little-endian. Numbers of descriptors are those of this process: an
 * execve() keeps them. A reader skips types that it does not know and takes
 * what is missing as not there; what cannot be understood that way gets
 * another magic, and the upgrade is refused before anything has happened.
 */
#ifndef HOST_RESUME_H
#define HOST_RESUME_H

#include "host/supervisor.h"

/* Children with the longest of names and all that can be kept, and more. */
#define RESUME_MAX (512u * 1024u)

/**
 * resume_write() - @s to a memfd
 *
 * Return: the memfd, close-on-exec, or a negative errno.
 */
int resume_write(const struct supervisor *s);

/**
 * resume_read() - fill in @s, which is as supervisor_init() made it
 *
 * Descriptors are not looked at. Return: 0 or a negative errno.
 */
int resume_read(struct supervisor *s, int fd);

/* resume_inherit() - shall what @s holds survive an execve()? */
void resume_inherit(const struct supervisor *s, bool yes);

#endif /* HOST_RESUME_H */
