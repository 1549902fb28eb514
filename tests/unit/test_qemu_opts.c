/* SPDX-License-Identifier: MIT */
/* test_qemu_opts.c - reading QEMU's command line, and what is added to it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/qemu_cmdline.h"
#include "cli/qemu_opts.h"
#include "cli/quote.h"
#include "cli/uuid.h"
#include "cli/words.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct qemu_cmdline read_words(const char *line)
{
	static char buf[1024];
	struct qemu_cmdline c;
	char *argv[32];
	size_t n = 0;

	snprintf(buf, sizeof(buf), "%s", line);
	for (char *w = strtok(buf, " "); w; w = strtok(NULL, " "))
		argv[n++] = w;
	argv[n] = NULL;
	qemu_cmdline_read(&c, argv);
	return c;
}

static void test_opt_get(void **state)
{
	static const struct {
		const char *list, *implied, *key, *want; /* NULL: not there */
	} cases[] = {
		{"q35", "type", "type", "q35"},
		{"q35,accel=tcg", "type", "accel", "tcg"},
		{"accel=tcg", "type", "type", NULL},
		{"type=pc,type=q35", "type", "type", "q35"},
		{"a,,b,process=x", "guest", "guest", "a,b"},
		{"guest=a,,b", "guest", "guest", "a,b"},
		{"a,,guest=b", "guest", "guest", NULL},
		{"x,flag", "type", "flag", "on"},
		{"x,q35", "type", "type", "x"},
		{"", "type", "type", ""},
		{",a=b", "type", "a", "b"},
		{"a=", "type", "a", ""},
		{"a=b=c", "type", "a", "b=c"},
		{"q35", NULL, "q35", "on"},
		{"a,,", "guest", "guest", "a,"},
		{"a,", "guest", "guest", "a"},
	};
	char got[64];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		bool found = qemu_opt_get(cases[i].list, cases[i].implied,
					  cases[i].key, got, sizeof(got));

		assert_int_equal(found, cases[i].want != NULL);
		if (found)
			assert_string_equal(got, cases[i].want);
	}
}

static void test_opt_get_cuts(void **state)
{
	char got[4] = "";

	(void)state;
	assert_true(qemu_opt_get("abcdef", "k", "k", got, sizeof(got)));
	assert_string_equal(got, "abc");
}

static void test_long_values(void **state)
{
	char line[4096] = "qemu-system-x86_64 -uuid ";
	char *argv[6] = {(char[]){"qemu"},
			 (char[]){"-name"},
			 line,
			 (char[]){"-uuid"},
			 line,
			 NULL};
	struct qemu_cmdline c;

	(void)state;
	memset(line, 'n', sizeof(line) - 1);
	qemu_cmdline_read(&c, argv);
	assert_int_equal(strlen(c.name), QEMU_VALUE_MAX - 1);
	assert_int_equal(strlen(c.uuid), QEMU_VALUE_MAX - 1);
}

static void test_cmdline(void **state)
{
	struct qemu_cmdline c;

	(void)state;
	c = read_words("/usr/bin/qemu-system-aarch64 -M virt,accel=tcg -name "
		       "web,debug-threads=on --uuid 1234 -daemonize x.img");
	assert_string_equal(c.arch, "aarch64");
	assert_string_equal(c.machine, "virt");
	assert_string_equal(c.name, "web");
	assert_string_equal(c.uuid, "1234");
	assert_true(c.daemonize);
	assert_false(c.has_port || c.has_id || c.machine_pcie);
}

static void test_programs(void **state)
{
	(void)state;
	assert_string_equal(read_words("qemu-system-i386").arch, "i386");
	assert_string_equal(read_words("kvm").arch, "x86_64");
	assert_string_equal(read_words("/usr/libexec/qemu-kvm").arch, "x86_64");
	assert_string_equal(read_words("./my-wrapper").arch, "");
}

/* A value that looks like an option is a value; a flag takes none. */
static void test_values_are_not_options(void **state)
{
	struct qemu_cmdline c;

	(void)state;
	c = read_words("qemu -append -name -kernel -uuid -name real");
	assert_string_equal(c.name, "real");
	assert_string_equal(c.uuid, "");
	c = read_words("qemu -nographic -name a -snapshot -uuid u -S");
	assert_string_equal(c.name, "a");
	assert_string_equal(c.uuid, "u");
	c = read_words("qemu -name");
	assert_string_equal(c.name, "");
}

