/* SPDX-License-Identifier: MIT */
/*
 * fuzz_qmp.c - a line that QEMU, or whoever has its socket, sends
 *
 * What is accepted must have every member that its kind must have, and must
 * be the same message when it is written out and read again.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "qmp/parse.h"

static void check_kind(const struct qmp_message *m)
{
	switch (m->kind) {
	case QMP_GREETING:
		return;
	case QMP_RETURN:
		FUZZ_CHECK(m->body);
		return;
	case QMP_ERROR:
		FUZZ_CHECK(m->name && m->text);
		return;
	case QMP_EVENT:
		FUZZ_CHECK(m->name);
		FUZZ_CHECK(!m->body || json_is_object(m->body));
		return;
	}
	abort();
}

static void check_again(const struct qmp_message *m)
{
	struct qmp_message again;
	char *text = json_dumps(m->root, JSON_COMPACT);

	FUZZ_CHECK(text);
	FUZZ_CHECK(qmp_parse(text, strlen(text), &again) == 0);
	FUZZ_CHECK(again.kind == m->kind);
	FUZZ_CHECK(again.has_id == m->has_id && again.id == m->id);
	FUZZ_CHECK(!again.body == !m->body);
	qmp_message_done(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = (char *)fuzz_copy(data, size);
	struct qmp_message m = {0};
	int r = qmp_parse(line, size, &m);

	/* What was parsed may not point into the line. */
	free(line);
	if (r == 0) {
		check_kind(&m);
		check_again(&m);
		qmp_message_done(&m);
	} else {
		FUZZ_CHECK(r == -EPROTO && !m.root);
	}
	return 0;
}
