/* SPDX-License-Identifier: MIT */
/* tty_message.h - words on a terminal, as wall and write put them there */
#ifndef GUEST_TTY_MESSAGE_H
#define GUEST_TTY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Of what is made of a text: a message with each byte doubled, and a head. */
#define TTY_MESSAGE_MAX 9216

/**
 * tty_message_make() - what is written: a head, and the text with control
 * characters made harmless: it could else reprogram the terminal
 *
 * Return: its length. Pure.
 */
size_t tty_message_make(char ret[TTY_MESSAGE_MAX], const char *text);

/**
 * tty_message() - write it, without waiting for a terminal that is stopped
 * @line: below /dev: "tty1", "pts/0"; anything else is refused
 *
 * Return: was all of it taken?
 */
bool tty_message(const char *line, const char *text);

#endif /* GUEST_TTY_MESSAGE_H */
