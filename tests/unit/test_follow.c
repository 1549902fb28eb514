/* SPDX-License-Identifier: MIT */
/* test_follow.c - VMC_FOLLOW against scripted brokers: the one that the VM
 * leaves, and the one where it goes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

#include "client/keep.h"
#include "script_broker.h"

#define VM      SCRIPT_VM
#define CHANNEL "org.example.echo"
#define PATIENT 20000
#define TOKEN   "00112233445566778899aabbccddeeff"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define DO(what)                       \
	{                              \
		SCRIPT_##what, NULL, 0 \
	}
#define GET(text)                      \
	{                              \
		SCRIPT_EXPECT, text, 0 \
	}
#define SAY(text)                    \
	{                            \
		SCRIPT_SEND, text, 0 \
	}
#define REPLY(text) SAY(text), DO(NUL)

/* How a stream begins at the source. */
#define BEGIN                                                              \
	DO(ACCEPT), GET("\"follow\":true"),                                \
		REPLY("{\"parameters\":{\"id\":\"i-1\",\"token\":\"" TOKEN \
		      "\"}}")

#define STREAM(state, reason)                                            \
	"{\"parameters\":{\"stream\":{\"id\":\"i-1\",\"channel\":\"c\"," \
	"\"direction\":\"outgoing\",\"state\":\"" state                  \
	"\",\"reason\":" reason                                          \
	",\"bytes_in\":1,\"bytes_out\":2,\"caller\":{\"side\":"          \
	"\"host\",\"uid\":0,\"gid\":0}}}}"
#define STATUS(state, reason) \
	DO(ACCEPT), GET("StreamStatus"), REPLY(STREAM(state, reason))

/* Their way ends, and the stream does not. */
#define IN_ORDER DO(SHUT), DO(SWAP), STATUS("open", "null"), DO(SWAP)

/* How a broker answers from then on. */
#define ENDED(reason)                                     \
	{                                                 \
		SCRIPT_ANSWER, STREAM("ended", reason), 0 \
	}

/* The program's end, and that of the script. */
#define ENDS_OK DO(EOF), ENDED("\"ok\""), DO(END)

#define MIGRATED DO(CLOSE), STATUS("ended", "\"migrated\""), DO(CLOSE)

#define RESUMED(members) REPLY("{\"parameters\":{\"id\":\"i-1\"," members "}}")
#define NO_ENDS          ",\"received_end\":false,\"consumed_end\":false"

/* The stream goes on there, from its first byte. */
#define TAKES_UP DO(ACCEPT), GET("Resume"), RESUMED("\"consumed\":0" NO_ENDS)

/* The connection on which the broker says where the stream stands. */
#define SERVING "{\"parameters\":{\"life\":\"serving\"},\"continues\":true}"
#define SAVE    "aabbccddeeff00112233445566778899"
#define FENCED(delivered)                                               \
	"{\"parameters\":{\"life\":\"fenced\",\"delivered\":" delivered \
	",\"save\":\"" SAVE "\"},\"continues\":true}"
#define TOLD_END(reason) \
	"{\"parameters\":{\"life\":\"ended\",\"reason\":\"" reason "\"}}"
/* Of the stream and that one, the one which is aside. */
#define SWAP                         \
	{                            \
		SCRIPT_SWAP, NULL, 0 \
	}
/* Afterwards the stream is aside, and the other one is here. */
#define WATCHED SWAP, DO(FOLLOW), REPLY(SERVING)

#define TELL(bell)                      \
	{                               \
		SCRIPT_TELL, NULL, bell \
	}
#define HEAR(bell)                      \
	{                               \
		SCRIPT_HEAR, NULL, bell \
	}
#define REFUSED(reason)                                      \
	REPLY("{\"error\":\"org.vmchannel.Broker.Refused\"," \
	      "\"parameters\":{\"channel\":\"c\",\"reason\":\"" reason "\"}}")
/* Not now; ask again. */
#define LATER                                                     \
	REPLY("{\"error\":\"org.vmchannel.Broker.LimitReached\"," \
	      "\"parameters\":{\"limit\":\"awaited\",\"value\":64}}")

/* The other place was asked when this is over: it tells. */
#define FENCED_AND_ASKED WATCHED, REPLY(FENCED("10")), HEAR(0)
#define ASKED            DO(ACCEPT), GET("Resume"), TELL(0)
/* The VM has stayed. */
#define STAYED REPLY(SERVING), SWAP

/* ---- what a relay does to the system ------------------------------------ */

/* In the order of its loop. */
enum {
	SEEN_IN = 1,
	SEEN_LEAST = 5
};

/* Bells of the gate. */
enum {
	GATE_REACHED,
	GATE_OPENED
};

static struct {
	pthread_t program;
	atomic_uint hups;   /* of the broker's end, in the loop */
	atomic_uint steps;  /* the loop waited some milliseconds only */
	atomic_uint blocks; /* it was waited for long outside of the loop */
	atomic_bool gate;   /* the next connect() waits */
	atomic_bool gate_failed;
} seen;

static void seen_reset(void)
{
	seen.program = pthread_self();
	seen.hups = seen.steps = seen.blocks = 0;
	seen.gate = seen.gate_failed = false;
}

int __real_poll(struct pollfd *p, nfds_t n, int ms);
int __wrap_poll(struct pollfd *p, nfds_t n, int ms);

int __wrap_poll(struct pollfd *p, nfds_t n, int ms)
{
	int r;

	if (pthread_equal(pthread_self(), seen.program))
		return __real_poll(p, n, ms);
	if (n < SEEN_LEAST) {
		seen.blocks += ms < 0 || ms > 100;
		return __real_poll(p, n, ms);
	}
	seen.steps += ms > 0 && ms <= 10;
	r = __real_poll(p, n, ms);
	seen.hups += r > 0 && p[SEEN_IN].revents & POLLHUP;
	return r;
}

int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (!pthread_equal(pthread_self(), seen.program) &&
	    atomic_exchange(&seen.gate, false)) {
		script_tell(GATE_REACHED);
		if (!script_hear(GATE_OPENED))
			seen.gate_failed = true;
	}
	return __real_connect(fd, sa, len);
}