static void test_machine_is_merged(void **state)
{
	struct qemu_cmdline c;

	(void)state;
	c = read_words("qemu -M microvm -machine pcie=on -machine accel=kvm");
	assert_string_equal(c.machine, "microvm");
	assert_true(c.machine_pcie);
	c = read_words("qemu -M microvm,pcie=on -machine pcie=off");
	assert_false(c.machine_pcie);
}

static void test_port_is_there(void **state)
{
	(void)state;
	assert_true(read_words("q -device virtserialport,name=org.vmchannel.0,"
			       "chardev=c")
			    .has_port);
	assert_true(read_words("q -device {\"driver\":\"virtserialport\","
			       "\"name\":\"org.vmchannel.0\"}")
			    .has_port);
	assert_false(read_words("q -device virtserialport,name=org.vmchannel.1")
			     .has_port);
	assert_false(
		read_words("q -device e1000,name=org.vmchannel.0").has_port);
	assert_false(read_words("q -device {\"driver\":17}").has_port);
	assert_false(read_words("q -device {broken").has_port);
	/* As a value of something else it says nothing. */
	assert_false(read_words("q -append virtserialport,name=org.vmchannel.0")
			     .has_port);
}

static void test_state_is_there(void **state)
{
	static const char *const lines[] = {
		"q -object dbus-vmstate,id=a,addr=x",
		"q -object qom-type=dbus-vmstate,id=a",
		"q -object {\"qom-type\":\"dbus-vmstate\",\"id\":\"a\"}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		assert_true(read_words(lines[i]).has_state);
		assert_false(read_words(lines[i]).has_id);
	}
	assert_false(
		read_words("q -object rng-random,id=dbus-vmstate").has_state);
	assert_false(read_words("q -object {broken").has_state);
	assert_false(read_words("q -append dbus-vmstate").has_state);
	assert_true(read_words("q -object rng-random,id=vmch0").has_id);
	assert_true(read_words("q -object {\"qom-type\":\"x\",\"id\":"
			       "\"vmch0\"}")
			    .has_id);
}

static void test_incoming(void **state)
{
	(void)state;
	assert_true(read_words("q -incoming defer").incoming);
	assert_true(read_words("q --incoming tcp:0:4444").incoming);
	assert_false(read_words("q -append -incoming").incoming);
	assert_false(read_words("q").incoming);
}

