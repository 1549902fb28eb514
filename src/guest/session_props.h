/* SPDX-License-Identifier: MIT */
/* session_props.h - a session, a user, as logind describes them */
#ifndef GUEST_SESSION_PROPS_H
#define GUEST_SESSION_PROPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest/session.h"

struct sd_bus_message;

struct session_props {
	char id[SESSION_ID_MAX + 1];
	char user[SESSION_USER_MAX + 1];
	char type[SESSION_WORD_MAX + 1], state[SESSION_WORD_MAX + 1];
	char class[SESSION_CLASS_MAX + 1];
	char seat[SESSION_WORD_MAX + 1], tty[SESSION_WORD_MAX + 1];
	char display[SESSION_WORD_MAX + 1], desktop[SESSION_WORD_MAX + 1];
	char service[SESSION_WORD_MAX + 1];
	char remote_host[SESSION_HOST_MAX + 1];
	uint32_t uid, leader;
	uint64_t since_us, idle_since_us;
	bool active, remote, idle, locked;
};

/* session_props_read() - of "a{sv}". Return: 0, or a negative errno: it is no
 * session */
int session_props_read(struct sd_bus_message *m, struct session_props *ret);
/* session_props_merge() - what of "a{sv}" has changed. Return: 0, or a negative
 * errno: it makes no sense, and nothing changed */
int session_props_merge(struct sd_bus_message *m, struct session_props *s);
/* session_props_json() - as the interface file says */
json_t *session_props_json(const struct session_props *s);
/* session_props_graphical() - a desktop: it locks, and shows messages */
bool session_props_graphical(const struct session_props *s);

struct user_props {
	uint32_t uid;
	char user[SESSION_USER_MAX + 1], state[SESSION_WORD_MAX + 1];
	bool linger;
	uint64_t since_us;
};

/* user_props_read() - of "a{sv}". Return: 0 or a negative errno. */
int user_props_read(struct sd_bus_message *m, struct user_props *ret);
/* user_props_json() - @sessions: their ids; consumed */
json_t *user_props_json(const struct user_props *u, json_t *sessions);

#endif /* GUEST_SESSION_PROPS_H */