/* ---- the stage ---------------------------------------------------------- */

struct world {
	struct script_broker from, to;
	int fds;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	seen_reset();
	script_bells_make();
	w->fds = script_count_fds();
	*state = w;
	return 0;
}

/* A relay closes its descriptors after the program's end. */
static int wait_for_relay(const struct world *w)
{
	int left = 0;

	for (int i = 0; i < 2000; i++) {
		left = script_count_fds() - w->fds;
		if (left == 0)
			break;
		poll(NULL, 0, 5);
	}
	return left;
}

static int teardown(void **state)
{
	int left = wait_for_relay(*state);

	script_bells_free();
	free(*state);
	if (left != 0)
		print_error("%d descriptors too many\n", left);
	return left;
}

static void start(struct world *w, const struct script_step *from,
		  const struct script_step *to)
{
	const char *places[] = {w->to.root, NULL};

	if (to)
		script_start(&w->to, to);
	script_start(&w->from, from);
	assert_int_equal(vmc_follow_to(VM, to ? places : NULL, NULL), 0);
}

static void finish(struct world *w)
{
	assert_int_equal(wait_for_relay(w), 0);
	if (w->to.root[0] != '\0')
		script_finish(&w->to);
	w->to.root[0] = '\0';
	setenv("VMCHANNEL_DIR", w->from.root, 1);
	script_finish(&w->from);
}

static int connect_follow(void)
{
	char id[VMC_ID_MAX];
	int fd = vmc_connect(VM, CHANNEL, VMC_FOLLOW, PATIENT, id);

	if (fd < 0)
		fail_msg("%s", vmc_strerror());
	assert_string_equal(id, "i-1");
	return fd;
}

static int begin(struct world *w, const struct script_step *from,
		 const struct script_step *to)
{
	start(w, from, to);
	return connect_follow();
}

/* The program has enough. */
static void over(struct world *w, int fd)
{
	close(fd);
	finish(w);
}

static void write_pattern(int fd, unsigned long long at, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char part[4096];
		size_t len = 0;

		while (len < sizeof(part) && i < n)
			part[len++] = script_byte(at + i++);
		assert_int_equal(write(fd, part, len), len);
	}
}

static void read_pattern(int fd, unsigned long long at, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char part[4096];
		size_t want = n - i < sizeof(part) ? n - i : sizeof(part);
		ssize_t r = read(fd, part, want);

		assert_true(r > 0);
		for (ssize_t j = 0; j < r; j++)
			assert_int_equal(part[j], script_byte(at + i++));
	}
}

static void expect_end(int fd)
{
	char c;
	ssize_t n = read(fd, &c, 1);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static void expect_reason(unsigned int reason)
{
	struct vmc_status s;

	/* The descriptor's end comes before the record of it. */
	for (int i = 0; i < 12000; i++) {
		if (vmc_stream_status(VM, "i-1", &s) == 0 &&
		    s.state == VMC_STREAM_ENDED && s.reason == reason)
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("%s instead of %s", vmc_reason_name(s.reason),
		 vmc_reason_name(reason));
}

/* ---- keep.c -------------------------------------------------------------- */

static void push(struct keep *k, size_t n)
{
	while (n > 0) {
		uint8_t *to;
		const uint8_t *from;
		size_t len = keep_room(k, &to);

		assert_true(len > 0);
		len = len < n ? len : n;
		for (size_t i = 0; i < len; i++)
			to[i] = script_byte(k->end + i);
		keep_add(k, len);
		n -= len;
		while ((len = keep_next(k, &from)) > 0)
			keep_sent(k, len);
	}
}

static void assert_from(struct keep *k, uint64_t at)
{
	const uint8_t *from;
	size_t len;

	assert_true(keep_rewind(k, at));
	while ((len = keep_next(k, &from)) > 0) {
		for (size_t i = 0; i < len; i++)
			assert_int_equal(from[i], script_byte(k->sent + i));
		keep_sent(k, len);
	}
	assert_int_equal(k->sent, k->end);
}

static void test_keep(void **state)
{
	const uint64_t size = 1000 + KEEP_AHEAD;
	struct keep k;
	uint8_t *to;

	(void)state;
	assert_true(keep_init(&k, 1000));
	assert_from(&k, 0);
	assert_false(keep_rewind(&k, 1));
	push(&k, 100);
	assert_from(&k, 0);
	assert_from(&k, 100);
	assert_false(keep_rewind(&k, 101));
	push(&k, 3 * size);
	assert_int_equal(keep_first(&k), k.end - size);
	assert_from(&k, k.end - size);
	assert_false(keep_rewind(&k, k.end - size - 1));
	/* Not further ahead than that. */
	keep_add(&k, KEEP_AHEAD);
	assert_int_equal(keep_room(&k, &to), 0);
	keep_done(&k);
}

static void test_keep_grows(void **state)
{
	struct keep k;

	(void)state;
	assert_true(keep_init(&k, 1000));
	push(&k, 5000000);
	assert_true(keep_grow(&k, 300000));
	assert_from(&k, 5000000 - 1000 - KEEP_AHEAD);
	push(&k, 234567);
	assert_from(&k, 5000000 - 1000 - KEEP_AHEAD);
	assert_true(keep_grow(&k, 10));
	push(&k, 1000000);
	assert_from(&k, k.end - 300000 - KEEP_AHEAD);
	keep_done(&k);
}

/* ---- where to --------------------------------------------------------------
 */

static void test_places(void **state)
{
	static const char *const bad[][2] = {
		{"", NULL}, {"../x", NULL}, {"a b", NULL}, {".x", NULL}};
	const char *many[10] = {"a", "b", "c", "d", "e", "f", "g", "h", NULL};
	char text[1200];
	const char *longer[2] = {text, NULL};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(vmc_follow_to(VM, bad[i], NULL), -EINVAL);
	assert_int_equal(vmc_follow_to(VM, NULL, bad[0]), -EINVAL);
	assert_int_equal(vmc_follow_to("a/b", NULL, NULL), -EINVAL);
	assert_int_equal(vmc_follow_to(NULL, NULL, NULL), -EINVAL);
	memset(text, 'x', sizeof(text));
	text[1024] = '\0';
	assert_int_equal(vmc_follow_to(VM, NULL, longer), -EINVAL);
	text[1023] = '\0';
	text[0] = '#'; /* for the shell, should anybody ask */
	assert_int_equal(vmc_follow_to(VM, NULL, longer), 0);
	assert_int_equal(vmc_follow_to(VM, many, NULL), 0);
	many[8] = "i";
	assert_int_equal(vmc_follow_to(VM, many, NULL), -EINVAL);
	many[7] = NULL;
	assert_int_equal(vmc_follow_to(VM, many, longer), 0);
	many[7] = "h";
	many[8] = NULL;
	assert_int_equal(vmc_follow_to(VM, many, longer), -EINVAL);
	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), "vm%d", i);
		if (vmc_follow_to(text, NULL, NULL) == -ENOMEM)
			return;
	}
	fail_msg("no limit");
}

