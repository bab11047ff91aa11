#include "server/supervisor/prepare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/confine.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/supervisor/prepare_check.h"
#include "signing/key.h"

/* A data folder, and a configuration that says nothing but where it is. */
static char dir[64];
static struct conf conf;

static int
begin(void **state)
{
	(void)state;
	log_init("test", LOG_ERROR);
	(void)snprintf(dir, sizeof dir, "/tmp/edict-prepare-XXXXXX");
	assert_non_null(mkdtemp(dir));
	conf = (struct conf){ .data_dir = dir, .log_level = LOG_ERROR };
	return 0;
}

static int
end(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(dir, &e) == ERR_OK ? 0 : -1;
}

static void
prepare(void)
{
	struct err e;

	if (prepare_data(&conf, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static char *
in_keys(const char *name)
{
	return mem_printf("%s/keys/%s", dir, name);
}

static void
add_key(const char *id)
{
	AUTO_STR keys = file_path(dir, "keys");
	AUTO(key, k) = NULL;
	struct err e;

	assert_int_equal(key_generate(&k, id, KEY_ES256, &e), ERR_OK);
	assert_int_equal(key_ring_add(keys, k, KEY_BUNDLE, &e), ERR_OK);
}

static size_t
count_kind(const struct key_ring *ring, enum key_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < ring->count; i++)
		count += ring->items[i].kind == kind;
	return count;
}

/* The one that signs bundles, of so many; and those that are always made. */
static char *
current(size_t count)
{
	AUTO_STR keys = file_path(dir, "keys");
	struct key_ring ring = { 0 };
	struct err e;
	char *id;

	if (key_ring_read(&ring, keys, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(count_kind(&ring, KEY_BUNDLE), count);
	assert_int_equal(count_kind(&ring, KEY_DISCOVERY), 1);
	assert_int_equal(count_kind(&ring, KEY_AUDIT), 1);
	assert_int_equal(ring.count, count + 2);
	assert_non_null(ring.current);
	id = mem_strdup(key_id(ring.current));
	key_ring_clear(&ring);
	return id;
}

static void
expect_current(const char *id, size_t count)
{
	AUTO_STR found = current(count);

	assert_string_equal(found, id);
}

static void
lose_current(void)
{
	AUTO_STR path = in_keys("current");

	assert_int_equal(unlink(path), 0);
}

/* A first start that ended after it had made the key. */
static void
goes_on_with_a_key_that_is_there(void **state)
{
	AUTO_STR id = NULL;

	(void)state;
	prepare();
	id = current(1);
	lose_current();
	prepare();
	expect_current(id, 1);
	prepare();
	expect_current(id, 1);
}

static void
takes_the_newest_where_none_is_named(void **state)
{
	(void)state;
	add_key("b");
	add_key("c");
	add_key("a");
	prepare();
	expect_current("a", 3);
}

static void
takes_what_the_configuration_says(void **state)
{
	AUTO_STR file = in_keys("one.key");
	char one[] = "one";
	char two[] = "two";
	char other[] = "other";
	char algorithm[] = "ES256";
	struct conf_key keys[] = { { one, algorithm, file },
		{ two, algorithm, file } };
	struct err e;

	(void)state;
	add_key("one");
	add_key("aside");
	conf.signing.keys = (struct spec_list){ .items = keys, .count = 2 };
	prepare();
	expect_current("one", 3);
	lose_current();
	prepare();
	expect_current("one", 3);
	conf.signing.use = two;
	prepare();
	expect_current("two", 3);
	/* What is not there is not written down either. */
	conf.signing.use = other;
	assert_int_not_equal(prepare_data(&conf, &e), ERR_OK);
	assert_non_null(strstr(e.text, "signing.use: there is no key other"));
	conf.signing.use = NULL;
	prepare();
	expect_current("two", 3);
}

/* A key that others can read is no secret any more. */
static void
refuses_a_key_that_others_may_read(void **state)
{
	AUTO_STR file = mem_printf("%s/given.key", dir);
	AUTO(key, made) = NULL;
	AUTO_BUF text = { 0 };
	struct conf_key k = { .id = (char[]){ "given" },
		.algorithm = (char[]){ "ES256" },
		.private_key_file = file };
	struct err e;

	(void)state;
	buf_init(&text, KEY_FILE_MAX);
	assert_int_equal(key_generate(&made, "given", KEY_ES256, &e), ERR_OK);
	key_write_private(&text, made);
	assert_int_equal(file_replace(file, text.data, text.len, 0644, &e),
	    ERR_OK);
	conf.signing.keys.items = &k;
	conf.signing.keys.count = 1;
	assert_int_not_equal(prepare_data(&conf, &e), ERR_OK);
	assert_non_null(strstr(e.text, "chmod 600"));
	assert_int_equal(file_replace(file, text.data, text.len, 0600, &e),
	    ERR_OK);
	prepare();
	expect_current("given", 1);
}

static void
refuses_a_tls_key_that_others_may_read(void **state)
{
	static const mode_t open_to_others[] = { 0640, 0604, 0620 };
	AUTO_STR file = mem_printf("%s/tls.key", dir);
	struct err e;

	(void)state;
	conf.tls.key = file;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(file_replace(file, "key", 3, 0600, &e),
		    ERR_OK);
		assert_int_equal(chmod(file, open_to_others[i]), 0);
		assert_int_not_equal(prepare_data(&conf, &e), ERR_OK);
		assert_non_null(strstr(e.text, "tls.key: "));
		assert_non_null(strstr(e.text, "chmod 600"));
	}
	assert_int_equal(chmod(file, 0600), 0);
	prepare();
	assert_int_equal(unlink(file), 0);
	assert_int_not_equal(prepare_data(&conf, &e), ERR_OK);
	assert_non_null(strstr(e.text, "tls.key: "));
}

/* On a machine that cannot confine anything no gate could be run. In a process
 * of its own: what it acts as is for good. */
static void
wants_what_confines(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct err e = { 0 };

		confine_limit_abi(0);
		if (prepare_check(&conf, &e) != ERR_UNSUPPORTED ||
		    strstr(e.text, "gate.sandbox: ") == NULL)
			_exit(1);
		if (prepare_data(&conf, &e) == ERR_OK)
			_exit(2);
		conf.gate.sandbox = SANDBOX_BEST_EFFORT;
		_exit(prepare_check(&conf, &e) == ERR_OK ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    goes_on_with_a_key_that_is_there, begin, end),
		cmocka_unit_test_setup_teardown(
		    takes_the_newest_where_none_is_named, begin, end),
		cmocka_unit_test_setup_teardown(
		    takes_what_the_configuration_says, begin, end),
		cmocka_unit_test_setup_teardown(
		    refuses_a_key_that_others_may_read, begin, end),
		cmocka_unit_test_setup_teardown(
		    refuses_a_tls_key_that_others_may_read, begin, end),
		cmocka_unit_test_setup_teardown(wants_what_confines, begin,
		    end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
