/* Two operators, a thousand actions each, at the same time, while commits land
 * and processes die; then the server's account of it is played against a model
 * of the rules. EDICT_SEED repeats what operators, commits and kills are. */

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/buf.h"
#include "core/mem.h"
#include "tests/daemon/fixture.h"
#include "tests/daemon/operators_model.h"

enum {
	ROUNDS = 20,
	ROUND_ACTIONS = 50, /* of each operator */
	OPERATORS = 2,
	ACTIONS = ROUNDS * ROUND_ACTIONS,
	TARGETS_MAX = 12, /* the newest commits are what people go back to */
	BODY_SIZE = 1 << 20,
	KILL_EVERY = 3, /* rounds */
	UP_MS = DAEMON_DEADLINE_MS,
	QUIET_MS =
	    4 * DAEMON_DEADLINE_MS /* several commits, one after another */
};

static const char *const cluster_names[MODEL_CLUSTERS] = { "east", "north",
	"south", "west" };
static const char *const bundle_names[MODEL_BUNDLES] = { "alpha", "beta" };
static const bool has[MODEL_CLUSTERS][MODEL_BUNDLES] = {
	{ true, false },
	{ false, true },
	{ true, true },
	{ true, false },
};
static const char *const kind_names[MODEL_KINDS] = { "rollback", "pin",
	"resume" };
static const char *const processes[] = { "ledger", "http", "pipeline" };

struct action {
	enum model_kind kind;
	int bundle, to;
	bool chosen[MODEL_CLUSTERS];
	int64_t expect[MODEL_CLUSTERS]; /* 0: none */
	long status;                    /* 0: no answer */
	int64_t operation;              /* of a 202 */
	int events;
};

struct operator
{
	pthread_t thread;
	uint64_t random;
	int number;
	const char *name, *token, *url;
	struct action actions[ACTIONS];
	atomic_int done; /* actions, with answers */
	int until;       /* of this round */
	int64_t seen[MODEL_CLUSTERS][MODEL_BUNDLES];
	const struct model *model; /* commits only, still while it runs */
	int targets;
	CURL *curl;
};

static struct model model;
static struct operator operators[OPERATORS];
static uint64_t chance; /* of commits and kills */
static int64_t played;  /* the last event of the audit */
static int values[MODEL_BUNDLES];

/* ---- chance ---- */

static uint64_t
next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int
below(uint64_t *state, int max)
{
	return (int)(next(state) % (uint64_t)max);
}

static uint64_t
seed(void)
{
	const char *text = getenv("EDICT_SEED");
	uint64_t n = text != NULL ? strtoull(text, NULL, 10)
				  : (uint64_t)time(NULL);

	print_message("EDICT_SEED=%llu\n", (unsigned long long)n);
	return n * 0x9e3779b97f4a7c15u + 1;
}

/* ---- an operator's thread ---- */

static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	buf_add(arg, data, size * count);
	return size * count;
}

