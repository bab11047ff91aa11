#include "clusters/cluster_set.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "clusters/cluster_settle.h"
#include "clusters/store_removed.h"
#include "core/log.h"
#include "core/mem.h"

enum { TARGETS_STEP = 32 };

enum err_code
cluster_set_load(struct cluster_set *out, struct store *s, const char *cluster,
    struct err *e)
{
	struct store_assignments list = { 0 };

	TRY(store_assignments(s, cluster, NULL, &list, e));
	*out = (struct cluster_set){ .count = list.count };
	(void)snprintf(out->cluster, sizeof out->cluster, "%s", cluster);
	out->members = mem_array(list.count, sizeof *out->members);
	for (size_t i = 0; i < list.count; i++) {
		struct cluster_member *m = &out->members[i];

		m->old = list.items[i];
		m->event = ASSIGN_EVENTS;
		assignment_copy(&m->now, &m->old);
	}
	mem_free(list.items); /* what is in them was moved to old */
	return ERR_OK;
}

void
cluster_set_clear(struct cluster_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		assignment_clear(&set->members[i].old);
		assignment_clear(&set->members[i].now);
		cluster_member_forget_roots(&set->members[i]);
	}
	mem_free(set->members);
	*set = (struct cluster_set){ 0 };
}

struct cluster_member *
cluster_set_find(struct cluster_set *set, const char *bundle)
{
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->members[i].now.bundle, bundle) == 0)
			return &set->members[i];
	return NULL;
}

/* Fills in what engines would get. NOT_FOUND: nothing is stored. */
static enum err_code
complete_target(struct store *s, const char *bundle, struct assign_target *t,
    struct err *e)
{
	struct store_artifact found;

	TRY(store_artifact_of(s, bundle, t->commit, &found, e));
	memcpy(t->revision, found.revision, sizeof t->revision);
	memcpy(t->artifact, found.sha256, sizeof t->artifact);
	return ERR_OK;
}

static enum err_code
mark_ancestor(struct store *s, const struct assignment *a,
    struct assign_target *t, struct err *e)
{
	bool until = a->mode == ASSIGN_HELD && a->until[0] != '\0';
	const char *from = until ? a->until : a->current_with;
	int64_t line = until ? a->until_line : a->line;
	struct store_owner owner;

	t->ancestor = false;
	if (from[0] == '\0' || t->line <= line)
		return ERR_OK; /* the place alone decides */
	TRY(store_bundle_owner(s, a->bundle, &owner, e));
	return store_is_ancestor(s, owner.repository, t->commit, from,
	    &t->ancestor, e);
}

enum search { SEARCH_ON, SEARCH_FOUND, SEARCH_OVER };

/* One candidate, deepest first. A quarantined one is kept in *skipped. */
static enum err_code
consider(struct store *s, const struct assignment *a, struct assign_target *t,
    struct assign_target *skipped, enum search *state, struct err *e)
{
	enum err_code code;

	*state = SEARCH_ON;
	TRY(mark_ancestor(s, a, t, e));
	if (a->until[0] != '\0' ? !assign_is_next(a, t)
				: !assign_comes_after(a, t)) {
		*state = SEARCH_OVER; /* so are all that are less deep */
		return ERR_OK;
	}
	if (assign_quarantined(a, t->content)) {
		if (skipped->commit[0] == '\0')
			*skipped = *t;
		return ERR_OK;
	}
	code = complete_target(s, a->bundle, t, e);
	if (code == ERR_OK)
		*state = SEARCH_FOUND;
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* The newest that the assignment may go to; NOT_FOUND (without a text): there
 * is none. */
static enum err_code
find_target(struct store *s, const struct assignment *a,
    struct assign_target *out, struct assign_target *skipped, struct err *e)
{
	enum search state = SEARCH_ON;

