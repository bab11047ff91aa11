#include "clusters/cluster_settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/cluster_key.h"
#include "clusters/payload.h"
#include "clusters/set.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"

/* ---- roots ---- */

void
cluster_member_forget_roots(struct cluster_member *m)
{
	json_decref(m->roots);
	m->roots = NULL;
	mem_free(STEAL(m->root_texts));
}

enum err_code
cluster_member_roots(struct store *s, struct cluster_member *m, struct err *e)
{
	size_t i;
	json_t *root;

	if (m->roots != NULL)
		return ERR_OK;
	TRY(store_content_roots(s, m->now.bundle, m->now.content, &m->roots,
	    e));
	m->root_texts =
	    mem_array(json_array_size(m->roots), sizeof *m->root_texts);
	json_array_foreach(m->roots, i, root) {
		const char *text = json_string_value(root);

		if (text == NULL)
			return err_set(e, ERR_CORRUPT,
			    "bundle %s: its stored roots are not texts",
			    m->now.bundle);
		m->root_texts[i] = text;
	}
	return ERR_OK;
}

static bool
any_moved(const struct cluster_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->members[i].step == ASSIGN_MOVED)
			return true;
	return false;
}

/* The first two members that cannot be loaded together. */
static enum err_code
find_clash(struct store *s, struct cluster_set *set, bool *found,
    struct assign_clash *out, struct err *e)
{
	struct assign_member *view;
	enum err_code code = ERR_OK;

	*found = false;
	if (!any_moved(set))
		return ERR_OK;
	view = mem_array(set->count, sizeof *view);
	for (size_t i = 0; i < set->count && code == ERR_OK; i++) {
		struct cluster_member *m = &set->members[i];

		view[i].bundle = m->now.bundle;
		if (m->absent)
			continue; /* no roots: no clash */
		code = cluster_member_roots(s, m, e);
		if (code != ERR_OK)
			break;
		view[i].roots = m->root_texts;
		view[i].count = json_array_size(m->roots);
		view[i].moved = m->step == ASSIGN_MOVED;
	}
	if (code == ERR_OK)
		*found = assign_clashes(view, set->count, out);
	mem_free(view);
	return code;
}

/* ---- taking back ---- */

/* Puts a member back to where it was, with the reason. */
static void
take_back(struct cluster_set *set, struct cluster_member *m, const char *why)
{
	AUTO_STR text = mem_printf("commit %s: %s", m->now.current_with, why);
	struct assign_who who = { m->now.by, m->now.at_ms, m->now.reason };
	struct assignment now;

	if (!set->trial)
		log_warn("assign.blocked", "cluster=%s bundle=%s reason=%s",
		    set->cluster, m->now.bundle, text);
	cluster_member_forget_roots(m);
	m->step = ASSIGN_SAME;
	if (m->event == ASSIGN_BEGIN) {
		m->absent = true;
		return;
	}
	assignment_copy(&now, &m->old);
	if (m->event == ASSIGN_RESUME)
		(void)assign_resume(&now, NULL, &who);
	assign_block(&now, text);
	assignment_clear(&m->now);
	m->now = now;
}

static void
take_back_clash(struct cluster_set *set, const struct assign_clash *c)
{
	bool second = set->members[c->second].step == ASSIGN_MOVED;
	struct cluster_member *m = &set->members[second ? c->second : c->first];
	const struct cluster_member *other =
	    &set->members[second ? c->first : c->second];
	AUTO_STR why = mem_printf("its root \"%s\" overlaps root \"%s\" of "
				  "bundle %s in cluster %s",
	    second ? c->second_root : c->first_root,
	    second ? c->first_root : c->second_root, other->now.bundle,
	    set->cluster);

	take_back(set, m, why);
}

/* ---- roots that move from one bundle to another ---- */

static bool
overlap(const char *a, const char *b)
{
	return text_path_holds(a, b) || text_path_holds(b, a);
}

