#ifndef POLICIES_KNOWN_HOSTS_H
#define POLICIES_KNOWN_HOSTS_H

/* The pinned host keys of an ssh remote: a file as OpenSSH writes it, with
 * plain, pattern and hashed (HashKnownHosts) names, ports in brackets, and
 * @revoked. @cert-authority lines are passed over: certificates are not
 * checked here. Lines that cannot be read are passed over, as ssh does.
 * Pure, any thread. */

#include <stddef.h>

#include "core/err.h"

enum { KNOWN_HOSTS_MAX = 1 << 20 };

enum known_hosts_answer {
	KNOWN_HOSTS_MATCH,
	KNOWN_HOSTS_UNKNOWN,  /* no line for this host */
	KNOWN_HOSTS_MISMATCH, /* lines for this host, with other keys */
	KNOWN_HOSTS_REVOKED
};

/* Is key (the raw blob of the protocol) pinned for host and port? */
enum known_hosts_answer known_hosts_check(const char *text, size_t len,
    const char *host, int port, const void *key, size_t key_len);

#endif
