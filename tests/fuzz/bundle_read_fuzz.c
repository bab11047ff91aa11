/* A finished bundle file: tar within gzip. */

#include "tests/fuzz/archive.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	archive_try(data, size);
	return 0;
}
