#ifndef TESTS_DAEMON_OPERATORS_MODEL_H
#define TESTS_DAEMON_OPERATORS_MODEL_H

/* What may become of assignments, written down once more, from the rules and not
 * from the server's code: one line of commits, four clusters, two bundles whose
 * content is a number. The server's audit says in which order things happened;
 * each event is played here, and has to be what these rules make of it. A rule
 * that is broken fails the test. */

#include <stdbool.h>
#include <stdint.h>

enum {
	MODEL_COMMITS_MAX = 400,
	MODEL_VALUES = 6, /* 1 to 5; 0 fails its test */
	MODEL_BUNDLES = 2,
	MODEL_CLUSTERS = 4,
	MODEL_ID = 41
};

enum model_mode { MODEL_NONE, MODEL_FOLLOWING, MODEL_HELD };
enum model_kind { MODEL_ROLLBACK, MODEL_PIN, MODEL_RESUME, MODEL_KINDS };

struct model_commit {
	char id[MODEL_ID];
	int value[MODEL_BUNDLES];
	bool good, published;
};

struct model_place {
	enum model_mode mode; /* NONE: this cluster does not have it */
	int64_t serial;
	int revision; /* commits by their place on the line */
	int current;
	int value;
	bool quarantined[MODEL_VALUES];
};

struct model {
	struct model_commit commits[MODEL_COMMITS_MAX]; /* oldest first */
	int count;
	/* The commit whose artifact stands for this content. */
	int first[MODEL_BUNDLES][MODEL_VALUES];
	struct model_place places[MODEL_CLUSTERS][MODEL_BUNDLES];
	/* Clusters with several bundles: what follows may come a moment later,
	 * when the set is known to load. */
	bool late[MODEL_CLUSTERS];
};

/* An event of the audit about one assignment. */
struct model_event {
	int cluster, bundle;
	int revision, current;
	int64_t serial;
	enum model_mode mode;
};

void model_init(struct model *m);
int model_add(struct model *m, const char *id, const int value[MODEL_BUNDLES],
    bool good);
int model_find(const struct model *m, const char *id); /* -1: unknown */

/* A commit was published. */
void model_publish(struct model *m, int commit);
/* The server moved it by itself. */
void model_assign(struct model *m, const struct model_event *e);
/* An operator did. */
void model_act(struct model *m, enum model_kind kind, int to,
    const struct model_event *e);

/* Is there something that follows and is not where it has to be? */
bool model_is_behind(const struct model *m);

#endif