static bool
is_held(const json_t *roots, const char *root)
{
	size_t i;
	json_t *item;

	json_array_foreach(roots, i, item)
		if (text_path_holds(json_string_value(item), root))
			return true;
	return false;
}

/* The first of m's roots that lies with this one of another bundle, unless m
 * had it all along. */
static const char *
taken_root(const struct cluster_member *m, const json_t *before,
    const char *given)
{
	for (size_t i = 0; i < json_array_size(m->roots); i++)
		if (overlap(m->root_texts[i], given) &&
		    !is_held(before, m->root_texts[i]))
			return m->root_texts[i];
	return NULL;
}

static enum err_code
old_roots(struct store *s, const struct cluster_member *m, json_t **out,
    struct err *e)
{
	*out = NULL;
	if (m->old.content[0] == '\0')
		return ERR_OK;
	return store_content_roots(s, m->now.bundle, m->old.content, out, e);
}

/* Does another member give up, by this change, what m takes? */
static enum err_code
find_giver(struct store *s, struct cluster_set *set,
    const struct cluster_member *m, const json_t *before, char **why,
    struct err *e)
{
	for (size_t i = 0; i < set->count && *why == NULL; i++) {
		struct cluster_member *g = &set->members[i];
		AUTO_JSON had = NULL;
		json_t *root;
		size_t k;

		if (g == m || g->step != ASSIGN_MOVED)
			continue;
		TRY(old_roots(s, g, &had, e));
		json_array_foreach(had, k, root) {
			const char *text = json_string_value(root);
			const char *taken = taken_root(m, before, text);

			if (taken == NULL || is_held(g->roots, text))
				continue;
			*why = mem_printf("root \"%s\" moves here from bundle "
					  "%s, which goes first; waiting until "
					  "the engines of cluster %s have it",
			    taken, g->now.bundle, set->cluster);
			break;
		}
	}
	return ERR_OK;
}

/* Did another one give it up a moment ago? */
static enum err_code
find_given(struct store *s, const struct cluster_set *set,
    const struct cluster_member *m, const json_t *before, char **why,
    struct err *e)
{
	AUTO_JSON given = NULL;
	json_t *row;
	size_t i;

	TRY(store_given_roots(s, set->cluster, &given, e));
	json_array_foreach(given, i, row) {
		const char *bundle = payload_text(row, "bundle");
		const char *root = payload_text(row, "root");
		const char *taken;

		if (strcmp(bundle, m->now.bundle) == 0)
			continue;
		taken = taken_root(m, before, root);
		if (taken == NULL)
			continue;
		*why = mem_printf("root \"%s\" moves here from bundle %s; "
				  "waiting until the engines of cluster %s "
				  "have let go of it",
		    taken, bundle, set->cluster);
		return ERR_OK;
	}
	return ERR_OK;
}

/* Takes back the first that has to wait. An operator's rollback does not. */
static enum err_code
order_one(struct store *s, struct cluster_set *set, bool *found, struct err *e)
{
	*found = false;
	for (size_t i = 0; i < set->count && !*found; i++) {
		struct cluster_member *m = &set->members[i];
		AUTO_JSON before = NULL;
		AUTO_STR why = NULL;

		if (m->step != ASSIGN_MOVED || m->event == ASSIGN_ROLLBACK)
			continue;
		TRY(old_roots(s, m, &before, e));
		TRY(find_giver(s, set, m, before, &why, e));
		if (why == NULL)
			TRY(find_given(s, set, m, before, &why, e));
		if (why == NULL)
			continue;
		take_back(set, m, why);
		*found = true;
	}
	return ERR_OK;
}

