/* The package line of a .rego file. A path that is written is read again. */

#include "bundler/module.h"
#include "tests/fuzz/fuzz.h"

/* Six bytes for each of a name's, and what stands between its parts. */
enum { WRITTEN_MAX = 6 * MODULE_NAME_MAX + 8 * MODULE_SEGMENTS_MAX };

static void
write_and_read(const struct module_package *p)
{
	struct module_package again = { 0 };
	AUTO_BUF text = { 0 };
	struct err e;
	enum err_code code;

	buf_init(&text, WRITTEN_MAX);
	module_path_write(&text, p->segments, p->count);
	assert(buf_check(&text, "path", &e) == ERR_OK);
	assert(text.len > 5 && memcmp(text.data, "data.", 5) == 0);
	/* "data.a.b" becomes "package a.b". */
	AUTO_STR line = mem_printf("package %s", text.data + 5);

	code =
	    module_package_read(&again, "again.rego", line, strlen(line), &e);
	assert(code == ERR_OK);
	assert(again.count == p->count);
	for (size_t i = 0; i < p->count; i++)
		assert(strcmp(again.segments[i], p->segments[i]) == 0);
	module_package_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct module_package p = { 0 };
	struct err e;
	enum err_code code =
	    module_package_read(&p, "x.rego", (const char *)data, size, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return 0;
	}
	assert(p.count > 0 && p.count <= MODULE_SEGMENTS_MAX && p.line > 0);
	write_and_read(&p);
	module_package_clear(&p);
	return 0;
}