/* ---- without a move --------------------------------------------------------
 */

static void test_plain_use(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 300000},
		{SCRIPT_BYTES, "#7", 300000},
		DO(EOF),
		IN_ORDER,
		ENDED("\"ok\""),
		DO(END),
	};
	int fd = begin(*state, from, NULL);

	write_pattern(fd, 0, 300000);
	read_pattern(fd, 7, 300000);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	poll(NULL, 0, 50);
	expect_reason(VMC_REASON_OK);
	over(*state, fd);
}

/* The other side has ended; the program goes on sending. */
static void test_half_closed(void **state)
{
	static const struct script_step from[] = {
		BEGIN,    {SCRIPT_BYTES, "#0", 10},
		IN_ORDER, {SCRIPT_RAW, "#0", 100000},
		ENDS_OK,
	};
	int fd = begin(*state, from, NULL);

	read_pattern(fd, 0, 10);
	expect_end(fd);
	write_pattern(fd, 0, 100000);
	over(*state, fd);
}

static void test_reset_is_passed_on(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 1000},
		ENDED("\"app-abort\""),
		DO(END),
	};
	int fd = begin(*state, from, NULL);

	read_pattern(fd, 0, 1000);
	expect_end(fd);
	expect_reason(VMC_REASON_APP_ABORT);
	over(*state, fd);
}

static void test_other_side_wants_no_more(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 5},
		DO(DEAF),
		{SCRIPT_BYTES, "#0", 5},
		{SCRIPT_PAUSE, NULL, 300},
		ENDED("\"ok\""),
		DO(END),
	};
	struct world *w = *state;
	bool broken = false;
	int fd;

	fd = begin(w, from, NULL);
	write_pattern(fd, 0, 5);
	read_pattern(fd, 0, 5);
	for (int i = 0; i < 1000 && !broken; i++) {
		broken = send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE;
		poll(NULL, 0, 1);
	}
	assert_true(broken);
	expect_end(fd);
	over(w, fd);
}

/* The program closes with a backlog: all of it goes out, then the end. */
static void test_close_at_once(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_PAUSE, NULL, 100},
		{SCRIPT_RAW, "#0", 150000},
		ENDS_OK,
	};
	int fd = begin(*state, from, NULL);

	write_pattern(fd, 0, 150000);
	over(*state, fd);
}

/* ---- moves -----------------------------------------------------------------
 */

static void test_moves(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 100},
		{SCRIPT_BYTES, "#0", 200},
		MIGRATED,
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"token\":\"" TOKEN "\",\"received\":200,"
		    "\"received_end\":false,\"sent\":"),
		RESUMED("\"consumed\":40" NO_ENDS),
		/* Taken at the source were 40: the rest comes again. */
		{SCRIPT_RAW, "#40", 160},
		{SCRIPT_BYTES, "#200", 50},
		ENDS_OK,
	};
	int fd = begin(*state, from, to);

	write_pattern(fd, 0, 100);
	read_pattern(fd, 0, 200);
	write_pattern(fd, 100, 100);
	shutdown(fd, SHUT_WR);
	read_pattern(fd, 200, 50);
	expect_end(fd);
	expect_reason(VMC_REASON_OK);
	over(*state, fd);
}

/* What the source left in the socket counts, however slow the program is. */
static void test_program_reads_nothing(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 150000},
		MIGRATED,
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"received\":150000,"),
		RESUMED("\"consumed\":0" NO_ENDS),
		{SCRIPT_BYTES, "#150000", 1000},
		IN_ORDER,
		ENDS_OK,
	};
	struct world *w = *state;
	int fd = begin(w, from, to);

	/* Without one byte read here. */
	script_wait(&w->from);
	read_pattern(fd, 0, 151000);
	expect_end(fd);
	over(w, fd);
}

/* Ends before the move: flags on both sides, each way. */
static void test_ends_before_the_move(void **state)
{
	static const struct script_step from[] = {
		BEGIN, {SCRIPT_RAW, "#0", 10}, DO(EOF), MIGRATED, DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"sent\":10,\"sent_end\":true,"),
		/* It was not taken: it comes again. */
		RESUMED("\"consumed\":10,\"received_end\":false,"
			"\"consumed_end\":false"),
		DO(EOF),
		{SCRIPT_BYTES, "#0", 10},
		ENDED("\"ok\""),
		DO(END),
	};
	int fd = begin(*state, from, to);

	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	read_pattern(fd, 0, 10);
	expect_end(fd);
	over(*state, fd);
}

static void test_received_end_comes_with_the_answer(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 10},
		/* The end, and at once the move: one end of file. */
		DO(SHUT),
		MIGRATED,
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"received\":10,\"received_end\":false,"),
		RESUMED("\"consumed\":0,\"received_end\":true,"
			"\"consumed_end\":false"),
		{SCRIPT_RAW, "#0", 10},
		ENDS_OK,
	};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 10);
	expect_end(fd);
	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	poll(NULL, 0, 50);
	over(*state, fd);
}

