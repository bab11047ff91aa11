#ifndef TESTS_UNIT_CORE_CHANNEL_ENDS_H
#define TESTS_UNIT_CORE_CHANNEL_ENDS_H

/* Two ends of one pair, as two processes hold them, for each test anew. */

#include "core/channel.h"

enum { PING = 1, PONG = 2, SECRET = 3, WAIT_MS = 10000 };

extern const uint32_t ends_accept[]; /* PING and PONG */

struct ends {
	int fds[2];
	struct channel *a;
	struct channel *b;
	size_t open_before;
};

int ends_set_up(void **state);

/* Also shows that no descriptor was lost. */
int ends_tear_down(void **state);

#define CASE(f) cmocka_unit_test_setup_teardown(f, ends_set_up, ends_tear_down)

#endif
