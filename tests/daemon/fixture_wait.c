#include "tests/daemon/fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/daemon/scene.h"

struct goal {
	const char *cluster, *bundle, *rev, *state;
	json_t *seen;
};

/* NULL when the answer is not 200. */
static json_t *
look(const char *path)
{
	struct answer a =
	    daemon_get(daemon_printf("/v1%s", path), scene.admin, NULL);

	return a.status == 200 ? scene_parse(&a, path) : NULL;
}

static const json_t *
assignment_in(const json_t *cluster, const char *bundle)
{
	const json_t *list = daemon_at(cluster, "assignments");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *a = json_array_get(list, i);

		if (strcmp(daemon_text(a, "bundle"), bundle) == 0)
			return a;
	}
	return NULL;
}

static bool
is_served(void *arg)
{
	struct goal *g = arg;
	const json_t *a;
	struct answer head;

	g->seen = look(daemon_printf("/clusters/%s", g->cluster));
	a = assignment_in(g->seen, g->bundle);
	if (a == NULL || strcmp(daemon_text(a, "revision"), g->rev) != 0)
		return false;
	head = daemon_send(&(struct request){ .method = "HEAD",
	    .path =
		daemon_printf("/clusters/%s/bundles/%s", g->cluster, g->bundle),
	    .token = scene.engine });
	return head.status == 200 &&
	    strcmp(answer_header(&head, "ETag"), daemon_text(a, "etag")) == 0;
}

static const char *
dumped(const json_t *j)
{
	char *text = j != NULL
	    ? json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY)
	    : NULL;
	const char *out = daemon_printf("%s", text != NULL ? text : "nothing");

	free(text);
	return out;
}

static int64_t
reach(const char *what, bool (*condition)(void *arg), struct goal *g,
    int64_t deadline_ms)
{
	int64_t begin = daemon_now_ms();

	if (!scene_holds_before(condition, g, deadline_ms))
		fail_msg("after %" PRId64 " ms still not: %s; there is %s",
		    deadline_ms, what, dumped(g->seen));
	return daemon_now_ms() - begin;
}

int64_t
daemon_wait_revision(const char *cluster, const char *bundle, const char *rev,
    int64_t deadline_ms)
{
	struct goal g = { .cluster = cluster, .bundle = bundle, .rev = rev };

	return reach(daemon_printf("%s has %s at %s", cluster, bundle, rev),
	    is_served, &g, deadline_ms);
}

int64_t
daemon_wait_served(const char *rev)
{
	return daemon_wait_revision("default", "main", rev, DAEMON_DEADLINE_MS);
}

static bool
has_verdict(void *arg)
{
	struct goal *g = arg;
	const char *state;

	g->seen = look(daemon_printf("/commits/%s", g->rev));
	state = daemon_text(g->seen, "verdict.state");
	return state != NULL && strcmp(state, g->state) == 0;
}

json_t *
daemon_wait_verdict(const char *rev, const char *state, int64_t deadline_ms)
{
	struct goal g = { .rev = rev, .state = state };

	reach(daemon_printf("%s is %s", rev, state), has_verdict, &g,
	    deadline_ms);
	return g.seen;
}

static bool
is_over(void *arg)
{
	struct goal *g = arg;
	const char *state;

	g->seen = look(daemon_printf("/operations/%s", g->rev));
	state = daemon_text(g->seen, "state");
	return state != NULL &&
	    (strcmp(state, "done") == 0 || strcmp(state, "failed") == 0);
}

json_t *
daemon_wait_operation(const json_t *operation, const char *state)
{
	const json_t *inner = daemon_at(operation, "operation");
	struct goal g = { .rev = daemon_text(inner != NULL ? inner : operation,
			      "id") };

	assert_non_null(g.rev);
	reach("the operation is over", is_over, &g, DAEMON_DEADLINE_MS);
	if (strcmp(daemon_text(g.seen, "state"), state) != 0)
		fail_msg("the operation is not %s: %s", state, dumped(g.seen));
	return g.seen;
}

static bool
is_in_state(void *arg)
{
	struct goal *g = arg;
	const char *state;

	g->seen = look(daemon_printf("/repositories/%s", g->rev));
	state = daemon_text(g->seen, "state");
	return state != NULL && strcmp(state, g->state) == 0;
}

json_t *
daemon_wait_state(const char *repository, const char *state)
{
	struct goal g = { .rev = repository, .state = state };

	reach(daemon_printf("repository %s is %s", repository, state),
	    is_in_state, &g, DAEMON_DEADLINE_MS);
	return g.seen;
}

struct log_goal {
	const char *text;
	size_t from;
};

static bool
is_logged(void *arg)
{
	struct log_goal *g = arg;
	const char *log = daemon_log();

	return strlen(log) > g->from && strstr(log + g->from, g->text) != NULL;
}

void
daemon_wait_log(const char *text, size_t from)
{
	struct log_goal g = { text, from };

	daemon_wait(daemon_printf("the log says %s", text), is_logged, &g,
	    DAEMON_DEADLINE_MS);
}

/* "cluster=NAME revision=REV" of the last line that says so; "" without one. */
static const char *
published_revision(const char *cluster, size_t from)
{
	const char *mark = daemon_printf("discovery.published cluster=%s "
					 "revision=",
	    cluster);
	const char *log = daemon_log();
	const char *found = "";

	if (strlen(log) <= from)
		return "";
	log += from;
	while ((log = strstr(log, mark)) != NULL) {
		log += strlen(mark);
		found = daemon_printf("%.*s", (int)strcspn(log, " \n"), log);
	}
	return found;
}

struct discovery_goal {
	const char *cluster;
	size_t from;
};

static bool
is_told(void *arg)
{
	const struct discovery_goal *g = arg;
	const char *wanted = published_revision(g->cluster, g->from);
	const json_t *c;
	const char *revision;
	struct answer a;

	if (*wanted == '\0')
		return false;
	c = look(daemon_printf("/clusters/%s", g->cluster));
	revision = daemon_text(c, "discovery.revision");
	a = daemon_send(&(struct request){ .method = "HEAD",
	    .path = daemon_printf("/clusters/%s/discovery", g->cluster),
	    .token = scene.admin });
	return revision != NULL &&
	    strncmp(revision, wanted, strlen(wanted)) == 0 && a.status == 200 &&
	    strcmp(answer_header(&a, "ETag"),
		daemon_text(c, "discovery.etag")) == 0;
}

void
daemon_wait_discovery(const char *cluster, size_t from)
{
	struct discovery_goal g = { cluster, from };

	daemon_wait(daemon_printf("engines get discovery of %s", cluster),
	    is_told, &g, DAEMON_DEADLINE_MS);
}

static bool
has_head(void *arg)
{
	(void)arg;
	return daemon_at(look("/audit/heads"), "items.0") != NULL;
}

void
daemon_wait_settled(const char *cluster)
{
	daemon_wait_discovery(cluster, 0);
	daemon_wait("the audit has a signed head", has_head, NULL,
	    DAEMON_DEADLINE_MS);
}

static bool
is_there(void *arg)
{
	return access(arg, R_OK) == 0;
}

void
daemon_wait_file(const char *name)
{
	AUTO_STR path = mem_strdup(daemon_path(name));

	daemon_wait(path, is_there, path, DAEMON_DEADLINE_MS);
}
