/* SPDX-License-Identifier: MIT */
/* test_idl.c - values against the tables of the project's own interfaces */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "varlink/idl.h"

#define AGENT   "org.vmchannel.Agent."
#define POWER   "org.vmchannel.Power."
#define SESSION "org.vmchannel.Session."
#define EXEC    "org.vmchannel.Exec."
#define STORAGE "org.vmchannel.Storage."

static const struct idl_struct *in(const char *method)
{
	const struct idl_method *m = idl_method(method);

	if (!m)
		fail_msg("%s is not there", method);
	return &m->in;
}

static const struct idl_struct *out(const char *method)
{
	return &idl_method(method)->out;
}

/* @where: NULL: it is right */
static void check(const struct idl_struct *type, const char *text,
		  enum idl_unknown unknown, const char *where)
{
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	char got[IDL_WHERE_MAX] = "";
	bool ok;

	if (!v)
		fail_msg("%s is not JSON", text);
	ok = idl_check(type, v, unknown, got);
	if (ok != !where)
		fail_msg("%s: %s at '%s'", text, ok ? "right" : "wrong", got);
	if (where)
		assert_string_equal(got, where);
	json_decref(v);
}

static void names_are_found(void **state)
{
	assert_non_null(idl_interface("org.vmchannel.Agent"));
	assert_null(idl_interface("org.vmchannel.Agen"));
	assert_null(idl_interface("org.vmchannel.Agent."));
	assert_non_null(idl_method(AGENT "Ping"));
	assert_null(idl_method(AGENT "Pin"));
	assert_null(idl_method("Ping"));
	assert_null(idl_method(".Ping"));
	assert_null(idl_method(""));
	assert_non_null(idl_error("org.vmchannel.PolicyDenied"));
	assert_null(idl_error(AGENT "PolicyDenied"));
	assert_non_null(idl_event(AGENT "Started"));
	/* A type that is no event. */
	assert_null(idl_event(AGENT "Capability"));
}

static void methods_have_what_is_written(void **state)
{
	const struct idl_method *m = idl_method(AGENT "Subscribe");

	assert_true(m->more);
	assert_false(m->upgrade);
	assert_int_equal(m->class, IDL_READ);
	assert_string_equal(idl_class_name(m->class), "read");
	m = idl_method(EXEC "Run");
	assert_true(m->upgrade);
	assert_string_equal(idl_class_name(m->class), "full");
	m = idl_method(POWER "Reboot");
	assert_string_equal(idl_class_name(m->class), "control");
	m = idl_method("org.varlink.service.GetInfo");
	assert_int_equal(m->class, IDL_NO_CLASS);
}

/* Each operation is in a class, or policy could not speak about it. */
static void every_operation_has_a_class(void **state)
{
	for (size_t i = 0; i < idl_n_interfaces; i++) {
		const struct idl_interface *f = &idl_interfaces[i];

		if (strcmp(f->name, "org.vmchannel.Broker") == 0 ||
		    strcmp(f->name, "org.varlink.service") == 0)
			continue;
		for (size_t n = 0; n < f->n_methods; n++)
			if (f->methods[n].class == IDL_NO_CLASS)
				fail_msg("%s.%s", f->name, f->methods[n].name);
	}
}

static void descriptions_are_the_files(void **state)
{
	for (size_t i = 0; i < idl_n_interfaces; i++) {
		const char *text = idl_description(idl_interfaces[i].name);

		assert_non_null(text);
		assert_non_null(strstr(text, idl_interfaces[i].name));
		/* It has to fit into a reply. */
		assert_true(strlen(text) < 60000);
	}
	assert_null(idl_description("org.example"));
}

