#include "tests/unit/core/channel_ends.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"

const uint32_t ends_accept[] = { PING, PONG, 0 };

static size_t
count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

int
ends_set_up(void **state)
{
	struct ends *x = mem_zalloc(sizeof *x);
	struct err e;

	x->open_before = count_open();
	assert_int_equal(channel_pair(x->fds, &e), ERR_OK);
	x->a = channel_new(x->fds[0], "b");
	x->b = channel_new(x->fds[1], "a");
	*state = x;
	return 0;
}

int
ends_tear_down(void **state)
{
	struct ends *x = *state;
	size_t before = x->open_before;

	channel_free(x->a);
	channel_free(x->b);
	for (int i = 0; i < 2; i++) {
		if (x->fds[i] >= 0)
			close(x->fds[i]);
	}
	mem_free(x);
	assert_int_equal(count_open(), before);
	return 0;
}
