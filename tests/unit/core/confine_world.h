#ifndef TESTS_UNIT_CORE_CONFINE_WORLD_H
#define TESTS_UNIT_CORE_CONFINE_WORLD_H

/* What the attempts to escape are made on. `inside` may be read (and, for roles
 * that write, written), `outside` not. */

#include <netinet/in.h>
#include <sys/types.h>

struct world {
	char *root;
	char *inside;
	char *inside_file;
	char *outside;
	char *outside_file;
	struct sockaddr_in listener;
	char *unix_path;
	int listen_fds[2];
	int inherited; /* outside_file, opened for reading before */
	pid_t parent;
};
extern struct world world;

/* Attempts change things, so every one finds a new world. */
void world_make(void);
void world_end(void);

void world_put(const char *path, const char *text, mode_t mode);

#endif
