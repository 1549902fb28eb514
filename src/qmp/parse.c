/* SPDX-License-Identifier: MIT */
/* parse.c - one line of QMP, checked */
#include "qmp/parse.h"

#include <errno.h>

#include "base/json_depth.h"

static bool parse_greeting(json_t *value, struct qmp_message *m)
{
	m->kind = QMP_GREETING;
	return json_is_object(value);
}

static bool parse_return(json_t *value, struct qmp_message *m)
{
	m->kind = QMP_RETURN;
	m->body = value;
	return true;
}

static bool parse_error(json_t *value, struct qmp_message *m)
{
	m->kind = QMP_ERROR;
	m->name = json_string_value(json_object_get(value, "class"));
	m->text = json_string_value(json_object_get(value, "desc"));
	return m->name && m->text;
}

static bool parse_event(json_t *value, struct qmp_message *m)
{
	m->kind = QMP_EVENT;
	m->name = json_string_value(value);
	m->body = json_object_get(m->root, "data");
	return m->name && (!m->body || json_is_object(m->body));
}

/* The member that decides which kind of message it is. */
static const struct {
	const char *key;
	bool (*parse)(json_t *value, struct qmp_message *m);
} kinds[] = {
	{"return", parse_return},
	{"error", parse_error},
	{"event", parse_event},
	{"QMP", parse_greeting},
};

static bool parse_object(struct qmp_message *m)
{
	json_t *id = json_object_get(m->root, "id");

	m->has_id = json_is_integer(id);
	m->id = json_integer_value(id);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		json_t *value = json_object_get(m->root, kinds[i].key);

		if (value)
			return kinds[i].parse(value, m);
	}
	return false;
}

int qmp_parse(const char *line, size_t len, struct qmp_message *ret)
{
	struct qmp_message m = {0};

	if (!json_depth_ok(line, len, QMP_DEPTH_MAX))
		return -EPROTO;
	m.root = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!m.root)
		return -EPROTO;
	if (!json_is_object(m.root) || !parse_object(&m)) {
		json_decref(m.root);
		return -EPROTO;
	}
	*ret = m;
	return 0;
}

/* qmp_message_done() - free what qmp_parse() returned */
void qmp_message_done(struct qmp_message *m)
{
	json_decref(m->root);
	*m = (struct qmp_message){0};
}
