/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vm.c - a QEMU that says what it likes on vmchanneld's QMP connection
 *
 * The first byte says how: is the supervisor's part played, too, and how large
 * the pieces are that come. Whatever comes, only words of the table leave, and
 * what is kept has a limit.
 */
#include <string.h>

#include "fuzz.h"
#include "host/vm_watch.h"

static void check_told(struct vm_watch *w)
{
	uint8_t buf[IPC_BYTES_MAX];
	struct ipc_msg m;

	while (vm_watch_tell(w, &m)) {
		FUZZ_CHECK(ipc_encode(&m, IPC_FROM_QMP, false, buf) > 0);
		FUZZ_CHECK(m.type != IPC_VM ||
			   (m.value > IPC_VM_WAITING && m.value < IPC_VM_NUM));
	}
}

static void check_limits(const struct vm_watch *w)
{
	size_t len;

	qmp_watch_output(&w->qmp, &len);
	FUZZ_CHECK(len < 2 * QMP_WATCH_OUT_MAX);
	FUZZ_CHECK(w->qmp.n_asked <= QMP_WATCH_ASKED_MAX);
	FUZZ_CHECK(w->qmp.in.len <= QMP_WATCH_LINE_MAX + QMP_READ_STEP);
}

/* What is sent is read, every other time. */
static void read_output(struct vm_watch *w, bool all)
{
	size_t len;

	qmp_watch_output(&w->qmp, &len);
	if (len > 0)
		qmp_watch_output_done(&w->qmp, all ? len : len / 2);
}

static int feed(struct vm_watch *w, const uint8_t *data, size_t size,
		size_t step, bool supervised)
{
	uint64_t now = 0;
	int r = 0;

	while (size > 0 && r == 0) {
		size_t n = size < step ? size : step;
		char *room = qmp_watch_room(&w->qmp);

		FUZZ_CHECK(room);
		memcpy(room, data, n);
		data += n;
		size -= n;
		r = vm_watch_input(w, n, now);
		if (supervised && now % 3 == 0)
			vm_watch_look(w, now);
		if (supervised && now % 3 == 1)
			vm_watch_mend(w, "/run/vmstate.sock", now);
		now += 7;
		vm_watch_tick(w, now);
		check_told(w);
		check_limits(w);
		read_output(w, now % 2);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_watch w;
	size_t step;

	if (size == 0)
		return 0;
	step = (size_t)(data[0] >> 1) * 16 + 1;
	vm_watch_init(&w, 0);
	feed(&w, data + 1, size - 1, step, data[0] & 1);
	vm_watch_done(&w);
	return 0;
}