/* The answer's status, 0 without one; its body as JSON, or NULL. */
static long
send_request(struct operator* o, const char *path, const char *body,
    json_t **out)
{
	AUTO_STR url = mem_printf("%s/v1%s", o->url, path);
	AUTO_STR line = mem_printf("Authorization: Bearer %s", o->token);
	struct curl_slist *headers = curl_slist_append(NULL, line);
	AUTO_BUF text = { 0 };
	long status = 0;

	buf_init(&text, BODY_SIZE);
	curl_easy_reset(o->curl);
	(void)curl_easy_setopt(o->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(o->curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(o->curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(o->curl, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(o->curl, CURLOPT_WRITEDATA, &text);
	(void)curl_easy_setopt(o->curl, CURLOPT_TIMEOUT_MS, 60000L);
	/* On a connection that it had before, curl would send once more. */
	(void)curl_easy_setopt(o->curl, CURLOPT_FRESH_CONNECT, 1L);
	if (body != NULL)
		(void)curl_easy_setopt(o->curl, CURLOPT_POSTFIELDS, body);
	if (curl_easy_perform(o->curl) == CURLE_OK)
		(void)curl_easy_getinfo(o->curl, CURLINFO_RESPONSE_CODE,
		    &status);
	curl_slist_free_all(headers);
	*out = status != 0 ? json_loadb(text.data, text.len, 0, NULL) : NULL;
	return status;
}

static int
find(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* Remembers the serials that an answer shows. */
static void
look(struct operator* o, const json_t *assignments)
{
	size_t i;
	json_t *a;

	json_array_foreach(assignments, i, a) {
		const char *cluster =
		    json_string_value(json_object_get(a, "cluster"));
		const char *bundle =
		    json_string_value(json_object_get(a, "bundle"));
		int c = find(cluster_names, MODEL_CLUSTERS, cluster);
		int b = find(bundle_names, MODEL_BUNDLES, bundle);

		o->seen[c][b] =
		    json_integer_value(json_object_get(a, "serial"));
	}
}

static void look_at_all(struct operator* o)
{
	json_t *body;
	size_t i;
	json_t *c;

	(void)send_request(o, "/clusters", NULL, &body);
	json_array_foreach(json_object_get(body, "items"), i, c)
		look(o, json_object_get(c, "assignments"));
	json_decref(body);
}

/* All clusters that have the bundle, one, or two of them. */
static void
choose_clusters(struct operator* o, struct action *a)
{
	int how = below(&o->random, 3);

	for (int c = 0; c < MODEL_CLUSTERS; c++)
		a->chosen[c] = how == 0 && has[c][a->bundle];
	for (int n = 0; n < how; n++) {
		int c = below(&o->random, MODEL_CLUSTERS);

		while (!has[c][a->bundle])
			c = (c + 1) % MODEL_CLUSTERS;
		a->chosen[c] = true;
	}
}

/* Mostly the newest; never published ones among them. */
static int choose_target(struct operator* o)
{
	int n = 1 + below(&o->random, TARGETS_MAX);

	return o->targets > n ? o->targets - n : 0;
}

static void
choose(struct operator* o, struct action *a)
{
	static const enum model_kind kinds[] = { MODEL_ROLLBACK, MODEL_ROLLBACK,
		MODEL_ROLLBACK, MODEL_PIN, MODEL_RESUME, MODEL_RESUME };
	bool careful = below(&o->random, 2) == 0;

	a->kind = kinds[below(&o->random, 6)];
	a->bundle = below(&o->random, MODEL_BUNDLES);
	a->to = a->kind == MODEL_ROLLBACK ? choose_target(o) : -1;
	choose_clusters(o, a);
	for (int c = 0; careful && c < MODEL_CLUSTERS; c++)
		if (a->chosen[c] && below(&o->random, 4) != 0)
			a->expect[c] = o->seen[c][a->bundle];
}

static char *
body_of(const struct operator* o, const struct action *a, int number)
{
	json_t *clusters = json_array();
	json_t *expect = json_object();
	AUTO_STR reason = mem_printf("%s-%d", o->name, number);
	json_t *j = json_pack("{s:s}", "reason", reason);
	char *dumped;
	char *text;

	for (int c = 0; c < MODEL_CLUSTERS; c++) {
		if (a->chosen[c])
			(void)json_array_append_new(clusters,
			    json_string(cluster_names[c]));
		if (a->expect[c] > 0)
			(void)json_object_set_new(expect, cluster_names[c],
			    json_integer(a->expect[c]));
	}
	(void)json_object_set_new(j, "clusters", clusters);
	(void)json_object_set_new(j, "expect", expect);
	if (a->kind == MODEL_ROLLBACK)
		(void)json_object_set_new(j, "to",
		    json_string(o->model->commits[a->to].id));
	dumped = json_dumps(j, JSON_COMPACT);
	text = mem_strdup(dumped);
	free(dumped);
	json_decref(j);
	return text;
}

static void
act(struct operator* o, int number)
{
	struct action *a = &o->actions[number];
	AUTO_STR path = NULL;
	AUTO_STR body = NULL;
	json_t *answer;

	choose(o, a);
	path = mem_printf("/bundles/%s/%s", bundle_names[a->bundle],
	    kind_names[a->kind]);
	body = body_of(o, a, number);
	a->status = send_request(o, path, body, &answer);
	if (a->status == 200)
		look(o, json_object_get(answer, "assignments"));
	if (a->status == 202) {
		const json_t *id =
		    json_object_get(json_object_get(answer, "operation"), "id");

		a->operation = strtoll(json_string_value(id), NULL, 10);
	}
	json_decref(answer);
}

static void *
run_operator(void *arg)
{
	struct operator* o = arg;

	look_at_all(o);
	for (int i = atomic_load(&o->done); i < o->until; i++) {
		act(o, i);
		atomic_store(&o->done, i + 1);
		if (below(&o->random, 10) == 0)
			look_at_all(o);
	}
	return NULL;
}

/* ---- commits and kills, meanwhile ---- */

static const char *
policy(int bundle, int value)
{
	return daemon_printf("package %s\n\nx := %d\n", bundle_names[bundle],
	    value);
}

/* The committed work is pushed by the last of several. */
static void
commit(bool push)
{
	bool good = below(&chance, 8) != 0;
	const char *id;

	for (int b = 0; b < MODEL_BUNDLES; b++)
		if (values[b] == 0 || below(&chance, 3) != 0)
			values[b] = 1 + below(&chance, MODEL_VALUES - 1);
	if (!good)
		values[0] = 0;
	daemon_write("work/alpha/a.rego", policy(0, values[0]));
	daemon_write("work/beta/b.rego", policy(1, values[1]));
	daemon_write("work/README", daemon_printf("%d\n", model.count));
	id = daemon_sh("cd work && git add -A && git commit -q -m change && "
		       "%s git rev-parse HEAD",
	    push ? "git push -q origin main &&" : "");
	(void)model_add(&model, id, values, good);
}

struct progress {
	int wanted;
};

static bool
is_reached(void *arg)
{
	const struct progress *p = arg;

	return atomic_load(&operators[0].done) >= p->wanted;
}

static void
wait_for(int action)
{
	struct progress p = { action };

	daemon_wait(daemon_printf("action %d", action), is_reached, &p,
	    DAEMON_DEADLINE_MS);
}

static void
disturb(int round)
{
	int from = round * ROUND_ACTIONS;
	int commits = below(&chance, 3);

	wait_for(from + 1 + below(&chance, ROUND_ACTIONS / 2));
	for (int i = commits; i-- > 0;)
		commit(i == 0);
	if (round % KILL_EVERY != 0)
		return;
	wait_for(from + ROUND_ACTIONS / 2 + below(&chance, ROUND_ACTIONS / 2));
	daemon_kill(processes[below(&chance, 3)], SIGKILL);
}

/* ---- what the server says of it ---- */

static enum model_mode
mode_of(const char *name)
{
	return strcmp(name, "held") == 0 ? MODEL_HELD : MODEL_FOLLOWING;
}

/* False: it is not about one assignment. */
static bool
read_event(struct model_event *e, const json_t *j)
{
	const char *subject = daemon_text(j, "subject");
	const char *slash = strchr(subject, '/');
	AUTO_STR cluster = NULL;

	if (slash == NULL)
		return false;
	cluster = mem_strndup(subject, (size_t)(slash - subject));
	e->cluster = find(cluster_names, MODEL_CLUSTERS, cluster);
	e->bundle = find(bundle_names, MODEL_BUNDLES, slash + 1);
	assert_true(e->cluster >= 0 && e->bundle >= 0);
	e->serial = daemon_number(j, "detail.serial");
	e->mode = mode_of(daemon_text(j, "detail.mode"));
	e->revision = model_find(&model, daemon_text(j, "detail.revision"));
	e->current = model_find(&model, daemon_text(j, "detail.current_with"));
	return true;
}

static struct action *
action_of(const json_t *j)
{
	const char *reason = daemon_text(j, "detail.reason");
	const char *who = daemon_text(j, "who");
	int o = 0;
	int number = 0;

	if (reason == NULL || sscanf(reason, "op%d-%d", &o, &number) != 2)
		fail_msg("an event that nobody asked for: %s", reason);
	assert_string_equal(who, operators[o].name);
	assert_in_range(number, 0, ACTIONS - 1);
	return &operators[o].actions[number];
}

static void
play_action(const json_t *j, enum model_kind kind)
{
	struct model_event e;
	struct action *a;
	int64_t serial;

	if (!read_event(&e, j))
		return; /* an operation was begun */
	a = action_of(j);
	serial = model.places[e.cluster][e.bundle].serial;
	if (a->kind != kind || a->bundle != e.bundle || !a->chosen[e.cluster])
		fail_msg("%s is not what was asked for",
		    daemon_text(j, "detail.reason"));
	if (a->expect[e.cluster] > 0 && a->expect[e.cluster] != serial)
		fail_msg("%s was done though it expected serial %lld, not "
			 "%lld",
		    daemon_text(j, "detail.reason"),
		    (long long)a->expect[e.cluster], (long long)serial);
	model_act(&model, kind, a->to, &e);
	a->events++;
}

static void
play_begin(const struct model_event *e)
{
	struct model_place *p = &model.places[e->cluster][e->bundle];

	assert_int_equal(e->serial, 1);
	p->mode = MODEL_FOLLOWING;
	p->serial = 1;
	p->revision = p->current = e->current;
	p->value = model.commits[e->current].value[e->bundle];
}

static void
play_assign(const json_t *j)
{
	struct model_event e;

	assert_true(read_event(&e, j));
	if (model.places[e.cluster][e.bundle].mode == MODEL_NONE)
		play_begin(&e);
	else
		model_assign(&model, &e);
}

static void
play(const json_t *j)
{
	const char *kind = daemon_text(j, "kind");
	int known = find(kind_names, MODEL_KINDS, kind);

	played = daemon_number(j, "seq");
	if (known >= 0)
		play_action(j, (enum model_kind)known);
	else if (strcmp(kind, "assign") == 0)
		play_assign(j);
	else if (strcmp(kind, "publish") == 0)
		model_publish(&model,
		    model_find(&model,
			strchr(daemon_text(j, "subject"), '@') + 1));
}

/* Events are given newest first: gathered until the last that was played. */
static void
play_news(void)
{
	json_t *news = json_array();
	const char *next_page = "";
	bool more = true;

	while (more) {
		const json_t *page = daemon_api("GET",
		    daemon_printf("/audit?limit=500%s", next_page), NULL, 200);
		size_t i;
		json_t *j;

		json_array_foreach(daemon_at(page, "items"), i, j) {
			more = daemon_number(j, "seq") > played;
			if (!more)
				break;
			(void)json_array_append(news, j);
		}
		more = more && daemon_text(page, "next") != NULL;
		if (more)
			next_page = daemon_printf("&next=%s",
			    daemon_text(page, "next"));
	}
	for (size_t i = json_array_size(news); i-- > 0;)
		play(json_array_get(news, i));
	json_decref(news);
}

/* ---- after a round ---- */

static bool
is_up(void *arg)
{
	struct answer a = daemon_get("/readyz", NULL, NULL);

	(void)arg;
	if (a.status != 200 || daemon_process("pipeline") == 0)
		return false;
	a = daemon_get("/v1/audit?limit=1", daemon_admin(), NULL);
	return a.status == 200;
}

/* Everything that was pushed is published, nothing waits. */
static bool
is_quiet(void *arg)
{
	(void)arg;
	play_news();
	for (int i = 0; i < model.count; i++)
		if (model.commits[i].good && !model.commits[i].published)
			return false;
	return !model_is_behind(&model);
}

struct ending {
	int64_t operation;
	const json_t *seen;
};

static bool
is_over(void *arg)
{
	struct ending *end = arg;
	const char *state;

	end->seen = daemon_api("GET",
	    daemon_printf("/operations/%lld", (long long)end->operation), NULL,
	    200);
	state = daemon_text(end->seen, "state");
	return strcmp(state, "done") == 0 || strcmp(state, "failed") == 0;
}

static void
wait_operations(struct operator* o, int from)
{
	for (int i = from; i < o->until; i++) {
		struct action *a = &o->actions[i];
		struct ending end = { .operation = a->operation };

		if (a->operation == 0)
			continue;
		daemon_wait("the operation is over", is_over, &end, QUIET_MS);
		a->status = strcmp(daemon_text(end.seen, "state"), "done") == 0
		    ? 200
		    : 409;
		if (a->status == 409)
			assert_string_equal(daemon_text(end.seen, "error.code"),
			    "conflict");
	}
}

/* Has one of those that it expected moved on, or somebody decided while it
 * waited? */
static bool
was_late(const struct action *a)
{
	if (a->operation > 0)
		return true;
	for (int c = 0; c < MODEL_CLUSTERS; c++)
		if (a->expect[c] > 0 &&
		    a->expect[c] < model.places[c][a->bundle].serial)
			return true;
	return false;
}

struct outcome {
	int done, conflicts, waited, unknown;
};

/* Answers and what happened agree; all clusters or none. */
static void
check_answers(struct operator* o, int from, struct outcome *out)
{
	for (int i = from; i < o->until; i++) {
		const struct action *a = &o->actions[i];
		int all = 0;

		for (int c = 0; c < MODEL_CLUSTERS; c++)
			all += a->chosen[c] ? 1 : 0;
		out->done += a->status == 200 ? 1 : 0;
		out->conflicts += a->status == 409 ? 1 : 0;
		out->waited += a->operation > 0 ? 1 : 0;
		out->unknown += a->status == 0 || a->status == 503 ? 1 : 0;
		if (a->status == 200 && a->events == all)
			continue;
		if (a->status == 409 && a->events == 0 &&
		    (was_late(a) || (a->to >= 0 && !model.commits[a->to].good)))
			continue;
		if ((a->status == 0 || a->status == 503) &&
		    (a->events == 0 || a->events == all))
			continue;
		fail_msg("%s-%d: status %ld, %d of %d events", o->name, i,
		    a->status, a->events, all);
	}
}

static const char *
content_of(int commit_number, int bundle)
{
	return daemon_text(daemon_api("GET",
			       daemon_printf("/bundles/%s/revisions/%s",
				   bundle_names[bundle],
				   model.commits[commit_number].id),
			       NULL, 200),
	    "content");
}

static bool
is_listed(const json_t *list, const char *text)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (strcmp(json_string_value(item), text) == 0)
			return true;
	return false;
}

static void
check_quarantine(const json_t *a, const struct model_place *p, int bundle)
{
	const json_t *list = daemon_at(a, "quarantined");
	size_t count = 0;

	for (int v = 0; v < MODEL_VALUES; v++) {
		if (!p->quarantined[v])
			continue;
		count++;
		if (!is_listed(list,
			content_of(model.first[bundle][v], bundle)))
			fail_msg("bundle %s: %d is not in quarantine",
			    bundle_names[bundle], v);
	}
	assert_int_equal(json_array_size(list), count);
}

static void
check_place(const json_t *a)
{
	int c = find(cluster_names, MODEL_CLUSTERS, daemon_text(a, "cluster"));
	int b = find(bundle_names, MODEL_BUNDLES, daemon_text(a, "bundle"));
	const struct model_place *p = &model.places[c][b];

	assert_true(has[c][b]);
	assert_int_equal(daemon_number(a, "serial"), p->serial);
	assert_int_equal(mode_of(daemon_text(a, "mode")), p->mode);
	assert_string_equal(daemon_text(a, "revision"),
	    model.commits[p->revision].id);
	assert_string_equal(daemon_text(a, "current_with"),
	    model.commits[p->current].id);
	check_quarantine(a, p, b);
}

static void
check_state(void)
{
	const json_t *all = daemon_api("GET", "/clusters", NULL, 200);
	size_t count = 0;
	size_t i, k;
	json_t *c, *a;

	json_array_foreach(daemon_at(all, "items"), i, c)
		json_array_foreach(daemon_at(c, "assignments"), k, a) {
			check_place(a);
			count++;
		}
	assert_int_equal(count, 5);
}

static void
play_round(int round, struct outcome *out)
{
	int from = round * ROUND_ACTIONS;

	for (int i = 0; i < OPERATORS; i++) {
		struct operator* o = & operators[i];

		o->until = from + ROUND_ACTIONS;
		o->targets = model.count;
		assert_int_equal(pthread_create(&o->thread, NULL, run_operator,
				     o),
		    0);
	}
	disturb(round);
	for (int i = 0; i < OPERATORS; i++)
		assert_int_equal(pthread_join(operators[i].thread, NULL), 0);
	daemon_wait("all are up again", is_up, NULL, UP_MS);
	for (int i = 0; i < OPERATORS; i++)
		wait_operations(&operators[i], from);
	daemon_wait("all is published and quiet", is_quiet, NULL, QUIET_MS);
	for (int i = 0; i < OPERATORS; i++)
		check_answers(&operators[i], from, out);
	check_state();
}

static void
begin(void)
{
	uint64_t n = seed();
	int first[MODEL_BUNDLES] = { 1, 1 };
	const char *id = daemon_commit("two bundles, four clusters",
	    { "edict.yaml",
		"bundles: {alpha: {paths: [alpha]}, beta: {paths: [beta]}}\n"
		"clusters:\n"
		"  east: {bundles: [alpha]}\n"
		"  north: {bundles: [beta]}\n"
		"  south: {bundles: [alpha, beta]}\n"
		"  west: {bundles: [alpha]}\n" },
	    { "alpha/a.rego", policy(0, 1) }, { "beta/b.rego", policy(1, 1) },
	    { "alpha/a_test.rego",
		"package alpha_test\n\ntest_x if data.alpha.x > 0\n" });

	model_init(&model);
	model.late[2] = true;
	(void)model_add(&model, id, first, true);
	values[0] = values[1] = 1;
	chance = n;
	daemon_start(NULL);
	for (int i = 0; i < OPERATORS; i++) {
		struct operator* o = & operators[i];

		o->number = i;
		o->random = n + (uint64_t)i * 77 + 7;
		o->name = daemon_printf("op%d", i);
		o->token = daemon_token(daemon_printf(
		    "{\"name\":\"op%d\",\"role\":\"releaser\"}", i));
		o->url = daemon_url();
		o->model = &model;
		o->curl = curl_easy_init();
	}
	daemon_wait("the first commit is served", is_quiet, NULL,
	    DAEMON_DEADLINE_MS);
}

SCENARIO(two_operators_a_thousand_actions_each)
{
	struct outcome out = { 0 };
	int64_t from = daemon_now_ms();

	begin();
	for (int round = 0; round < ROUNDS; round++)
		play_round(round, &out);
	for (int i = 0; i < OPERATORS; i++)
		curl_easy_cleanup(operators[i].curl);
	print_message("%d actions: %d done, %d conflicts, %d waited for the "
		      "engine, %d without an answer; %d commits; %lld ms\n",
	    OPERATORS * ACTIONS, out.done, out.conflicts, out.waited,
	    out.unknown, model.count, (long long)(daemon_now_ms() - from));
	assert_true(out.done > ACTIONS / 2);
	assert_true(out.conflicts > ACTIONS / 20);
	daemon_sh("edict audit --verify --token-file data/admin-token "
		  "--server %s",
	    daemon_url());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(two_operators_a_thousand_actions_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