enum err_code
cluster_set_give(const struct cluster_set *set, struct store *s, struct err *e)
{
	for (size_t i = 0; set->count > 1 && i < set->count; i++) {
		const struct cluster_member *m = &set->members[i];
		AUTO_JSON had = NULL;
		json_t *root;
		size_t k;

		if (m->absent || m->step != ASSIGN_MOVED || m->roots == NULL)
			continue;
		for (k = 0; k < json_array_size(m->roots); k++)
			TRY(store_keep_root(s, set->cluster, m->now.bundle,
			    m->root_texts[k], e));
		TRY(old_roots(s, m, &had, e));
		json_array_foreach(had, k, root)
			if (!is_held(m->roots, json_string_value(root)))
				TRY(store_give_root(s, set->cluster,
				    m->now.bundle, json_string_value(root),
				    m->now.serial, m->now.at_ms, e));
	}
	return ERR_OK;
}

/* ---- loaded together ---- */

/* What is known of the set, and a text for people when it cannot be had now. */
struct fit {
	enum store_set_state state;
	bool could_not_ask;
	bool late; /* nobody answers: an operator's change waits no longer */
	char *why; /* owned */
};

static void
fit_clear(struct fit *f)
{
	mem_free(f->why);
	*f = (struct fit){ 0 };
}

static void
explain(struct fit *f, const struct set *asked, const char *cluster,
    const char *reason)
{
	AUTO_STR names = set_names(asked);

	if (f->state == STORE_SET_REFUSED)
		f->why = mem_printf("bundles %s cannot be loaded together in "
				    "cluster %s: %s",
		    names, cluster, reason != NULL ? reason : "opa refuses");
	else if (f->could_not_ask)
		f->why = mem_printf("whether bundles %s load together in "
				    "cluster %s could not be checked; it is "
				    "tried again: %s",
		    names, cluster, reason != NULL ? reason : "opa");
	else
		f->why = mem_printf("whether bundles %s load together in "
				    "cluster %s is being checked",
		    names, cluster);
}

/* Nobody knows it: it is to be asked about. */
static enum err_code
want(struct store *s, const struct set *asked, int64_t now_ms, struct fit *f,
    char **reason, struct err *e)
{
	AUTO_JSON members = set_json(asked);
	enum store_set_asked how;
	int64_t since_ms;

	TRY(store_want_set(s, asked->digest, members, now_ms, e));
	TRY(store_set_asked(s, asked->digest, &how, &since_ms, reason, e));
	f->could_not_ask = how == STORE_SET_COULD_NOT_RUN;
	f->late = f->could_not_ask ||
	    now_ms - since_ms >= (how == STORE_SET_RUNNING ? SETTLE_ASKED_MS
							   : SETTLE_UNASKED_MS);
	return ERR_OK;
}

static enum err_code
ask_fit(struct cluster_set *set, struct store *s, bool current, int64_t now_ms,
    struct fit *f, struct err *e)
{
	AUTO_SET asked = { 0 };
	AUTO_STR reason = NULL;

	*f = (struct fit){ .state = STORE_SET_LOADS };
	TRY(set_of(&asked, set, s, e));
	if (asked.count < 2)
		return ERR_OK; /* loaded alone when it was published */
	TRY(store_set_known(s, asked.digest, current, &f->state, &reason, e));
	if (f->state == STORE_SET_UNKNOWN)
		TRY(want(s, &asked, now_ms, f, &reason, e));
	if (f->state != STORE_SET_LOADS)
		explain(f, &asked, set->cluster, reason);
	return ERR_OK;
}

/* ---- what follows ---- */

/* Ends: each round takes one move back. */
static enum err_code
settle_roots(struct cluster_set *set, struct store *s, struct err *e)
{
	for (;;) {
		struct assign_clash c;
		bool found;

		TRY(find_clash(s, set, &found, &c, e));
		if (found) {
			take_back_clash(set, &c);
			continue;
		}
		TRY(order_one(s, set, &found, e));
		if (!found)
			return ERR_OK;
	}
}

/* A move that was taken back, to be tried alone. */
struct tried {
	size_t at;
	struct assignment now;
};

static size_t
take_back_all(struct cluster_set *set, const char *why, struct tried *tried)
{
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++) {
		struct cluster_member *m = &set->members[i];

		if (m->step != ASSIGN_MOVED)
			continue;
		tried[count].at = i;
		assignment_copy(&tried[count++].now, &m->now);
		take_back(set, m, why);
	}
	return count;
}

