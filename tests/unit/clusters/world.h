#ifndef TESTS_CLUSTERS_WORLD_H
#define TESTS_CLUSTERS_WORLD_H

/* A store of its own in a temporary folder, and the messages that fill it,
 * carried out as the ledger does: one transaction each. Commits are numbers,
 * contents are letters a to f. Every function here fails the test when what it
 * does fails, but for those that return a code. */

#include "clusters/ledger_message.h"
#include "clusters/store.h"

struct world {
	char dir[64];
	struct ledger_context context;
	char *admin; /* the token */
	char *engine;
	struct err e; /* of the last message */
};

void world_open(struct world *w);
void world_close(struct world *w); /* and removes the folder */
void world_reopen(struct world *w);
void world_begin(struct world *w); /* opens the store again */
void world_end(struct world *w);   /* closes it, keeps the folder */

void world_id(char out[STORE_ID_SIZE], int commit);
void world_content(char out[STORE_DIGEST_SIZE], char letter);

/* Takes payload over. *reply may be NULL; else the caller's. */
enum err_code world_run(struct world *w, ledger_fn *run, json_t *payload,
    json_t **reply);

void world_repository(struct world *w, const char *name, int line,
    int followed);
/* One commit; parent 0: none. */
void world_commit(struct world *w, const char *repository, int line, int commit,
    int parent, int depth);
/* Commits first to last, each the next one's parent, depth = number. */
void world_line(struct world *w, const char *repository, int line, int first,
    int last);
json_t *world_verdict_payload(const char *repository, int commit,
    const char *state, int attempt);
void world_verdict(struct world *w, const char *repository, int commit,
    const char *state);

struct world_bundle {
	const char *name;
	char content;
	const char *root;
};
struct world_cluster {
	const char *name;
	const char *bundles; /* separated by spaces */
};
struct world_publication {
	const char *repository;
	int commit;
	struct world_bundle bundles[4];
	struct world_cluster clusters[4];
	int64_t operation;
	bool no_clusters; /* of a repository that may not define them */
	bool files;       /* write the artifacts' files too */
};
json_t *world_publish_payload(struct world *w,
    const struct world_publication *p);
/* The engine that is asked about sets of bundles. */
#define WORLD_ENGINE \
	"e000000000000000000000000000000000000000000000000000000000000000"
/* LEDGER_SET for one of those that LEDGER_SETS gives, or that is wanted. */
json_t *world_set_answer(const json_t *set, const char *state);
/* All that are wanted, until none is. */
void world_answer_sets(struct world *w, const char *state);
/* As many as there were. */
size_t world_answer_sets_once(struct world *w, const char *state);
/* As the pipeline does it: every set that it makes is loaded before. */
enum err_code world_publish(struct world *w, const struct world_publication *p);

/* Verdict and publication of one bundle `authz` in cluster `prod`. */
void world_pass(struct world *w, int commit, char content);

/* The bytes of the artifact that world_publish writes. */
char *world_bytes(const char *bundle, int commit, char content);

/* fields are json_pack's, of the action but token and peer. */
json_t *world_action_payload(struct world *w, const char *token,
    json_t *fields);
enum err_code world_action(struct world *w, json_t *fields, json_t **body);

/* "3 following 7": revision, mode and serial of an assignment, or "none". */
void world_assigned(struct world *w, char out[64], const char *cluster,
    const char *bundle);
#define assert_assigned(w, cluster, bundle, expected)     \
	do {                                              \
		char got_[64];                            \
		world_assigned(w, got_, cluster, bundle); \
		assert_string_equal(got_, expected);      \
	} while (0)

#endif
