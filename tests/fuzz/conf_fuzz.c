/* server.yaml. The folder is given from outside, so that nothing is made where
 * the file says. */

#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "server/conf/conf.h"
#include "tests/fuzz/fuzz.h"

static void
check(const struct conf *c)
{
	const struct conf_repository *r = c->repositories.items;

	assert(c->listen != NULL && c->listen[0] != '\0');
	assert(strcmp(c->data_dir, "/") == 0);
	assert(c->repositories.count > 0);
	for (size_t i = 0; i < c->repositories.count; i++) {
		assert(spec_is_name(r[i].name) && r[i].url[0] != '\0');
		assert(r[i].engine.count > 0);
		assert(conf_repository(c, r[i].name) != NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_flags flags = { .data_dir = "/", .opa = "/bin/sh" };
	AUTO_STR path = NULL;
	AUTO(conf, c) = NULL;
	int fd;
	struct err e;
	enum err_code code = file_memory(&fd, "server.yaml", data, size, &e);

	assert(code == ERR_OK);
	fuzz_quiet();
	path = mem_printf("/proc/self/fd/%d", fd);
	flags.file = path;
	code = conf_read(&c, &flags, &e);
	if (code != ERR_OK)
		fuzz_refused(code, &e);
	else
		check(c);
	close(fd);
	return 0;
}