static void test_id_is_taken(void **state)
{
	static const char *const lines[] = {
		"q -device e1000,id=vmchannel",
		"q -device e1000,id=org.vmchannel.0",
		"q -device {\"driver\":\"e1000\",\"id\":\"vmchannel\"}",
		"q -chardev null,id=vmchannel-link",
		"q -chardev socket,path=/x,id=vmchannel-qmp",
		"q -chardev socket,path=/x,id=vmchannel-events",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_true(read_words(lines[i]).has_id);
	assert_false(read_words("q -device e1000,id=vmchannel2 -chardev "
				"null,id=vmchannel")
			     .has_id);
}

static void test_transport(void **state)
{
	static const struct {
		const char *line;
		enum qemu_transport want;
	} cases[] = {
		{"qemu-system-x86_64", QEMU_PCI},
		{"qemu-system-x86_64 -M pc-i440fx-7.2", QEMU_PCI},
		{"qemu-system-x86_64 -M q35", QEMU_PCI},
		{"qemu-system-x86_64 -M microvm", QEMU_MMIO},
		{"qemu-system-x86_64 -M microvm,pcie=on", QEMU_PCI},
		{"qemu-system-x86_64-microvm", QEMU_MMIO},
		{"qemu-system-x86_64 -M isapc", QEMU_NO_BUS},
		{"qemu-system-x86_64 -machine none", QEMU_NO_BUS},
		{"qemu-system-s390x", QEMU_CCW},
		{"wrapper -M s390-ccw-virtio-7.2", QEMU_CCW},
		{"qemu-system-aarch64 -M virt-7.2", QEMU_PCI},
		{"qemu-system-arm -M vexpress-a15", QEMU_MMIO},
		{"qemu-system-aarch64 -M raspi3b", QEMU_NO_BUS},
		{"qemu-system-riscv64 -M virt", QEMU_PCI},
		{"qemu-system-riscv64 -M sifive_u", QEMU_NO_BUS},
		{"qemu-system-m68k -M virt", QEMU_MMIO},
		{"qemu-system-m68k", QEMU_NO_BUS},
		{"qemu-system-ppc64 -M pseries", QEMU_PCI},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct qemu_cmdline c = read_words(cases[i].line);

		if (qemu_transport_of(&c) != cases[i].want)
			fail_msg("%s", cases[i].line);
	}
}

static void test_transport_names(void **state)
{
	enum qemu_transport t;

	(void)state;
	assert_true(qemu_transport_by_name("ccw", &t));
	assert_int_equal(t, QEMU_CCW);
	assert_string_equal(qemu_driver(t), "virtio-serial-ccw");
	assert_false(qemu_transport_by_name("usb", &t));
	assert_false(qemu_transport_by_name("", &t));
}

static void check_words(const struct qemu_wish *wish, const char *const *want,
			size_t n)
{
	struct words w = {0};

	qemu_opts_build(&w, wish);
	assert_true(words_ok(&w));
	assert_int_equal(w.n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(w.v[i], want[i]);
	assert_null(w.v[n]);
	words_done(&w);
	assert_int_equal(w.n, 0);
}

#define PORT                                                     \
	"virtserialport,bus=vmchannel.0,chardev=vmchannel-link," \
	"name=org.vmchannel.0,id=org.vmchannel.0,nr=1"

static void test_build_pci(void **state)
{
	static const char *const want[] = {
		"-device",
		"virtio-serial-pci,id=vmchannel,max_ports=2,vectors=7",
		"-chardev",
		"socket,id=vmchannel-link,path=/r/vm/link,server=on,wait=off",
		"-device",
		PORT,
	};

	(void)state;
	check_words(&(struct qemu_wish){.link = "/r/vm/link"}, want,
		    COUNT(want));
}

#define ODD_STATE                                                  \
	"dbus-vmstate,id=vmch0,addr=unix:path=/r%2cu%20n/v_m-1.x/" \
	"vmstate.sock%25,id-list=vmchannel"

static void test_build_all(void **state)
{
	static const char *const want[] = {
		"-uuid",
		"u-u",
		"-device",
		"virtio-serial-device,id=vmchannel,max_ports=5",
		"-chardev",
		"socket,id=vmchannel-link,path=/a,,b=c/link,server=on,wait=off",
		"-device",
		PORT,
		"-chardev",
		"socket,id=vmchannel-qmp,path=/a,,b/qmp,server=on,wait=off",
		"-chardev",
		"socket,id=vmchannel-events,path=/a,,b/ev,server=on,wait=off",
		"-readconfig",
		"/a,b/qemu.conf",
		"-object",
		ODD_STATE,
	};
	const struct qemu_wish wish = {.transport = QEMU_MMIO,
				       .spare = 3,
				       .link = "/a,b=c/link",
				       .qmp = "/a,b/qmp",
				       .events = "/a,b/ev",
				       .mon_config = "/a,b/qemu.conf",
				       .state = "/r,u n/v_m-1.x/vmstate.sock%",
				       .uuid = "u-u"};

	(void)state;
	check_words(&wish, want, COUNT(want));
}

static void test_build_plain_monitor(void **state)
{
	static const char *const want[] = {
		"-device",
		"virtio-serial-ccw,id=vmchannel,max_ports=2",
		"-chardev",
		"socket,id=vmchannel-link,path=/l,server=on,wait=off",
		"-device",
		PORT,
		"-chardev",
		"socket,id=vmchannel-qmp,path=/q,server=on,wait=off",
		"-mon",
		"chardev=vmchannel-qmp,mode=control",
	};
	const struct qemu_wish wish = {
		.transport = QEMU_CCW, .link = "/l", .qmp = "/q"};

	(void)state;
	check_words(&wish, want, COUNT(want));
}

/* vmchanneld's own does not need the one for people. */
static void test_build_events_monitor(void **state)
{
	static const char *const want[] = {
		"-device",
		"virtio-serial-ccw,id=vmchannel,max_ports=2",
		"-chardev",
		"socket,id=vmchannel-link,path=/l,server=on,wait=off",
		"-device",
		PORT,
		"-chardev",
		"socket,id=vmchannel-events,path=/e,server=on,wait=off",
		"-mon",
		"chardev=vmchannel-events,mode=control",
	};
	const struct qemu_wish wish = {
		.transport = QEMU_CCW, .link = "/l", .events = "/e"};

	(void)state;
	check_words(&wish, want, COUNT(want));
}

static void test_queues_and_vectors(void **state)
{
	(void)state;
	/* Ours and port 0: 2 x 2 queues, 2 of control; and one vector. */
	assert_int_equal(qemu_max_ports(0), 2);
	assert_int_equal(qemu_vectors(2), 7);
	/* QEMU's maximum is 511 ports. */
	assert_int_equal(qemu_max_ports(QEMU_SPARE_MAX), 511);
	assert_int_equal(qemu_vectors(31), 65);
}

/* What was built is read back as taken. */
static void test_round_trip(void **state)
{
	const struct qemu_wish wish = {
		.link = "/l", .qmp = "/q", .uuid = "the-uuid"};
	struct words w = {0};
	struct qemu_cmdline c;

	(void)state;
	words_add(&w, "qemu-system-x86_64");
	qemu_opts_build(&w, &wish);
	assert_true(words_ok(&w));
	qemu_cmdline_read(&c, w.v);
	assert_true(c.has_port && c.has_id);
	assert_string_equal(c.uuid, "the-uuid");
	words_done(&w);
}

static void check_quote(void (*quote)(FILE *, const char *), const char *text,
			const char *want)
{
	char buf[256] = "";
	FILE *f = fmemopen(buf, sizeof(buf), "w");

	assert_non_null(f);
	quote(f, text);
	fclose(f);
	assert_string_equal(buf, want);
}

static void test_quote(void **state)
{
	(void)state;
	check_quote(quote_shell, "a-b_c/d.e,f=g:h", "a-b_c/d.e,f=g:h");
	check_quote(quote_shell, "", "''");
	check_quote(quote_shell, "a b", "'a b'");
	check_quote(quote_shell, "a$b", "'a$b'");
	check_quote(quote_shell, "a`b", "'a`b'");
	check_quote(quote_shell, "a\\b", "'a\\b'");
	check_quote(quote_shell, "a;b", "'a;b'");
	check_quote(quote_shell, "it's", "'it'\\''s'");
	check_quote(quote_shell, "$(x)`y`\\\n", "'$(x)`y`\\\n'");
	check_quote(quote_xml, "/a&b<c>'d'\"e\"",
		    "/a&amp;b&lt;c&gt;&apos;d&apos;&quot;e&quot;");
}

static void test_uuid(void **state)
{
	char a[UUID_SIZE], b[UUID_SIZE];

	(void)state;
	assert_int_equal(uuid_generate(a), 0);
	assert_int_equal(uuid_generate(b), 0);
	assert_true(uuid_valid(a) && uuid_valid(b));
	assert_string_not_equal(a, b);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_false(uuid_valid(""));
	assert_false(uuid_valid("11111111-2222-3333-4444-55555555555"));
	assert_false(uuid_valid("11111111-2222-3333-4444-5555555555555"));
	assert_false(uuid_valid("11111111+2222-3333-4444-555555555555"));
	assert_false(uuid_valid("1111111g-2222-3333-4444-555555555555"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opt_get),
		cmocka_unit_test(test_opt_get_cuts),
		cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_cmdline),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_values_are_not_options),
		cmocka_unit_test(test_machine_is_merged),
		cmocka_unit_test(test_port_is_there),
		cmocka_unit_test(test_state_is_there),
		cmocka_unit_test(test_incoming),
		cmocka_unit_test(test_id_is_taken),
		cmocka_unit_test(test_transport),
		cmocka_unit_test(test_transport_names),
		cmocka_unit_test(test_build_pci),
		cmocka_unit_test(test_build_all),
		cmocka_unit_test(test_build_plain_monitor),
		cmocka_unit_test(test_build_events_monitor),
		cmocka_unit_test(test_queues_and_vectors),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_uuid),
	};

	return cmocka_run_group_tests_name("qemu-opts", tests, NULL, NULL);
}