/* All was sent and the end, too; the broker took it, but did not say so. */
static void test_both_ends_were_there(void **state)
{
	static const struct script_step from[] = {
		BEGIN,    {SCRIPT_BYTES, "#0", 10},
		IN_ORDER, {SCRIPT_PAUSE, NULL, 100},
		MIGRATED, DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"received_end\":true,\"sent\":10,\"sent_end\":true"),
		RESUMED("\"consumed\":10,\"received_end\":true,"
			"\"consumed_end\":true"),
		ENDS_OK,
	};
	struct world *w = *state;
	int fd = begin(w, from, to);

	read_pattern(fd, 0, 10);
	expect_end(fd);
	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	script_wait(&w->from);
	poll(NULL, 0, 50);
	expect_reason(VMC_REASON_OK);
	over(w, fd);
}

/* Answers that cannot be true end the stream. */
static void test_numbers_that_do_not_fit(void **state)
{
	static const char *const answers[] = {
		"\"consumed\":11" NO_ENDS,
		"\"consumed\":-1" NO_ENDS,
		"\"consumed\":9,\"received_end\":false,\"consumed_end\":true",
		"\"consumed\":10,\"received_end\":false,\"consumed_end\":true",
		"\"consumed\":10,\"received_end\":false",
		"\"consumed\":10,\"consumed_end\":false",
		"\"consumed\":\"10\"" NO_ENDS,
		"\"consumed\":10,\"received_end\":0,\"consumed_end\":false",
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(answers); i++) {
		static const struct script_step from[] = {
			BEGIN,
			{SCRIPT_RAW, "#0", 10},
			MIGRATED,
			DO(END),
		};
		const struct script_step to[] = {
			DO(ACCEPT),
			GET("Resume"),
			SAY("{\"parameters\":{\"id\":\"i-1\","),
			SAY(answers[i]),
			SAY("}}"),
			DO(NUL),
			DO(END),
		};
		int fd;

		start(w, from, to);
		fd = connect_follow();
		write_pattern(fd, 0, 10);
		expect_end(fd);
		expect_reason(i == 0 || i == 2 || i == 3
				      ? VMC_REASON_SESSION_LOST
				      : VMC_REASON_PROTOCOL);
		close(fd);
		finish(w);
	}
}

/* The other side's end was seen; the destination knows nothing of it. */
static void test_an_end_that_is_taken_back(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		IN_ORDER,
		MIGRATED,
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"received_end\":true"),
		RESUMED("\"consumed\":0" NO_ENDS),
		DO(END),
	};
	int fd = begin(*state, from, to);

	expect_end(fd);
	expect_reason(VMC_REASON_SESSION_LOST);
	over(*state, fd);
}

static void test_final_refusals(void **state)
{
	static const struct {
		const char *reply;
		unsigned int reason;
	} rows[] = {
		{"{\"error\":\"org.vmchannel.Broker.Denied\",\"parameters\":{"
		 "\"channel\":\"c\",\"rule\":\"r\"}}",
		 VMC_REASON_DENIED},
		{"{\"error\":\"org.vmchannel.Broker.Refused\",\"parameters\":{"
		 "\"channel\":\"c\",\"reason\":\"session-lost\"}}",
		 VMC_REASON_SESSION_LOST},
		{"{\"error\":\"org.vmchannel.Broker.Refused\",\"parameters\":{"
		 "\"channel\":\"c\",\"reason\":\"timeout\"}}",
		 VMC_REASON_TIMEOUT},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		static const struct script_step from[] = {
			BEGIN,
			MIGRATED,
			DO(END),
		};
		const struct script_step to[] = {
			DO(ACCEPT),
			GET("Resume"),
			REPLY(rows[i].reply),
			DO(END),
		};
		int fd;

		start(w, from, to);
		fd = connect_follow();
		expect_end(fd);
		expect_reason(rows[i].reason);
		close(fd);
		finish(w);
	}
}

/* Not yet, no more, cut in the middle, nonsense: tried again. */
static void test_destination_is_late(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		DO(CLOSE),
		DO(QUIT), /* nobody can be asked: it may have moved */
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		DO(CLOSE),
		DO(ACCEPT),
		GET("Resume"),
		REPLY("{\"error\":\"org.vmchannel.Broker.NoSuchToken\"}"),
		DO(ACCEPT),
		GET("Resume"),
		LATER,
		DO(ACCEPT),
		GET("Resume"),
		SAY("{\"parameters\":{\"id\":"),
		DO(CLOSE),
		DO(ACCEPT),
		GET("Resume"),
		REPLY("no json"),
		DO(ACCEPT),
		GET("Resume"),
		SAY("{\"parameters\":{\"id\":\"i-1\","),
		{SCRIPT_PAUSE, NULL, 50},
		SAY("\"consumed\":0" NO_ENDS "}}"),
		DO(NUL),
		{SCRIPT_BYTES, "#0", 10},
		ENDS_OK,
	};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 10);
	over(*state, fd);
}

/* Named only when the stream searches already; the first place is wrong. */
static void test_place_named_late(void **state)
{
	static const struct script_step from[] = {BEGIN, MIGRATED, DO(END)};
	static const struct script_step to[] = {
		TAKES_UP,
		{SCRIPT_BYTES, "#0", 10},
		ENDS_OK,
	};
	struct world *w = *state;
	const char *wrong[] = {"/nonexistent", "web9", NULL};
	const char *right[] = {"/nonexistent", w->to.root, NULL};
	int fd;

	start(w, from, to);
	assert_int_equal(vmc_follow_to(VM, wrong, NULL), 0);
	fd = connect_follow();
	poll(NULL, 0, 100);
	assert_int_equal(vmc_follow_to(VM, right, NULL), 0);
	read_pattern(fd, 0, 10);
	over(w, fd);
}

