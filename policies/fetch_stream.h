#ifndef POLICIES_FETCH_STREAM_H
#define POLICIES_FETCH_STREAM_H

/* The TCP connection under libgit2's HTTP and HTTPS. Its own waits for the
 * peer's delayed acknowledgement between a request's head and its body, twice
 * a fetch, 40 ms each, and connects without a time limit. Here what is written
 * leaves at once, an address that does not answer is given up for the next one,
 * and a peer that vanished is noticed; how long a host that is there may take is
 * for the fetch's own deadline to say. TLS stays libgit2's, on top of this. */

#include "core/err.h"

enum {
	FETCH_STREAM_CONNECT_S = 20, /* for each address; for each write, too */
	FETCH_STREAM_SILENT_S = 15,  /* then the peer is asked if it is there */
	FETCH_STREAM_PROBES = 4
};

/* From now on libgit2 connects this way, in the whole process. Not for SSH:
 * libgit2 1.5 looks into its own struct there. */
enum err_code fetch_stream_register(struct err *e) MUST_CHECK;

#endif