static void values(void **state)
{
	static const struct {
		const char *method, *text, *where;
	} rows[] = {
		{AGENT "Ping", "{}", NULL},
		{AGENT "Ping", "{\"token\":null}", NULL},
		{AGENT "Ping", "{\"token\":\"\"}", NULL},
		{AGENT "Ping", "{\"token\":1}", "token"},
		{AGENT "Ping", "{\"token\":{}}", "token"},
		{AGENT "Ping", "{\"x\":1}", "x"},
		/* optional struct */
		{AGENT "Subscribe", "{}", NULL},
		{AGENT "Subscribe", "{\"after\":{\"boot\":\"b\",\"seq\":0}}",
		 NULL},
		{AGENT "Subscribe", "{\"after\":{\"boot\":\"b\",\"seq\":-1}}",
		 "after.seq"},
		{AGENT "Subscribe", "{\"after\":{\"boot\":\"b\",\"seq\":1.0}}",
		 "after.seq"},
		{AGENT "Subscribe", "{\"after\":{\"boot\":\"b\"}}",
		 "after.seq"},
		{AGENT "Subscribe", "{\"after\":{\"boot\":\"\",\"seq\":0}}",
		 "after.boot"},
		{AGENT "Subscribe", "{\"after\":[]}", "after"},
		{AGENT "Subscribe",
		 "{\"after\":{\"boot\":\"b\",\"seq\":0,\"z\":1}}", "after.z"},
		/* arrays */
		{AGENT "Subscribe", "{\"types\":[]}", NULL},
		{AGENT "Subscribe", "{\"types\":[\"a\",2]}", "types[1]"},
		{AGENT "Subscribe", "{\"types\":{}}", "types"},
		/* words, of a type and of a field */
		{POWER "Can", "{\"action\":\"halt\"}", NULL},
		{POWER "Can", "{\"action\":\"HALT\"}", "action"},
		{POWER "Can", "{\"action\":7}", "action"},
		{POWER "Can", "{}", "action"},
		{POWER "Can", "{\"action\":null}", "action"},
		{POWER "Reboot", "{\"inhibitors\":\"ignore\"}", NULL},
		{POWER "Reboot", "{\"inhibitors\":\"\"}", "inhibitors"},
		/* both ends of a range */
		{STORAGE "Freeze", "{\"lease_ms\":100}", NULL},
		{STORAGE "Freeze", "{\"lease_ms\":99}", "lease_ms"},
		{STORAGE "Freeze", "{\"lease_ms\":600000}", NULL},
		{STORAGE "Freeze", "{\"lease_ms\":600001}", "lease_ms"},
		/* booleans */
		{STORAGE "Freeze", "{\"lease_ms\":100,\"hooks\":true}", NULL},
		{STORAGE "Freeze", "{\"lease_ms\":100,\"hooks\":0}", "hooks"},
		/* maps */
		{EXEC "Run", "{\"argv\":[\"a\"],\"environment\":{\"A\":\"b\"}}",
		 NULL},
		{EXEC "Run", "{\"argv\":[\"a\"],\"environment\":{\"A\":1}}",
		 "environment.A"},
		{EXEC "Run", "{\"argv\":[\"a\"],\"environment\":[]}",
		 "environment"},
		{EXEC "Run", "{\"argv\":[]}", "argv"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(in(rows[i].method), rows[i].text, IDL_REFUSE,
		      rows[i].where);
}

static void lengths(void **state)
{
	char text[1200], token[1100];
	json_t *types = json_array();
	json_t *p = json_pack("{s:o}", "types", types);
	char where[IDL_WHERE_MAX];

	for (int n = 1024; n <= 1025; n++) {
		memset(token, 'x', (size_t)n);
		token[n] = '\0';
		snprintf(text, sizeof(text), "{\"token\":\"%s\"}", token);
		check(in(AGENT "Ping"), text, IDL_REFUSE,
		      n <= 1024 ? NULL : "token");
	}
	for (int n = 0; n < 64; n++)
		json_array_append_new(types, json_string("a"));
	assert_true(idl_check(in(AGENT "Subscribe"), p, IDL_REFUSE, where));
	json_array_append_new(types, json_string("a"));
	assert_false(idl_check(in(AGENT "Subscribe"), p, IDL_REFUSE, where));
	assert_string_equal(where, "types");
	json_decref(p);
}

/* Map keys are the sender's, too. */
static void long_keys(void **state)
{
	char key[300];
	char where[IDL_WHERE_MAX];

	for (size_t n = 255; n <= 256; n++) {
		json_t *p;

		memset(key, 'k', n);
		key[n] = '\0';
		p = json_pack("{s:[s],s:{s:s}}", "argv", "a", "environment",
			      key, "v");
		assert_int_equal(
			idl_check(in(EXEC "Run"), p, IDL_REFUSE, where),
			n <= 255);
		json_decref(p);
	}
}

static const char event[] =
	"{\"event\":{\"boot\":\"b\",\"seq\":1,\"time_us\":5,\"type\":\"%s\","
	"\"parameters\":%s}}";

static void check_event(const char *type, const char *parameters,
			enum idl_unknown unknown, const char *where)
{
	char text[512];

	snprintf(text, sizeof(text), event, type, parameters);
	check(out(AGENT "Subscribe"), text, unknown, where);
}

static void events_have_the_type_that_they_name(void **state)
{
	static const char good[] = "{\"version\":\"1\",\"pid\":3}";

	check_event(AGENT "Started", good, IDL_REFUSE, NULL);
	check_event(AGENT "Started", "{\"version\":\"1\"}", IDL_DROP,
		    "event.parameters.pid");
	check_event(AGENT "Started", "[]", IDL_DROP, "event.parameters");
	check_event(POWER "BootComplete", good, IDL_REFUSE,
		    "event.parameters.duration_us");
	check_event(AGENT "Newer", "{\"a\":{\"b\":1}}", IDL_REFUSE,
		    "event.parameters");
	check_event(AGENT "Newer", "{\"a\":{\"b\":1}}", IDL_DROP, NULL);
	check_event("", "{}", IDL_DROP, "event.type");
}

static void what_is_unknown_is_dropped_from_replies(void **state)
{
	json_t *p = json_loads("{\"time_us\":1,\"new\":{\"a\":[1]},"
			       "\"token\":null}",
			       0, NULL);
	char where[IDL_WHERE_MAX];

	assert_true(idl_check(out(AGENT "Ping"), p, IDL_DROP, where));
	assert_null(json_object_get(p, "new"));
	assert_int_equal(json_object_size(p), 2);
	json_decref(p);
	p = json_loads("{\"event\":{\"boot\":\"b\",\"seq\":1,\"time_us\":5,"
		       "\"type\":\"a.New\",\"parameters\":{\"a\":1},\"n\":1}}",
		       0, NULL);
	assert_true(idl_check(out(AGENT "Subscribe"), p, IDL_DROP, where));
	assert_int_equal(json_object_size(json_object_get(
				 json_object_get(p, "event"), "parameters")),
			 0);
	assert_int_equal(json_object_size(json_object_get(p, "event")), 5);
	json_decref(p);
}

/* Where it is wrong is told in clean text, whatever the names are. */
static void places_are_printable(void **state)
{
	char key[400], where[IDL_WHERE_MAX];
	json_t *p;

	check(in(AGENT "Ping"), "{\"a\\u0007\\u00e4 b\":1}", IDL_REFUSE,
	      "a????b");
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	p = json_pack("{s:i}", key, 1);
	assert_false(idl_check(in(AGENT "Ping"), p, IDL_REFUSE, where));
	assert_int_equal(strlen(where), IDL_WHERE_MAX - 1);
	json_decref(p);
}

static void not_an_object(void **state)
{
	json_t *p = json_array();
	char where[IDL_WHERE_MAX];

	assert_false(idl_check(in(AGENT "Ping"), p, IDL_DROP, where));
	assert_string_equal(where, "");
	json_decref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(methods_have_what_is_written),
		cmocka_unit_test(every_operation_has_a_class),
		cmocka_unit_test(descriptions_are_the_files),
		cmocka_unit_test(values),
		cmocka_unit_test(lengths),
		cmocka_unit_test(long_keys),
		cmocka_unit_test(events_have_the_type_that_they_name),
		cmocka_unit_test(what_is_unknown_is_dropped_from_replies),
		cmocka_unit_test(places_are_printable),
		cmocka_unit_test(not_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