/* A command carries the connection, and is a child no longer afterwards. */
static void test_via_a_command(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 1000},
		MIGRATED,
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("Resume"),
		RESUMED("\"consumed\":500" NO_ENDS),
		{SCRIPT_RAW, "#500", 99500},
		DO(EOF),
		{SCRIPT_BYTES, "#0", 100000},
		ENDED("\"ok\""),
		DO(END),
	};
	struct world *w = *state;
	char command[256];
	const char *via[] = {"exit 1", command, NULL};
	int fd;

	start(w, from, to);
	snprintf(command, sizeof(command),
		 "exec socat -t 60 - UNIX-CONNECT:%s/" VM "/control",
		 w->to.root);
	assert_int_equal(vmc_follow_to(VM, NULL, via), 0);
	fd = connect_follow();
	write_pattern(fd, 0, 100000);
	shutdown(fd, SHUT_WR);
	read_pattern(fd, 0, 100000);
	expect_end(fd);
	expect_reason(VMC_REASON_OK);
	over(w, fd);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Until the other one answers, it is asked as well. */
#define LEFT BEGIN, MIGRATED, ASKED, DO(EOF)

/* Where the second broker of a move is reached by a command only. Each start of
 * it leaves an x in the file "starts". */
static int start_via(struct world *w, const struct script_step *from,
		     const struct script_step *to)
{
	char command[256];
	const char *via[] = {command, NULL};

	start(w, from, to);
	snprintf(
		command, sizeof(command),
		"printf x >>%s/starts; exec socat -t 60 -,shut-down UNIX-CONNECT:%s/" VM
		"/control",
		w->to.root, w->to.root);
	assert_int_equal(vmc_follow_to(VM, NULL, via), 0);
	return connect_follow();
}

static long count_starts(const struct world *w)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/starts", w->to.root);
	assert_int_equal(stat(path, &st), 0);
	unlink(path);
	return st.st_size;
}

#define TAKEN_UP TAKES_UP, WATCHED

/* One way has ended and the other not: that is not polled for, over and
 * over. */
static void test_via_fenced_with_one_end(void **state)
{
	static const struct script_step from[] = {LEFT, ASKED, DO(EOF),
						  DO(END)};
	static const struct script_step to[] = {
		TAKEN_UP,
		HEAR(0),
		REPLY(FENCED("0")),
		HEAR(0),
		SWAP,
		DO(SHUT),
		{SCRIPT_PAUSE, NULL, 200},
		SWAP,
		STAYED,
		{SCRIPT_SWAP, NULL, 1},
		STATUS("open", "null"),
		{SCRIPT_SWAP, NULL, 1},
		TELL(1),
		{SCRIPT_RAW, "#0", 10},
		DO(EOF),
		SWAP,
		REPLY(TOLD_END("ok")),
		ENDED("\"ok\""),
		DO(END),
	};
	struct world *w = *state;
	int fd = start_via(w, from, to);

	assert_true(script_hear(1));
	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	close(fd);
	assert_in_range(seen.hups, 0, 10);
	assert_int_equal(wait_for_relay(w), 0);
	count_starts(w);
	finish(w);
}

/* What was told is final: no other command is run to ask. */
static void test_via_told_of_the_end(void **state)
{
	static const struct script_step from[] = {LEFT, DO(END)};
	static const struct script_step to[] = {
		TAKEN_UP, REPLY(TOLD_END("app-abort")),
		DO(EOF),  SWAP,
		DO(SHUT), DO(EOF),
		DO(END),
	};
	struct world *w = *state;
	int fd = start_via(w, from, to);

	expect_end(fd);
	close(fd);
	assert_int_equal(wait_for_relay(w), 0);
	/* For the stream, and for what is told of it. */
	assert_int_equal(count_starts(w), 2);
	finish(w);
}

/* Two moves, the second one back home. */
static void test_there_and_back(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 10},
		MIGRATED,
		/* Asked, too, until the other one has answered. */
		DO(ACCEPT),
		GET("Resume"),
		DO(EOF),
		DO(ACCEPT),
		GET("\"received\":5,\"received_end\":false,\"sent\":"),
		RESUMED("\"consumed\":20" NO_ENDS),
		{SCRIPT_RAW, "#20", 10},
		ENDS_OK,
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("Resume"),
		RESUMED("\"consumed\":10" NO_ENDS),
		{SCRIPT_RAW, "#10", 10},
		{SCRIPT_BYTES, "#0", 5},
		MIGRATED,
		DO(QUIT),
		DO(END),
	};
	int fd = begin(*state, from, to);

	write_pattern(fd, 0, 20);
	read_pattern(fd, 0, 5);
	write_pattern(fd, 20, 10);
	over(*state, fd);
}

/* The name where the stream was leads to the next host already. */
static void test_name_that_leads_on(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 10},
		DO(CLOSE),
		STATUS("open", "null"),
		DO(ACCEPT),
		GET("Resume"),
		RESUMED("\"consumed\":5" NO_ENDS),
		{SCRIPT_RAW, "#5", 5},
		{SCRIPT_BYTES, "#0", 10},
		ENDS_OK,
	};
	int fd = begin(*state, from, NULL);

	write_pattern(fd, 0, 10);
	read_pattern(fd, 0, 10);
	over(*state, fd);
}

/* What its own broker said of the end counts; nobody is asked. */
static void test_told_of_the_move(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		WATCHED,
		REPLY(TOLD_END("migrated")),
		SWAP,
		DO(CLOSE),
		DO(ACCEPT),
		GET("\"kept\":0},"),
		RESUMED("\"consumed\":0" NO_ENDS),
		{SCRIPT_BYTES, "#0", 10},
		ENDS_OK,
	};
	int fd = begin(*state, from, NULL);

	read_pattern(fd, 0, 10);
	over(*state, fd);
}

static void test_told_of_the_end(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		WATCHED,
		REPLY(TOLD_END("app-abort")),
		SWAP,
		ENDED("\"app-abort\""),
		DO(END),
	};
	int fd = begin(*state, from, NULL);

	expect_end(fd);
	expect_reason(VMC_REASON_APP_ABORT);
	over(*state, fd);
}

/* Both ways are closed, and what was sent is with nobody yet. */
static void test_moves_after_both_ends(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		WATCHED,
		SWAP,
		{SCRIPT_RAW, "#0", 4},
		DO(HALF),
		DO(SHUT),
		SWAP,
		REPLY(TOLD_END("migrated")),
		DO(ACCEPT),
		GET("\"sent\":10,\"sent_end\":true"),
		RESUMED("\"consumed\":4,\"received_end\":true,"
			"\"consumed_end\":false"),
		{SCRIPT_RAW, "#4", 6},
		ENDS_OK,
	};
	int fd = begin(*state, from, NULL);

	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	over(*state, fd);
}