/* Moves one as it was to move, if what is then fits; else it stays back. */
static enum err_code
try_one(struct cluster_set *set, struct store *s, struct tried *t,
    struct err *e)
{
	struct cluster_member *m = &set->members[t->at];
	struct fit f;

	assignment_clear(&m->now);
	m->now = t->now;
	t->now = (struct assignment){ 0 };
	cluster_member_forget_roots(m);
	m->step = ASSIGN_MOVED;
	m->absent = false;
	TRY(settle_roots(set, s, e));
	if (m->step != ASSIGN_MOVED)
		return ERR_OK;
	TRY(ask_fit(set, s, true, m->now.at_ms, &f, e));
	if (f.state != STORE_SET_LOADS)
		take_back(set, m, f.why);
	fit_clear(&f);
	return ERR_OK;
}

/* All of it does not load: as many as do, one after the other. */
static enum err_code
try_each(struct cluster_set *set, struct store *s, const char *why,
    struct err *e)
{
	struct tried *tried = mem_array(set->count, sizeof *tried);
	size_t count = take_back_all(set, why, tried);
	enum err_code code = ERR_OK;

	for (size_t i = 0; count > 1 && i < count && code == ERR_OK; i++)
		code = try_one(set, s, &tried[i], e);
	for (size_t i = 0; i < count; i++)
		assignment_clear(&tried[i].now);
	mem_free(tried);
	return code;
}

static int64_t
moved_ms(const struct cluster_set *set)
{
	int64_t ms = 0;

	for (size_t i = 0; i < set->count; i++)
		if (set->members[i].step == ASSIGN_MOVED)
			ms = set->members[i].now.at_ms;
	return ms;
}

enum err_code
cluster_set_settle(struct cluster_set *set, struct store *s, struct err *e)
{
	struct fit f;
	enum err_code code = ERR_OK;

	TRY(cluster_key_fit(set, s, false, e));
	TRY(settle_roots(set, s, e));
	if (!any_moved(set))
		return ERR_OK;
	TRY(ask_fit(set, s, true, moved_ms(set), &f, e));
	if (f.state == STORE_SET_REFUSED) {
		code = try_each(set, s, f.why, e);
	} else if (f.state == STORE_SET_UNKNOWN) {
		for (size_t i = 0; i < set->count; i++)
			if (set->members[i].step == ASSIGN_MOVED)
				take_back(set, &set->members[i], f.why);
	}
	fit_clear(&f);
	return code;
}

/* ---- what an operator asks for ---- */

enum err_code
cluster_set_check(struct cluster_set *set, struct store *s, struct err *e)
{
	struct assign_clash c;
	struct fit f;
	bool found;
	enum err_code code = ERR_OK;

	TRY(cluster_key_fit(set, s, true, e));
	TRY(find_clash(s, set, &found, &c, e));
	if (found)
		return err_set(e, ERR_CONFLICT,
		    "cluster %s: root \"%s\" of bundle %s and root \"%s\" of "
		    "bundle %s overlap; engines cannot load both",
		    set->cluster, c.first_root,
		    set->members[c.first].now.bundle, c.second_root,
		    set->members[c.second].now.bundle);
	if (!any_moved(set))
		return ERR_OK;
	TRY(ask_fit(set, s, false, moved_ms(set), &f, e));
	if (f.state == STORE_SET_REFUSED) {
		code = err_set(e, ERR_CONFLICT, "%s", f.why);
	} else if (f.state == STORE_SET_UNKNOWN && f.late) {
		set->unchecked = true;
		log_warn("set.unchecked", "cluster=%s reason=%s", set->cluster,
		    f.why);
	} else if (f.state == STORE_SET_UNKNOWN && set->trial) {
		set->unchecked = true;
	} else if (f.state == STORE_SET_UNKNOWN) {
		code = err_set(e, ERR_UNAVAILABLE, "%s", f.why);
	}
	fit_clear(&f);
	return code;
}
