#ifndef SERVER_CONF_H
#define SERVER_CONF_H

/* The server's configuration: `server.yaml`, or nothing but `--repo URL`.
 * Immutable once it is read, which is before a process is forked that works by
 * it; another one makes new processes (server/supervisor/reload.h). */

#include <stdbool.h>
#include <stdint.h>

#include "core/spec.h"
#include "server/conf/conf_access.h"
#include "server/conf/conf_access_log.h"
#include "server/conf/conf_discovery.h"
#include "server/conf/conf_events.h"
#include "server/conf/conf_limits.h"
#include "server/conf/conf_retention.h"
#include "server/conf/conf_sets.h"

enum conf_sandbox { SANDBOX_REQUIRED, SANDBOX_BEST_EFFORT };

struct conf_credentials {
	char *username;
	char *password_file; /* a password or a token */
	char *ssh_key_file;
	char *ssh_passphrase_file;
	char *known_hosts_file;
	char *ca_file;
};

struct conf_repository {
	char *name;
	char *url;
	char *branch;          /* NULL: the remote's default */
	int64_t poll_interval; /* seconds */
	int64_t fetch_timeout; /* seconds */
	int64_t stale_after;   /* polls without success */
	int64_t fetch_max;     /* bytes one fetch may bring */
	struct conf_credentials credentials;
	struct spec_strings bundles; /* globs: which it may define */
	bool clusters;               /* does it define clusters? */
	struct spec_strings engine;  /* argv prefix; engine.items[0] absolute */
};

struct conf_key {
	char *id;
	char *algorithm;
	char *private_key_file;
};

struct conf_command {
	char *name;
	char *path;
	int64_t scratch, processes, memory, timeout;
};

/* Engines whose certificate has such a name are of this cluster. */
struct conf_certificate {
	char *name;
	char *cluster;
};

struct conf {
	char *listen;
	char *url; /* as engines and people reach it; NULL: as it listens */
	char *data_dir;
	int log_level; /* enum log_level */
	struct {
		char *certificate;
		char *key;
		char *client_ca;
		struct spec_strings client_crl;
	} tls;
	struct spec_list repositories; /* of conf_repository */
	struct {
		struct spec_list keys; /* of conf_key */
		char *use;             /* id of the key that signs */
	} signing;
	struct {
		int sandbox; /* enum conf_sandbox */
		int64_t memory_max;
		int64_t concurrency;
		struct spec_list commands; /* of conf_command */
		struct {
			bool strict;
			int64_t coverage;
		} minimum;
	} gate;
	struct {
		char *anonymous_cluster;
		struct spec_list certificates; /* of conf_certificate */
		struct spec_list jwt;          /* of conf_jwt */
	} access;
	struct {
		int64_t processes;
		int64_t threads;  /* of each */
		int64_t wait_max; /* seconds, as is the next */
		int64_t release_spread;
		int64_t engines_max; /* connections at once */
		int64_t memory_max;  /* bytes of artifacts */
		struct conf_access_log access_log;
		struct conf_limits limits;
	} http;
	struct {
		int64_t max;          /* in the table */
		int64_t silent_after; /* seconds, as is the next */
		int64_t forget_after;
	} engines;
	struct conf_discovery discovery;
	struct conf_sets sets;
	struct conf_retention retention;
	struct spec_list events; /* of conf_event_target */
};

/* What the command line adds to, or gives in place of, the file. NULL: not
 * given. */
struct conf_flags {
	const char *file;
	const char *repo; /* URL or path */
	const char *branch;
	const char *listen;
	const char *data_dir;
	const char *opa;
	bool trial; /* only to see whether it is good: makes no folder */
};

/* Reads, checks, fills in. All faults of the file are in e->text, a line each. */
enum err_code conf_read(struct conf **out, const struct conf_flags *flags,
    struct err *e) MUST_CHECK;
void conf_free(struct conf *c);
AUTO_FREE(conf)

const struct conf_repository *conf_repository(const struct conf *c,
    const char *name);

/* Where the engine is: EDICT_OPA, PATH, or beside this program. Absolute, the
 * caller's. NOT_FOUND says what to do. */
enum err_code conf_find_engine(char **out, const char *name, struct err *e)
    MUST_CHECK;

/* Of struct conf: for comparing two of them (core/spec_diff.h). */
extern const struct spec conf_spec[];

/* Appends the reference of server.yaml in Markdown. */
void conf_describe(struct buf *out);

#endif