/* The destination is asked before the source lets go, and has the stream as
 * soon as it answers. */
static void test_fenced(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 100},
		{SCRIPT_BYTES, "#0", 200},
		WATCHED,
		REPLY(FENCED("200")),
		DO(EOF),
		SWAP,
		DO(EOF),
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"token\":\"" TOKEN "\",\"received\":200,"
		    "\"received_end\":false,\"sent\":100,\"sent_end\":false,"
		    "\"kept\":0,\"save\":\"" SAVE "\"}"),
		RESUMED("\"consumed\":40" NO_ENDS),
		{SCRIPT_BYTES, "#200", 50},
		{SCRIPT_RAW, "#40", 160},
		ENDS_OK,
	};
	int fd = begin(*state, from, to);

	write_pattern(fd, 0, 100);
	read_pattern(fd, 0, 250);
	/* Nothing of this for the source, whenever it was written. */
	write_pattern(fd, 100, 100);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	expect_reason(VMC_REASON_OK);
	over(*state, fd);
}

/* Up to what was delivered, however slow the program is, and not a byte of
 * what came behind. */
static void test_fenced_with_bytes_on_the_way(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		WATCHED,
		REPLY(FENCED("150000")),
		SWAP,
		{SCRIPT_BYTES, "#0", 150000},
		{SCRIPT_BYTES, "other history", 10},
		SWAP,
		DO(EOF),
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"received\":150000,"),
		RESUMED("\"consumed\":0" NO_ENDS),
		{SCRIPT_BYTES, "#150000", 1000},
		ENDS_OK,
	};
	struct world *w = *state;
	int fd = begin(w, from, to);

	script_wait(&w->from);
	read_pattern(fd, 0, 151000);
	over(w, fd);
}

/* It stays after all: nothing has happened. */
static void test_fenced_and_stays(void **state)
{
	static const struct script_step from[] = {
		BEGIN,   {SCRIPT_BYTES, "#0", 10},  FENCED_AND_ASKED,
		STAYED,  {SCRIPT_BYTES, "#10", 10}, {SCRIPT_RAW, "#0", 100},
		ENDS_OK,
	};
	static const struct script_step to[] = {
		DO(ACCEPT), GET("\"save\":\"" SAVE "\""), TELL(0), DO(EOF),
		DO(END),
	};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 20);
	write_pattern(fd, 0, 100);
	over(*state, fd);
}

/* A guest with another history is here: the search is over at once. */
static void test_fenced_and_ended(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 10},
		FENCED_AND_ASKED,
		REPLY(TOLD_END("rollback")),
		SWAP,
		DO(CLOSE),
		/* Not Resume again. */
		STATUS("ended", "\"rollback\""),
		ENDED("\"rollback\""),
		DO(END),
	};
	static const struct script_step to[] = {ASKED, DO(EOF), DO(END)};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 10);
	expect_end(fd);
	expect_reason(VMC_REASON_ROLLBACK);
	over(*state, fd);
}

/* A snapshot can be over before we were told that it began. */
static void test_fenced_for_a_moment(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		SWAP,
		DO(FOLLOW),
		{SCRIPT_BOTH, FENCED("0"), 0},
		SAY(SERVING),
		SWAP,
		{SCRIPT_BYTES, "#0", 10},
		{SCRIPT_RAW, "#0", 100},
		ENDS_OK,
	};
	int fd = begin(*state, from, NULL);

	read_pattern(fd, 0, 10);
	write_pattern(fd, 0, 100);
	over(*state, fd);
}

/* Both sides run, and the other one has another history: not ours. */
static void test_fenced_and_refused(void **state)
{
	static const struct script_step from[] = {
		BEGIN,   {SCRIPT_BYTES, "#0", 10},  FENCED_AND_ASKED,
		STAYED,  {SCRIPT_BYTES, "#10", 10}, DO(EOF),
		TELL(1), ENDED("\"ok\""),           DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("Resume"),
		REFUSED("session-lost"),
		DO(EOF),
		/* It is not asked any more. */
		TELL(0),
		HEAR(1),
		DO(NOBODY),
		DO(END),
	};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 20);
	over(*state, fd);
}

/* The state leaves again: another one, and further on. */
static void test_fenced_twice(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 10},
		FENCED_AND_ASKED,
		REPLY(FENCED("20")),
		SWAP,
		{SCRIPT_BYTES, "#10", 10},
		DO(EOF),
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"received\":10,"),
		TELL(0),
		DO(EOF),
		DO(ACCEPT),
		GET("\"received\":20,"),
		RESUMED("\"consumed\":0" NO_ENDS),
		{SCRIPT_BYTES, "#20", 10},
		ENDS_OK,
	};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 30);
	over(*state, fd);
}

/* The source ends without a word more. */
static void test_fenced_and_cut(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 10},
		FENCED_AND_ASKED,
		DO(END),
	};
	static const struct script_step to[] = {
		ASKED,
		/* It may know by then or not: the call is the same. */
		{SCRIPT_PAUSE, NULL, 100},
		RESUMED("\"consumed\":0" NO_ENDS),
		{SCRIPT_BYTES, "#10", 10},
		ENDS_OK,
	};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 20);
	over(*state, fd);
}

/* Both ways are closed in order before the fence is up, or while it is. That
 * is no broker that has gone. */
static void test_fenced_between_two_ends(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 10},
		{SCRIPT_RAW, "#0", 10},
		DO(EOF),
		FENCED_AND_ASKED,
		SWAP,
		DO(SHUT),
		SWAP,
		TELL(1),
		/* It was looked at since. */
		HEAR(0),
		/* Nobody left, and nobody came. */
		DO(NOBODY),
		STAYED,
		TELL(2),
		SWAP,
		REPLY(TOLD_END("ok")),
		SWAP,
		ENDS_OK,
	};
	static const struct script_step to[] = {
		ASKED, HEAR(1), LATER, ASKED, HEAR(2), DO(EOF), DO(END),
	};
	int fd = begin(*state, from, to);

	read_pattern(fd, 0, 10);
	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	expect_reason(VMC_REASON_OK);
	assert_int_equal(seen.blocks, 0);
	assert_in_range(seen.hups, 0, 3);
	over(*state, fd);
}