	*skipped = (struct assign_target){ 0 };
	for (size_t skip = 0; state == SEARCH_ON; skip += TARGETS_STEP) {
		struct store_targets list = { 0 };
		enum err_code code = ERR_OK;

		TRY(store_passing_revisions(s, a->bundle, TARGETS_STEP, skip,
		    &list, e));
		if (list.count == 0)
			state = SEARCH_OVER;
		for (size_t i = 0;
		     i < list.count && state == SEARCH_ON && code == ERR_OK;
		     i++) {
			code =
			    consider(s, a, &list.items[i], skipped, &state, e);
			if (state == SEARCH_FOUND)
				*out = list.items[i];
		}
		store_targets_clear(&list);
		if (code != ERR_OK)
			return code;
	}
	return state == SEARCH_FOUND ? ERR_OK : ERR_NOT_FOUND;
}

/* Has what a held one waits for come? */
static enum err_code
release_member(struct store *s, struct cluster_member *m,
    const struct assign_who *who, struct err *e)
{
	struct assign_target t, skipped;
	bool member;
	enum err_code code;

	TRY(store_is_member(s, m->now.cluster, m->now.bundle, &member, e));
	if (!member)
		return ERR_OK;
	assign_block(&m->now, NULL);
	code = find_target(s, &m->now, &t, &skipped, e);
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	m->step = assign_release(&m->now, &t, who);
	m->event = ASSIGN_RELEASE;
	return ERR_OK;
}

/* Whatever passed comes after what was forced and did not. */
static enum err_code
find_passed(struct store *s, struct cluster_member *m, struct assign_target *t,
    struct assign_target *skipped, struct err *e)
{
	enum err_code code;

