#include "server/supervisor/reload.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/supervisor/prepare_check.h"

/* A check that takes until the test writes how it ends: files may be on a disk
 * that does not answer. */
static int gate[2];

enum err_code __wrap_prepare_check(const struct conf *c, struct err *e);

enum err_code
__wrap_prepare_check(const struct conf *c, struct err *e)
{
	char byte;

	(void)c;
	if (read(gate[0], &byte, 1) != 1)
		_exit(9);
	return byte == 'g' ? ERR_OK : err_set(e, ERR_INVALID, "it is not good");
}

static char dir[64];
static char *file;
static struct conf_flags flags;
static struct conf *now;
static struct conf_state *state;
static struct reload *reloads;

static void
write_conf(int wait_max)
{
	AUTO_STR text = mem_printf("repositories:\n"
				   "  one: {url: https://git.example/one, "
				   "engine: [/bin/true]}\n"
				   "http: {wait_max: %d}\n",
	    wait_max);
	struct err e;

	if (file_replace(file, text, strlen(text), 0600, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static int
begin(void **unused)
{
	AUTO_STR data = NULL;
	struct err e;

	(void)unused;
	log_init("test", LOG_ERROR + 1);
	(void)snprintf(dir, sizeof dir, "/tmp/edict-reload-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(pipe(gate), 0);
	file = file_path(dir, "server.yaml");
	data = file_path(dir, "data");
	flags = (struct conf_flags){ .file = file, .data_dir = STEAL(data) };
	write_conf(11);
	if (conf_read(&now, &flags, &e) != ERR_OK)
		fail_msg("%s", e.text);
	state = conf_state_new();
	reloads = reload_new(&flags, state);
	return 0;
}

static int
end(void **unused)
{
	struct err e;

	(void)unused;
	reload_free(reloads);
	mem_free((char *)(uintptr_t)flags.data_dir);
	conf_state_free(state);
	conf_free(STEAL(now));
	close(gate[0]);
	close(gate[1]);
	mem_free(STEAL(file));
	return file_remove_tree(dir, &e) == ERR_OK ? 0 : -1;
}

static enum reload_outcome
step(void)
{
	struct conf *next = NULL;
	unsigned int needs = 0;
	enum reload_outcome o = reload_step(reloads, &next, &needs, now);

	if (o == RELOAD_NEXT) {
		assert_int_equal(needs, CONF_HTTP);
		conf_free(now);
		now = next;
	}
	return o;
}

static void
end_check(char how)
{
	int status = 0;
	pid_t pid;

	assert_int_equal(write(gate[1], &how, 1), 1);
	pid = waitpid(-1, &status, 0);
	assert_true(pid > 0);
	assert_false(reload_reaped(reloads, pid + 1, status));
	assert_true(reload_reaped(reloads, pid, status));
}

/* None of the steps waits; what is asked for while the check takes its time is
 * done afterwards. */
static void
asked_while_it_is_checked(void **unused)
{
	(void)unused;
	assert_int_equal(step(), RELOAD_NONE);
	assert_false(reload_is_busy(reloads));
	write_conf(12);
	reload_ask(reloads);
	assert_true(reload_is_busy(reloads));
	assert_int_equal(step(), RELOAD_NONE);
	assert_true(reload_fd(reloads) >= 0);
	write_conf(13);
	reload_ask(reloads);
	assert_int_equal(step(), RELOAD_NONE);
	write_conf(14);
	reload_ask(reloads);
	assert_int_equal(step(), RELOAD_NONE);
	end_check('g');
	assert_int_equal(step(), RELOAD_NEXT);
	assert_int_equal(now->http.wait_max, 12);
	assert_true(reload_is_busy(reloads));
	assert_int_equal(step(), RELOAD_NONE);
	end_check('g');
	assert_int_equal(step(), RELOAD_NEXT);
	assert_int_equal(now->http.wait_max, 14);
	assert_int_equal(step(), RELOAD_NONE);
	assert_false(reload_is_busy(reloads));
	assert_int_equal(reload_fd(reloads), -1);
}

static void
what_came_of_it_can_be_read(void **unused)
{
	struct conf_state_view v;

	(void)unused;
	write_conf(12);
	reload_ask(reloads);
	assert_int_equal(step(), RELOAD_NONE);
	end_check('b');
	assert_int_equal(step(), RELOAD_SAME);
	conf_state_read(state, &v);
	assert_int_not_equal(v.refused_ms, 0);
	assert_non_null(strstr(v.fault, "server.yaml: it is not good"));
	/* What does not hold is so still when nothing is new in the file. */
	conf_state_failed(state, "http cannot");
	write_conf(11);
	reload_ask(reloads);
	assert_int_equal(step(), RELOAD_NONE);
	end_check('g');
	assert_int_equal(step(), RELOAD_SAME);
	conf_state_read(state, &v);
	assert_int_equal(v.refused_ms, 0);
	assert_string_equal(v.fault, "");
	assert_string_equal(v.failure, "http cannot");
	conf_state_holds(state);
	conf_state_read(state, &v);
	assert_int_equal(v.failed_ms, 0);
	assert_string_equal(v.failure, "");
	/* No child for what cannot be read. */
	assert_int_equal(unlink(file), 0);
	reload_ask(reloads);
	assert_int_equal(step(), RELOAD_SAME);
	conf_state_read(state, &v);
	assert_int_not_equal(v.refused_ms, 0);
}

static void
the_end_does_not_wait(void **unused)
{
	(void)unused;
	write_conf(12);
	reload_ask(reloads);
	assert_int_equal(step(), RELOAD_NONE);
	reload_free(STEAL(reloads));
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	assert_int_equal(errno, ECHILD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(asked_while_it_is_checked,
		    begin, end),
		cmocka_unit_test_setup_teardown(what_came_of_it_can_be_read,
		    begin, end),
		cmocka_unit_test_setup_teardown(the_end_does_not_wait, begin,
		    end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