/* The same, and the source lets go. */
static void test_fenced_between_two_ends_and_gone(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 10},
		DO(EOF),
		WATCHED,
		REPLY(FENCED("0")),
		HEAR(0),
		SWAP,
		DO(SHUT),
		SWAP,
		DO(END),
	};
	static const struct script_step to[] = {
		ASKED,
		{SCRIPT_PAUSE, NULL, 100},
		RESUMED("\"consumed\":4,\"received_end\":true,"
			"\"consumed_end\":false"),
		{SCRIPT_RAW, "#4", 6},
		ENDS_OK,
	};
	int fd = begin(*state, from, to);

	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	expect_reason(VMC_REASON_OK);
	over(*state, fd);
}

/* All was done before the VM left; where it is now it ends, or has ended. */
static void test_fenced_with_nothing_left(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		WATCHED,
		SWAP,
		{SCRIPT_BYTES, "#0", 20},
		{SCRIPT_RAW, "#0", 10},
		DO(EOF),
		DO(SHUT),
		SWAP,
		REPLY(FENCED("20")),
		HEAR(0),
		REPLY(TOLD_END("migrated")),
		DO(QUIT),
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT), GET("\"sent\":10,\"sent_end\":true"),
		TELL(0),    REFUSED("ok"),
		DO(END),
	};
	struct world *w = *state;
	struct vmc_status s;
	int fd;

	fd = begin(w, from, to);
	read_pattern(fd, 0, 20);
	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	expect_reason(VMC_REASON_OK);
	assert_int_equal(vmc_stream_status(VM, "i-1", &s), 0);
	assert_int_equal(s.bytes_in, 20);
	assert_int_equal(s.bytes_out, 10);
	over(w, fd);
}

/* The broker that tells us where the stream stands is not asked for it, too:
 * neither by its name nor by its directory. */
static void test_fenced_and_not_asked_twice(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_BYTES, "#0", 10},
		FENCED_AND_ASKED,
		/* All places had their turn since the first time. */
		HEAR(0),
		DO(NOBODY),
		STAYED,
		DO(EOF),
		DO(CLOSE),
		SWAP,
		REPLY(TOLD_END("ok")),
		ENDED("\"ok\""),
		DO(END),
	};
	static const struct script_step to[] = {ASKED, LATER, ASKED, DO(EOF),
						DO(END)};
	struct world *w = *state;
	const char *places[] = {NULL, NULL, NULL};
	int fd;

	start(w, from, to);
	places[0] = w->from.root;
	places[1] = w->to.root;
	assert_int_equal(vmc_follow_to(VM, places, NULL), 0);
	fd = connect_follow();
	read_pattern(fd, 0, 10);
	/* Until the fence is over. */
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	over(w, fd);
}

/* The program is gone, and all is taken: nothing is left but to be told. */
static void test_waits_for_the_last_word(void **state)
{
	static const struct script_step from[] = {
		BEGIN,   WATCHED,
		SWAP,    {SCRIPT_RAW, "#0", 10},
		DO(EOF), DO(SHUT),
		HEAR(0), {SCRIPT_PAUSE, NULL, 100},
		SWAP,    REPLY(TOLD_END("ok")),
		SWAP,    ENDS_OK,
	};
	struct world *w = *state;
	int fd = begin(w, from, NULL);

	write_pattern(fd, 0, 10);
	shutdown(fd, SHUT_WR);
	expect_end(fd);
	seen.steps = 0;
	close(fd);
	script_tell(0);
	expect_reason(VMC_REASON_OK);
	assert_int_equal(seen.steps, 0);
	finish(w);
}

/* Who cannot be told any more where the stream stands may know its end. */
static void test_told_by_a_refusal(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		SWAP,
		DO(FOLLOW),
		REFUSED("agent-lost"),
		DO(EOF),
		SWAP,
		DO(CLOSE),
		HEAR(0),
		DO(NOBODY),
		TELL(1),
		ENDED("\"agent-lost\""),
		DO(END),
	};
	int fd = begin(*state, from, NULL);

	expect_end(fd);
	script_tell(0);
	assert_true(script_hear(1));
	expect_reason(VMC_REASON_AGENT_LOST);
	over(*state, fd);
}

/* A worker's successor says where the stream stands, too. */
static void test_watch_comes_back(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		WATCHED,
		DO(CLOSE),
		DO(FOLLOW),
		REPLY("{\"error\":\"org.vmchannel.Broker.NoSuchToken\"}"),
		DO(CLOSE),
		DO(FOLLOW),
		REPLY("{\"parameters\":{\"life\":\"what\"},"
		      "\"continues\":true}"),
		DO(CLOSE),
		DO(FOLLOW),
		REPLY(FENCED("-1")),
		DO(CLOSE),
		DO(FOLLOW),
		REPLY(FENCED("0")),
		DO(EOF),
		DO(END),
	};
	static const struct script_step to[] = {
		TAKES_UP,
		ENDS_OK,
	};
	struct world *w = *state;
	int fd = begin(w, from, to);

	script_wait(&w->from);
	over(w, fd);
}

/* ---- processes --------------------------------------------------------------
 */

static void test_exit_waits(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_PAUSE, NULL, 200},
		{SCRIPT_RAW, "#0", 200000},
		DO(END),
	};
	struct world *w = *state;
	int fd, status;
	pid_t pid;

	start(w, from, NULL);
	pid = fork();
	if (pid == 0) {
		fd = vmc_connect(VM, CHANNEL, VMC_FOLLOW, PATIENT, NULL);
		write_pattern(fd, 0, 200000);
		fclose(stdout); /* cmocka's words are the parent's */
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	finish(w);
}

