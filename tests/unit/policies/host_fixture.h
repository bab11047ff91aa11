#ifndef TESTS_UNIT_POLICIES_HOST_FIXTURE_H
#define TESTS_UNIT_POLICIES_HOST_FIXTURE_H

/* Git hosts for tests, on loopback, with the real sshd, nginx and git. Include
 * after cmocka.h; every step asserts. Needs fixture_start first. */

#include <sys/types.h>

/* A port that was free a moment ago. */
int host_free_port(void);
/* A port on which connections are accepted by the kernel and nobody answers;
 * *fd is to be closed. */
int host_silent_port(int *fd);

struct host {
	pid_t pids[2];
	int port;
};
/* Serves the fixture's folder. sshd: host keys ed25519 and ecdsa, the user who
 * runs the test may log in with the key `client`; `known_hosts` is written.
 * https: certificate `ca.pem` for localhost, user "ada" password "pass:word". */
void host_start_ssh(struct host *h);
void host_start_https(struct host *h);
void host_stop(struct host *h);

#endif
