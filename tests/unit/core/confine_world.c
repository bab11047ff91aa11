#include "tests/unit/core/confine_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"

struct world world;

/* Not file_replace: nobody needs these on disk. */
void
world_put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

void
world_make(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = sizeof world.listener;
	char root[] = "/tmp/edict-confine-XXXXXX";
	struct err e;

	assert_non_null(mkdtemp(root));
	world.root = mem_strdup(root);
	world.inside = file_path(root, "inside");
	world.outside = file_path(root, "outside");
	world.inside_file = file_path(world.inside, "file");
	world.outside_file = file_path(world.outside, "file");
	world.unix_path = file_path(world.outside, "socket");
	assert_int_equal(file_make_dirs(world.inside, &e), ERR_OK);
	assert_int_equal(file_make_dirs(world.outside, &e), ERR_OK);
	world_put(world.inside_file, "inside", 0600);
	world_put(world.outside_file, "outside", 0600);
	world.inherited = open(world.outside_file, O_RDONLY | O_CLOEXEC);
	assert_true(world.inherited > 2);

	world.listen_fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	world.listener = (struct sockaddr_in){ .sin_family = AF_INET };
	world.listener.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(world.listen_fds[0],
			     (struct sockaddr *)&world.listener, len),
	    0);
	assert_int_equal(listen(world.listen_fds[0], 8), 0);
	assert_int_equal(getsockname(world.listen_fds[0],
			     (struct sockaddr *)&world.listener, &len),
	    0);
	world.listen_fds[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(un.sun_path, sizeof un.sun_path, "%s", world.unix_path);
	assert_int_equal(bind(world.listen_fds[1], (struct sockaddr *)&un,
			     sizeof un),
	    0);
	assert_int_equal(listen(world.listen_fds[1], 8), 0);
	world.parent = getpid();
}

void
world_end(void)
{
	struct err e;

	close(world.listen_fds[0]);
	close(world.listen_fds[1]);
	close(world.inherited);
	assert_int_equal(file_remove_tree(world.root, &e), ERR_OK);
	mem_free(world.root);
	mem_free(world.inside);
	mem_free(world.outside);
	mem_free(world.inside_file);
	mem_free(world.outside_file);
	mem_free(world.unix_path);
}