/* A child has no copy of the relay's descriptors, and may call the library. */
static void test_fork(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		{SCRIPT_RAW, "#0", 20},
		ENDS_OK,
	};
	struct world *w = *state;
	int fd, before, go[2], status;
	pid_t pid;
	char c;

	before = script_count_fds();
	start(w, from, NULL);
	assert_int_equal(pipe(go), 0);
	fd = connect_follow();
	write_pattern(fd, 0, 10);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (script_count_fds() != before + 2)
			_exit(1);
		write_pattern(fd, 10, 10);
		close(fd);
		vmc_follow_to(VM, NULL, NULL);
		_exit(read(go[0], &c, 1) == 0 ? 0 : 1);
	}
	close(go[0]);
	close(fd);
	/* The script sees the end while the child lives. */
	w->fds++;
	finish(w);
	w->fds--;
	close(go[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A broker that does not answer must hold up neither fork() nor a question,
 * and a child has no copy of that connection, either. */
static void test_fork_while_it_connects(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		ENDS_OK,
	};
	struct world *w = *state;
	int fd, before, status;
	pid_t pid;

	before = script_count_fds();
	start(w, from, NULL);
	seen.gate = true;
	fd = connect_follow();
	assert_true(script_hear(GATE_REACHED));
	pid = fork();
	if (pid == 0)
		_exit(script_count_fds() != before + 1);
	script_tell(GATE_OPENED);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(seen.gate_failed);
	over(w, fd);
}

static void test_signals_are_the_programs(void **state)
{
	static const struct script_step from[] = {
		BEGIN,
		ENDS_OK,
	};
	struct world *w = *state;
	sigset_t set, old;
	int fd;

	fd = begin(w, from, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	/* Nobody but this thread could take it, and it does not. */
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	poll(NULL, 0, 20);
	assert_int_equal(sigpending(&set), 0);
	assert_int_equal(sigismember(&set, SIGUSR1), 1);
	signal(SIGUSR1, SIG_IGN);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	over(w, fd);
}

/* ---- calls ------------------------------------------------------------------
 */

static void test_listener_follows(void **state)
{
	static const struct script_step from[] = {
		DO(ACCEPT),
		GET("Listen"),
		REPLY("{\"parameters\":{},\"continues\":true}"),
		REPLY("{\"parameters\":{\"token\":\"t\",\"id\":\"i-1\","
		      "\"caller\":{\"side\":\"guest\",\"uid\":0,\"gid\":0}},"
		      "\"continues\":true}"),
		DO(SWAP),
		DO(ACCEPT),
		GET("\"token\":\"t\",\"follow\":true"),
		REPLY("{\"parameters\":{\"id\":\"i-1\",\"token\":\"" TOKEN
		      "\"}}"),
		MIGRATED,
		DO(END),
	};
	static const struct script_step to[] = {
		DO(ACCEPT),
		GET("\"token\":\"" TOKEN "\""),
		RESUMED("\"consumed\":0" NO_ENDS),
		{SCRIPT_BYTES, "#0", 10},
		ENDS_OK,
	};
	struct world *w = *state;
	struct vmc_listener *l;
	int fd;

	start(w, from, to);
	assert_int_equal(vmc_listen(&l, VM, CHANNEL, VMC_FOLLOW), 0);
	fd = vmc_accept(l, NULL, PATIENT);
	assert_true(fd >= 0);
	read_pattern(fd, 0, 10);
	close(fd);
	vmc_listener_free(l);
	finish(w);
}

static void test_broker_without_follow(void **state)
{
	static const struct script_step from[] = {
		DO(ACCEPT),
		GET("\"follow\":true"),
		REPLY("{\"parameters\":{\"id\":\"i-1\"}}"),
		DO(ACCEPT),
		GET("Connect"),
		REPLY("{\"parameters\":{\"id\":\"i-1\",\"token\":\"\"}}"),
		DO(END),
	};
	struct world *w = *state;

	start(w, from, NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			vmc_connect(VM, CHANNEL, VMC_FOLLOW, PATIENT, NULL),
			-EPROTO);
	assert_int_equal(vmc_connect(VM, CHANNEL, 4, PATIENT, NULL), -EINVAL);
	finish(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_keep),
		TEST(test_keep_grows),
		TEST(test_plain_use),
		TEST(test_half_closed),
		TEST(test_reset_is_passed_on),
		TEST(test_other_side_wants_no_more),
		TEST(test_close_at_once),
		TEST(test_moves),
		TEST(test_program_reads_nothing),
		TEST(test_ends_before_the_move),
		TEST(test_received_end_comes_with_the_answer),
		TEST(test_both_ends_were_there),
		TEST(test_numbers_that_do_not_fit),
		TEST(test_an_end_that_is_taken_back),
		TEST(test_final_refusals),
		TEST(test_destination_is_late),
		TEST(test_place_named_late),
		TEST(test_via_a_command),
		TEST(test_via_fenced_with_one_end),
		TEST(test_via_told_of_the_end),
		TEST(test_there_and_back),
		TEST(test_name_that_leads_on),
		TEST(test_told_of_the_move),
		TEST(test_told_of_the_end),
		TEST(test_moves_after_both_ends),
		TEST(test_fenced),
		TEST(test_fenced_with_bytes_on_the_way),
		TEST(test_fenced_and_stays),
		TEST(test_fenced_and_ended),
		TEST(test_fenced_for_a_moment),
		TEST(test_fenced_and_refused),
		TEST(test_fenced_twice),
		TEST(test_fenced_and_cut),
		TEST(test_fenced_between_two_ends),
		TEST(test_fenced_between_two_ends_and_gone),
		TEST(test_fenced_with_nothing_left),
		TEST(test_fenced_and_not_asked_twice),
		TEST(test_waits_for_the_last_word),
		TEST(test_told_by_a_refusal),
		TEST(test_watch_comes_back),
		TEST(test_exit_waits),
		TEST(test_fork),
		TEST(test_fork_while_it_connects),
		TEST(test_signals_are_the_programs),
		TEST(test_listener_follows),
		TEST(test_broker_without_follow),
		TEST(test_places), /* fills the table of VMs */
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