	if (!m->now.forced)
		return find_target(s, &m->now, t, skipped, e);
	m->now.line = m->now.depth = -1;
	m->now.current_with[0] = '\0';
	code = find_target(s, &m->now, t, skipped, e);
	if (code == ERR_OK)
		return ERR_OK;
	m->now.line = m->old.line;
	m->now.depth = m->old.depth;
	memcpy(m->now.current_with, m->old.current_with,
	    sizeof m->now.current_with);
	return code;
}

static enum err_code
follow_member(struct store *s, struct cluster_member *m,
    const struct assign_who *who, struct err *e)
{
	struct assign_target t, skipped;
	bool member;
	enum err_code code;

	if (m->now.until[0] != '\0')
		return release_member(s, m, who, e);
	if (m->now.mode != ASSIGN_FOLLOWING)
		return ERR_OK;
	assign_block(&m->now, NULL);
	TRY(store_is_member(s, m->now.cluster, m->now.bundle, &member, e));
	if (!member) {
		assign_block(&m->now,
		    "no longer defined for this cluster; served as it is");
		return ERR_OK;
	}
	code = find_passed(s, m, &t, &skipped, e);
	if (code == ERR_OK) {
		m->step = assign_follow(&m->now, &t, who);
		m->event = ASSIGN_FOLLOW;
	} else if (code == ERR_NOT_FOUND && skipped.commit[0] != '\0') {
		(void)assign_follow(&m->now, &skipped, who);
	}
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static enum err_code
begin_member(struct store *s, struct cluster_set *set, const char *bundle,
    const struct assign_who *who, struct err *e)
{
	struct cluster_member m = { .event = ASSIGN_BEGIN,
		.step = ASSIGN_MOVED };
	struct assign_target t, skipped;
	enum err_code code;

	(void)snprintf(m.now.cluster, sizeof m.now.cluster, "%s", set->cluster);
	(void)snprintf(m.now.bundle, sizeof m.now.bundle, "%s", bundle);
	m.now.line = m.now.depth = -1;
	TRY(store_removed_serial(s, set->cluster, bundle, &m.now.serial, e));
	code = find_target(s, &m.now, &t, &skipped, e);
	if (code == ERR_NOT_FOUND)
		return ERR_OK; /* nothing of it has passed yet */
	if (code != ERR_OK)
		return code;
	assign_begin(&m.now, &t, who);
	set->members =
	    mem_grow(set->members, set->count + 1, sizeof *set->members);
	set->members[set->count++] = m;
	return ERR_OK;
}

enum err_code
cluster_set_follow(struct cluster_set *set, struct store *s,
    const struct assign_who *who, struct err *e)
{
	struct store_names missing = { 0 };
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < set->count; i++)
		TRY(follow_member(s, &set->members[i], who, e));
	TRY(store_members_missing(s, set->cluster, &missing, e));
	for (size_t i = 0; i < missing.count && code == ERR_OK; i++)
		code = begin_member(s, set, missing.names[i], who, e);
	store_names_clear(&missing);
	if (code != ERR_OK)
		return code;
	return cluster_set_settle(set, s, e);
}

enum err_code
cluster_set_resume(struct cluster_set *set, struct store *s, const char *bundle,
    const struct assign_who *who, struct err *e)
{
	struct cluster_member *m = cluster_set_find(set, bundle);
	struct assign_target t, skipped;
	enum err_code code = ERR_NOT_FOUND;
	bool member;

	assert(m != NULL);
	TRY(assign_allowed(&m->now, ASSIGN_RESUME, e));
	m->now.until[0] = '\0';
	TRY(store_is_member(s, set->cluster, bundle, &member, e));
	m->now.quarantine_count = 0; /* resuming lifts it */
	if (member)
		code = find_passed(s, m, &t, &skipped, e);
	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	m->event = ASSIGN_RESUME;
	m->step = assign_resume(&m->now, code == ERR_OK ? &t : NULL, who);
	return ERR_OK;
}

enum err_code
cluster_set_rollback(struct cluster_set *set, const char *bundle,
    const struct assign_target *t, const struct assign_who *who, struct err *e)
{
	struct cluster_member *m = cluster_set_find(set, bundle);

	assert(m != NULL);
	TRY(assign_allowed(&m->now, ASSIGN_ROLLBACK, e));
	m->event = ASSIGN_ROLLBACK;
	assign_rollback(&m->now, t, who);
	m->step = strcmp(m->old.artifact, m->now.artifact) != 0 ? ASSIGN_MOVED
								: ASSIGN_NOTED;
	return ERR_OK;
}

static bool
texts_equal(const char *a, const char *b)
{
	return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool
changed(const struct cluster_member *m)
{
	return m->old.serial != m->now.serial ||
	    m->old.forced != m->now.forced ||
	    strcmp(m->old.current_with, m->now.current_with) != 0 ||
	    !texts_equal(m->old.blocked, m->now.blocked);
}

static const char *
event_kind(const struct cluster_member *m)
{
	switch (m->event) {
	case ASSIGN_ROLLBACK:
		return m->now.forced ? "force" : "rollback";
	case ASSIGN_PIN:
		return "pin";
	case ASSIGN_RESUME:
		return "resume";
	case ASSIGN_RELEASE:
		return "release";
	default:
		return "assign";
	}
}

static enum err_code
audit_member(struct store *s, const struct cluster_member *m, const char *peer,
    bool unchecked, struct err *e)
{
	const struct assignment *a = &m->now;
	AUTO_STR subject = mem_printf("%s/%s", a->cluster, a->bundle);
	json_t *detail = json_pack("{s:s, s:s, s:s?, s:s, s:I, s:s?}",
	    "revision", a->revision, "current_with", a->current_with,
	    "previous", m->old.serial > 0 ? m->old.revision : NULL, "mode",
	    assign_mode_name(a->mode), "serial", (json_int_t)a->serial,
	    "reason", a->reason);
	struct store_event event = { a->by, peer, event_kind(m), subject,
		detail };
	enum err_code code;

	if (unchecked)
		json_object_set_new(detail, "unchecked", json_true());
	code = store_add_event(s, &event, e);
	json_decref(detail);
	return code;
}

enum err_code
cluster_set_save(const struct cluster_set *set, struct store *s,
    const char *peer, json_t *assigned, struct err *e)
{
	TRY(cluster_set_give(set, s, e));
	for (size_t i = 0; i < set->count; i++) {
		const struct cluster_member *m = &set->members[i];
		const struct assignment *a = &m->now;

		if (m->absent || !changed(m))
			continue;
		TRY(store_put_assignment(s, a, e));
		if (a->serial == m->old.serial)
			continue;
		TRY(audit_member(s, m, peer, set->unchecked, e));
		json_array_append_new(assigned,
		    json_pack("{s:s, s:s, s:s, s:I}", "cluster", a->cluster,
			"bundle", a->bundle, "revision", a->revision, "serial",
			(json_int_t)a->serial));
		if (!set->trial)
			log_info("assign.changed",
			    "kind=%s cluster=%s bundle=%s revision=%s mode=%s "
			    "serial=%" PRId64 " by=%s",
			    event_kind(m), a->cluster, a->bundle, a->revision,
			    assign_mode_name(a->mode), a->serial, a->by);
	}
	return ERR_OK;
}
