/* Runs a target over the files of folders: the corpora replay in the ordinary
 * test run, under whatever sanitizers and compiler it has. The input lies at
 * the end of its own memory, so that reading on is found. */

#include <stdio.h>

#include "core/file.h"
#include "tests/fuzz/fuzz.h"

enum { REPLAY_FILES_MAX = 10000, REPLAY_FILE_MAX = 16 << 20 };

static void
replay(const char *path)
{
	struct err e;
	AUTO_BUF text = { 0 };
	uint8_t *copy;

	buf_init(&text, REPLAY_FILE_MAX);
	if (file_read(&text, path, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	/* Said before: after a crash it is the last line. */
	(void)printf("%s\n", path);
	(void)fflush(stdout);
	copy = mem_alloc(text.len > 0 ? text.len : 1);
	memcpy(copy, text.data, text.len);
	(void)LLVMFuzzerTestOneInput(copy, text.len);
	mem_free(copy);
}

static void
replay_folder(const char *path)
{
	struct file_names names;
	struct err e;

	if (file_list(&names, path, REPLAY_FILES_MAX, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	if (names.count == 0) {
		(void)fprintf(stderr, "%s: no files to replay\n", path);
		exit(1);
	}
	for (size_t i = 0; i < names.count; i++) {
		AUTO_STR file = file_path(path, names.names[i]);

		replay(file);
	}
	file_names_clear(&names);
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++)
		replay_folder(argv[i]);
	return 0;
}
