#ifndef POLICIES_FETCH_PRIVATE_H
#define POLICIES_FETCH_PRIVATE_H

/* What the parent's and the child's half of a fetch share. */

#include "core/buf.h"
#include "policies/fetch.h"
#include "policies/fetch_url.h"

enum { FETCH_PATHS_MAX = 64 };

struct fetch_child {
	struct child_spec spec;
	struct confine_path paths[FETCH_PATHS_MAX];
	size_t path_count;
	/* Copies: the source may change while the child runs. */
	char *name;
	char *url; /* absolute path when local */
	char *branch;
	char *username;
	char *password_file;
	char *ssh_key_file;
	char *ssh_passphrase_file;
	char *known_hosts_file;
	char *ca_file;
	char *mirror;
	char *incoming;
	char *known;
	char *owned_paths[FETCH_PATHS_MAX];
	size_t owned_count;
	int64_t bytes_max;
	struct fetch_url parts;
};

/* The child's side; arg is a struct fetch_child. */
int fetch_prepare(void *arg);
int fetch_main(void *arg);

#endif
