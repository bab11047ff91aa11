#include "core/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"

static char dir[64];

static int
set_up(void **state)
{
	static const char pattern[] = "/tmp/edict-file-XXXXXX";

	(void)state;
	memcpy(dir, pattern, sizeof pattern);
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	return file_remove_tree(dir, NULL) == ERR_OK ? 0 : -1;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
replaces_and_reads(void **state)
{
	AUTO_STR path = file_path(dir, "a");
	struct file_names names;
	AUTO_BUF b = { 0 };
	struct err e;
	mode_t old = umask(077);

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(file_replace(path, "one", 3, 0600, &e), ERR_OK);
	assert_int_equal(file_replace(path, "t\0o", 3, 0644, &e), ERR_OK);
	(void)umask(old);
	assert_int_equal(mode_of(path), 0644);
	assert_int_equal(file_read(&b, path, &e), ERR_OK);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "t\0o", 3);
	/* Nothing temporary stays. */
	assert_int_equal(file_list(&names, dir, 10, &e), ERR_OK);
	assert_int_equal(names.count, 1);
	file_names_clear(&names);
}

static void
does_not_write_through_a_link(void **state)
{
	AUTO_STR target = file_path(dir, "target");
	AUTO_STR path = file_path(dir, "link");
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(file_replace(target, "old", 3, 0600, &e), ERR_OK);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(file_replace(path, "new", 3, 0600, &e), ERR_OK);
	assert_int_equal(file_read(&b, target, &e), ERR_OK);
	assert_string_equal(b.data, "old");
}

static void
reads_up_to_the_limit(void **state)
{
	AUTO_STR path = file_path(dir, "a");
	AUTO_BUF b = { 0 };
	AUTO_BUF small = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 5);
	buf_init(&small, 4);
	assert_int_equal(file_replace(path, "12345", 5, 0600, &e), ERR_OK);
	assert_int_equal(file_read(&b, path, &e), ERR_OK);
	assert_string_equal(b.data, "12345");
	assert_int_equal(file_read(&small, path, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "/a: larger than 4 bytes"));
}

static void
says_what_it_cannot_read(void **state)
{
	AUTO_STR path = file_path(dir, "missing");
	AUTO_STR pipe = file_path(dir, "pipe");
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(file_read(&b, path, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, path));
	assert_int_equal(file_read(&b, dir, &e), ERR_INVALID);
	/* Without waiting for a writer. */
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(file_read(&b, pipe, &e), ERR_INVALID);
	assert_int_equal(file_replace("/nowhere/at/all", "x", 1, 0600, &e),
	    ERR_NOT_FOUND);
}

static void
reads_secrets_of_private_files_only(void **state)
{
	AUTO_STR path = file_path(dir, "secret");
	AUTO_STR secret = NULL;
	struct err e;

	(void)state;
	assert_int_equal(file_replace(path, "pass\r\nmore\n", 11, 0640, &e),
	    ERR_OK);
	assert_int_equal(file_read_secret(&secret, path, &e), ERR_DENIED);
	assert_non_null(strstr(e.text, "chmod 600"));
	assert_null(secret);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(file_read_secret(&secret, path, &e), ERR_OK);
	assert_string_equal(secret, "pass");
	mem_free(STEAL(secret));
	assert_int_equal(file_replace(path, "\n", 1, 0600, &e), ERR_OK);
	assert_int_equal(file_read_secret(&secret, path, &e), ERR_INVALID);
	assert_null(secret);
}

static void
makes_lists_and_removes_folders(void **state)
{
	AUTO_STR deep = file_path(dir, "x/y/z");
	AUTO_STR top = file_path(dir, "x");
	AUTO_STR outside = file_path(dir, "kept");
	AUTO_STR link = file_path(dir, "x/y/link");
	AUTO_STR file = file_path(dir, "x/b");
	AUTO_STR other = file_path(dir, "x/a");
	struct file_names names;
	struct err e;

	(void)state;
	assert_int_equal(file_make_dirs(deep, &e), ERR_OK);
	assert_int_equal(file_make_dirs(deep, &e), ERR_OK);
	assert_int_equal(mode_of(deep), 0700);
	assert_int_equal(file_make_dirs(outside, &e), ERR_OK);
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(file_replace(file, "", 0, 0600, &e), ERR_OK);
	assert_int_equal(file_replace(other, "", 0, 0600, &e), ERR_OK);
	assert_int_equal(file_list(&names, top, 3, &e), ERR_OK);
	assert_int_equal(names.count, 3);
	assert_string_equal(names.names[0], "a");
	assert_string_equal(names.names[1], "b");
	assert_string_equal(names.names[2], "y");
	file_names_clear(&names);
	assert_int_equal(file_list(&names, top, 2, &e), ERR_LIMIT);
	assert_int_equal(file_remove_tree(top, &e), ERR_OK);
	assert_int_equal(file_remove_tree(top, &e), ERR_OK);
	assert_int_equal(access(top, F_OK), -1);
	assert_int_equal(access(outside, F_OK), 0);
	assert_int_equal(file_list(&names, top, 2, &e), ERR_NOT_FOUND);
}

static void
seals_memory_files(void **state)
{
	AUTO_BUF b = { 0 };
	struct err e;
	int fd;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(file_memory(&fd, "t", "abc", 3, &e), ERR_OK);
	assert_int_equal(file_read_fd(&b, fd, "t", &e), ERR_OK);
	assert_string_equal(b.data, "abc");
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(replaces_and_reads),
		IN_FOLDER(does_not_write_through_a_link),
		IN_FOLDER(reads_up_to_the_limit),
		IN_FOLDER(says_what_it_cannot_read),
		IN_FOLDER(reads_secrets_of_private_files_only),
		IN_FOLDER(makes_lists_and_removes_folders),
		IN_FOLDER(seals_memory_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
